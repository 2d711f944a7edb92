package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/uhid"
)

// authenticator is the key itself, as this program drives it.
type authenticator interface {
	ctaphid.Authenticator
	// powerCycle forgets what a key forgets when it is pulled out.
	powerCycle()
	// touch is what the person does from now on: touches as the flags say, or never.
	touch(on bool) error
	touchOnce()
	// uv is what the key's own user verification says from now on.
	uv(on bool) error
	// state describes the key in words of the form name=value.
	state() string
}

// offer says how the key is put in front of others.
type offer struct {
	listen string // path of a socket of reports; empty for none
	fanout bool   // every report goes to every connection
	uhid   bool
	device uhid.Config
	server ctaphid.ServerConfig
}

// key is one emulated key that can be switched on and off. Its methods may be called
// from any goroutine.
type key struct {
	auth  authenticator
	offer offer
	log   *slog.Logger

	mu    sync.Mutex // guards the following
	plug  *plug      // nil while it is off
	wanes chan error // gets why a plugged-in key has failed
}

func newKey(auth authenticator, o offer, log *slog.Logger) *key {
	return &key{auth: auth, offer: o, log: log, wanes: make(chan error, 1)}
}

// plug is one power-on of the key.
type plug struct {
	ctx      context.Context // of everything that serves; cancelled by unplug
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	server   *ctaphid.Server
	listener net.Listener
	kernel   hid.Device
	fanout   *hid.Fanout

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// errState says that the power is already as it shall be.
var errState = errors.New("the power is already so")

// on plugs the key in. ctx bounds the wait for the kernel only.
func (k *key) on(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plug != nil {
		return errState
	}
	k.auth.powerCycle()
	p := &plug{server: ctaphid.NewServer(k.auth, k.offer.server), conns: map[net.Conn]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := k.open(ctx, p); err != nil {
		p.unplug()
		return err
	}
	k.plug = p
	k.log.Info("power on")
	return nil
}

// open starts everything that the offer names.
func (k *key) open(ctx context.Context, p *plug) error {
	if k.offer.uhid {
		device, err := uhid.Create(ctx, k.offer.device)
		if err != nil {
			return err
		}
		p.kernel = device
		p.wg.Go(func() { k.serve(p, device) })
	}
	if k.offer.listen == "" {
		return nil
	}
	l, err := listen(k.offer.listen)
	if err != nil {
		return err
	}
	p.listener = l
	if k.offer.fanout {
		host, end := hid.NewPipe(0, 0)
		p.fanout = hid.NewFanout(host)
		p.wg.Go(func() { k.serve(p, end) })
	}
	p.wg.Go(func() { k.accept(p) })
	return nil
}

// serve answers over one device until it ends.
func (k *key) serve(p *plug, d hid.Device) {
	err := p.server.Serve(p.ctx, d)
	if err != nil && p.ctx.Err() == nil {
		k.log.Error("connection failed", "err", err)
	}
	if d == p.kernel && p.ctx.Err() == nil {
		k.fail(fmt.Errorf("the kernel has dropped the key: %w", errors.Join(err, hid.ErrGone)))
	}
}

// fail tells run that the key cannot go on.
func (k *key) fail(err error) {
	select {
	case k.wanes <- err:
	default: // it knows already
	}
}

// accept serves each connection to the socket of reports.
func (k *key) accept(p *plug) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if p.ctx.Err() == nil {
				k.fail(fmt.Errorf("%s: %w", k.offer.listen, err))
			}
			return
		}
		if !p.add(conn) {
			_ = conn.Close()
			return
		}
		k.log.Info("connected", "connections", p.count())
		p.wg.Go(func() {
			defer p.drop(conn)
			if p.fanout == nil {
				k.serve(p, hid.NewStream(conn, 0, 0))
				return
			}
			relay(hid.NewStream(conn, 0, 0), p.fanout.Connect())
		})
	}
}

// relay carries reports between two devices until one of them ends, and closes both.
func relay(a, b hid.Device) {
	var wg sync.WaitGroup
	carry := func(from, to hid.Device) {
		defer a.Close()
		defer b.Close()
		size, _ := from.ReportSizes()
		report := make([]byte, size)
		for {
			n, err := from.Read(report)
			if err != nil {
				return
			}
			if _, err := to.Write(report[:n]); err != nil {
				return
			}
		}
	}
	wg.Go(func() { carry(a, b) })
	wg.Go(func() { carry(b, a) })
	wg.Wait()
}

// add notes a connection, so that unplugging closes it. It is false when the key is off.
func (p *plug) add(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *plug) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close()
}

func (p *plug) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// unplug ends everything of this power-on and waits for it.
func (p *plug) unplug() {
	p.mu.Lock()
	p.cancel()
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	for _, c := range []io.Closer{p.listener, p.kernel} {
		if c != nil {
			_ = c.Close()
		}
	}
	if p.fanout != nil {
		_ = p.fanout.Close()
	}
	p.wg.Wait()
}

// off unplugs the key: the socket or the device is gone and connections are closed.
func (k *key) off() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plug == nil {
		return errState
	}
	k.plug.unplug()
	k.plug = nil
	k.log.Info("power off")
	return nil
}

// status describes the key in one line.
func (k *key) status() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plug == nil {
		return "power=off " + k.auth.state()
	}
	return fmt.Sprintf("power=on connections=%d %s", k.plug.count(), k.auth.state())
}

// do follows an order, but quit, and returns the details of the answer.
func (k *key) do(ctx context.Context, o order) (string, error) {
	on := o.arg == "on"
	switch o.verb {
	case "power":
		if !on {
			return "", k.off()
		}
		return "", k.on(ctx)
	case "touch":
		if o.arg == "once" {
			k.auth.touchOnce()
			return "", nil
		}
		return "", k.auth.touch(on)
	case "uv":
		return "", k.auth.uv(on)
	}
	return k.status(), nil
}

// listen makes a socket at path; a socket that nobody listens at any more makes room.
func listen(path string) (net.Listener, error) {
	if len(path) > 107 {
		return nil, fmt.Errorf("%s: longer than the 107 bytes of a socket's path", path)
	}
	l, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	info, e := os.Lstat(path)
	if e != nil || info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("%s exists and is no socket", path)
	}
	conn, e := net.Dial("unix", path)
	if e == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another program listens at %s", path)
	}
	if !errors.Is(e, syscall.ECONNREFUSED) {
		return nil, e
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

// offers says in one line what is there.
func (o offer) String() string {
	var words []string
	if o.uhid {
		words = append(words, "uhid")
	}
	if o.listen != "" {
		words = append(words, "listen="+o.listen)
	}
	return strings.Join(words, " ")
}
