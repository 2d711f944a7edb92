package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/uhid"
	"github.com/fobd/fobd/hid/usbip"
)

// authenticator is the key itself, as this program drives it.
type authenticator interface {
	ctaphid.Authenticator
	// powerCycle forgets what a key forgets when it is pulled out.
	powerCycle()
	// touch is what the person does from now on: touches as the flags say, or never.
	touch(on bool) error
	touchOnce()
	touchLong()
	// uv is what the key's own user verification says from now on.
	uv(on bool) error
	// samples are what its fingerprint sensor says next.
	samples(names []string) error
	// state describes the key in words of the form name=value.
	state() string
}

// maxConnections bounds those that are served at a time; more are hung up on.
const maxConnections = 256

// offer says how the key is put in front of others.
type offer struct {
	listen      []address // sockets of reports
	fanout      bool      // every report goes to every connection of the sockets
	uhid        bool
	usbip       bool      // in this machine's kernel
	usbipListen []address // for whoever imports it
	device      device
	server      ctaphid.ServerConfig
	reader      string // address of a virtual reader for its card, empty for none
	slots       bool   // a YubiKey's keyboard in this machine's kernel
}

// device is what the kernel is told.
type device struct {
	name, serial        string
	vendorID, productID uint16
}

// key is one emulated key that can be switched on and off. Its methods may be called
// from any goroutine.
type key struct {
	auth  authenticator
	offer offer
	log   *slog.Logger

	beside
	reports  reports
	faulting sync.Mutex     // held while the faults are changed
	pulling  sync.WaitGroup // what a fault has unplugged

	mu    sync.Mutex // guards the following
	plug  *plug      // nil while it is off
	wanes chan error // gets why a plugged-in key has failed
}

func newKey(auth authenticator, o offer, log *slog.Logger) *key {
	return &key{auth: auth, offer: o, log: log, wanes: make(chan error, 1)}
}

// plug is one power-on of the key.
type plug struct {
	ctx     context.Context // of everything that serves; cancelled by unplug
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	server  *ctaphid.Server
	closers []io.Closer // what open has made, in the order of its making
	fanout  *hid.Fanout
	pulled  sync.Once // a fault has unplugged it

	mu    sync.Mutex // guards conns
	conns map[hid.Device]struct{}
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
	p := &plug{server: ctaphid.NewServer(k.answers(), k.offer.server), conns: map[hid.Device]struct{}{}}
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
		d := k.offer.device
		made, err := uhid.Create(ctx, uhid.Config{Name: d.name, Serial: d.serial, VendorID: d.vendorID, ProductID: d.productID})
		if err != nil {
			return err
		}
		p.closers = append(p.closers, made)
		p.wg.Go(func() {
			k.serve(p, made)
			k.dropped(p)
		})
	}
	if err := k.openUSBIP(ctx, p); err != nil {
		return err
	}
	if err := k.openCodes(ctx, p); err != nil {
		return err
	}
	if k.offer.fanout {
		host, end := hid.NewPipe(0, 0)
		p.fanout = hid.NewFanout(host)
		p.closers = append(p.closers, p.fanout)
		p.wg.Go(func() { k.answer(p, end) })
	}
	for i, at := range k.offer.listen {
		l, err := at.listen()
		if err != nil {
			return err
		}
		// The next time that the power is on, it is the same port.
		k.offer.listen[i] = at.bound(l.Addr())
		p.closers = append(p.closers, l)
		p.wg.Go(func() { k.accept(p, at, l) })
	}
	return nil
}

// openUSBIP makes a USB device for each place: a device has one host.
func (k *key) openUSBIP(ctx context.Context, p *plug) error {
	create := func() (*usbip.Device, error) {
		d := k.offer.device
		made, err := usbip.New(usbip.Config{Name: d.name, Serial: d.serial, VendorID: d.vendorID, ProductID: d.productID})
		if err == nil {
			p.closers = append(p.closers, made)
			p.wg.Go(func() { k.serve(p, made) })
		}
		return made, err
	}
	if k.offer.usbip {
		made, err := create()
		if err != nil {
			return err
		}
		attachment, err := made.Attach(ctx)
		if err != nil {
			return err
		}
		p.closers = append(p.closers, detacher{attachment})
		p.wg.Go(func() {
			<-attachment.Done()
			k.dropped(p)
		})
	}
	for i, at := range k.offer.usbipListen {
		made, err := create()
		if err != nil {
			return err
		}
		l, err := at.listenUSBIP()
		if err != nil {
			return err
		}
		k.offer.usbipListen[i] = at.bound(l.Addr())
		p.closers = append(p.closers, l)
		p.wg.Go(func() {
			if err := made.Serve(p.ctx, l); err != nil && p.ctx.Err() == nil {
				k.fail(fmt.Errorf("%s: %w", at.text, err))
			}
		})
	}
	return nil
}

// detacher is an attachment as a closer: it waits until the kernel has let the key go.
type detacher struct{ *usbip.Attachment }

func (d detacher) Close() error { return d.Detach() }

// serve answers over one device until it ends.
func (k *key) serve(p *plug, d hid.Device) {
	f := k.reports.wrap(d)
	defer k.reports.unwrap(f)
	k.answer(p, f)
}

// answer is serve without faults.
func (k *key) answer(p *plug, d hid.Device) {
	err := p.server.Serve(p.ctx, d)
	if err != nil && p.ctx.Err() == nil {
		k.log.Error("connection failed", "err", err)
	}
}

// dropped says that the kernel has let go of a key that is still plugged in, or that a fault has
// pulled it out.
func (k *key) dropped(p *plug) {
	switch {
	case p.ctx.Err() != nil:
	case k.reports.unplugs():
		p.pulled.Do(func() { k.pulling.Go(func() { _ = k.off() }) })
	default:
		k.fail(fmt.Errorf("the kernel has dropped the key: %w", hid.ErrGone))
	}
}

// fail tells run that the key cannot go on.
func (k *key) fail(err error) {
	select {
	case k.wanes <- err:
	default: // it knows already
	}
}

// accept serves each connection to a socket of reports.
func (k *key) accept(p *plug, at address, l acceptor) {
	for {
		d, err := l.Accept()
		if err != nil {
			if p.ctx.Err() == nil {
				k.fail(fmt.Errorf("%s: %w", at.text, err))
			}
			return
		}
		n, ok := p.add(d)
		if !ok {
			_ = d.Close()
			k.log.Warn("connection refused", "connections", n)
			continue
		}
		k.log.Info("connected", "connections", n)
		p.wg.Go(func() {
			defer p.drop(d)
			if p.fanout == nil {
				k.serve(p, d)
				return
			}
			f := k.reports.wrap(d)
			defer k.reports.unwrap(f)
			relay(f, p.fanout.Connect())
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

// add notes a connection, so that unplugging closes it, and says how many there are. It is
// false when the key is off, or there are too many.
func (p *plug) add(d hid.Device) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || len(p.conns) >= maxConnections {
		return len(p.conns), false
	}
	p.conns[d] = struct{}{}
	return len(p.conns), true
}

func (p *plug) drop(d hid.Device) {
	p.mu.Lock()
	delete(p.conns, d)
	p.mu.Unlock()
	_ = d.Close()
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
	open := make([]hid.Device, 0, len(p.conns))
	for d := range p.conns {
		open = append(open, d)
	}
	p.mu.Unlock()
	for _, d := range open {
		_ = d.Close()
	}
	for _, c := range slices.Backward(p.closers) {
		_ = c.Close()
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
		return "power=off " + k.auth.state() + k.codesState()
	}
	return fmt.Sprintf("power=on connections=%d %s%s", k.plug.count(), k.auth.state(), k.codesState())
}

// do follows an order, but quit, and returns the details of the answer.
func (k *key) do(ctx context.Context, o order) (string, error) {
	on := o.word == "on"
	switch o.verb {
	case "power":
		if !on {
			return "", k.off()
		}
		return "", k.on(ctx)
	case "touch":
		switch o.word {
		case "once":
			k.auth.touchOnce()
			return "", nil
		case "long":
			k.auth.touchLong()
			return "", nil
		}
		return "", k.auth.touch(on)
	case "uv":
		return "", k.auth.uv(on)
	case "sample":
		return "", k.auth.samples(o.args)
	case "status":
		return k.status(), nil
	}
	return k.fixture(o)
}

// ready says in one line what is there.
func (k *key) ready() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	words := []string{"ready"}
	if k.offer.uhid {
		words = append(words, "uhid")
	}
	if k.offer.usbip {
		words = append(words, "usbip")
	}
	if k.offer.slots {
		words = append(words, "slots")
	}
	if k.offer.reader != "" {
		words = append(words, "vpcd="+k.offer.reader)
	}
	for _, a := range k.offer.listen {
		words = append(words, "listen="+a.text)
	}
	for _, a := range k.offer.usbipListen {
		words = append(words, "usbip-listen="+a.text)
	}
	return strings.Join(words, " ")
}
