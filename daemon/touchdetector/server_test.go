package touchdetector_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/touchdetector"
)

// limit bounds what a test waits for.
const limit = 10 * time.Second

// rig is a server whose events the test sends.
type rig struct {
	t      *testing.T
	path   string
	server *touchdetector.Server
	events chan api.Event
	taken  chan struct{}
	stop   context.CancelFunc
	done   chan error
}

func start(t *testing.T, log *slog.Logger) *rig {
	t.Helper()
	r := &rig{
		t: t, path: filepath.Join(t.TempDir(), "s"),
		events: make(chan api.Event), taken: make(chan struct{}), done: make(chan error, 1),
	}
	var err error
	if r.server, err = touchdetector.Listen(r.path, log); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	go func() { r.done <- r.server.Serve(ctx, r, policy.Actor{}) }()
	r.send(ready)
	return r
}

func (r *rig) Events(ctx context.Context, _ policy.Actor, send func(api.Event) error) error {
	for {
		select {
		case e := <-r.events:
			if err := send(e); err != nil {
				return err
			}
			r.taken <- struct{}{}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send returns when the server has taken the event.
func (r *rig) send(e api.Event) {
	r.t.Helper()
	select {
	case r.events <- e:
		<-r.taken
	case <-time.After(limit):
		r.t.Fatal("the server does not take events")
	}
}

func (r *rig) blink() {
	r.t.Helper()
	r.send(prompt(api.PromptTouch, "1"))
	r.send(withdrawn("1"))
}

// clients waits until there are so many.
func (r *rig) clients(n int) {
	r.t.Helper()
	for deadline := time.Now().Add(limit); r.server.Clients() != n; runtime.Gosched() {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d clients, want %d", r.server.Clients(), n)
		}
	}
}

// join connects a client.
func (r *rig) join() *net.UnixConn {
	r.t.Helper()
	n := r.server.Clients()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(limit))
	r.clients(n + 1)
	return conn
}

func (r *rig) end() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	case <-time.After(limit):
		r.t.Error("Serve does not end")
	}
}

// wants reads what a client is to get.
func wants(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got[:n], err, want)
	}
}

func TestServerSendsChangesToAll(t *testing.T) {
	r := start(t, nil)
	one := r.join()
	r.send(prompt(api.PromptTouch, "1"))
	two := r.join() // gets no snapshot
	r.send(about(api.EventForeign, "k"))
	r.send(withdrawn("1"))
	r.send(about(api.EventForeignOver, "k"))
	wants(t, one, "U2F_1U2F_0")
	wants(t, two, "U2F_0")
	// What clients say is nothing to us, nor that they will say nothing more.
	io.WriteString(one, "hello")
	one.CloseWrite()
	two.Close()
	r.clients(1)
	r.send(prompt(api.PromptTouch, "2"))
	r.end()
	wants(t, one, "U2F_1U2F_0")
	if _, err := one.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %v, want %v", err, io.EOF)
	}
	if _, err := os.Lstat(r.path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestServerDropsWhoDoesNotRead(t *testing.T) {
	var log bytes.Buffer
	r := start(t, slog.New(slog.NewTextHandler(&log, nil)))
	slow := r.join()
	slow.SetReadBuffer(1)
	reader := r.join()
	blinks := 0
	for deadline := time.Now().Add(limit); r.server.Clients() == 2; blinks++ {
		if time.Now().After(deadline) {
			t.Fatal("a client that does not read stays")
		}
		r.blink()
		wants(t, reader, "U2F_1U2F_0")
	}
	r.blink()
	wants(t, reader, "U2F_1U2F_0")
	rest, err := io.ReadAll(slow)
	if err != nil || len(rest) > blinks*10 || !strings.HasPrefix(string(rest), "U2F_1U2F_0") {
		t.Errorf("the slow client got %d bytes of %d blinks, %v", len(rest), blinks, err)
	}
	r.end()
	if !strings.Contains(log.String(), "does not read") {
		t.Errorf("the log has nothing of it: %s", &log)
	}
}

// Neither does the end wait for it.
func TestServerEndsWithAClientThatDoesNotRead(t *testing.T) {
	r := start(t, nil)
	r.join()
	for range 10 {
		r.blink()
	}
	r.end()
}

func TestServerBoundsClients(t *testing.T) {
	r := start(t, nil)
	for range 64 {
		r.join()
	}
	conn, err := net.Dial("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("client 65: %v, want %v", err, io.EOF)
	}
	r.end()
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	s, err := touchdetector.Listen(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket: %v, %v; want mode 0600", info.Mode(), err)
	}
	if _, err := touchdetector.Listen(path, nil); err == nil || !strings.Contains(err.Error(), "another program listens") {
		t.Errorf("a second server: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second server removed the socket of the first: %v", err)
	}
	// It is removed by somebody, who puts another in its place: that one stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next, err := touchdetector.Listen(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the end of the first server removed the socket of the second: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if s, err = touchdetector.Listen(path, nil); err != nil {
		t.Errorf("over a stale socket: %v", err)
	} else {
		s.Close()
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := touchdetector.Listen(file, nil); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("over a file: %v", err)
	}
	if text, _ := os.ReadFile(file); string(text) != "precious" {
		t.Error("the file is gone")
	}
	if _, err := touchdetector.Listen(filepath.Join(dir, "none", "s"), nil); err == nil {
		t.Error("a folder that is not there was no error")
	}
}

func TestDefaultPath(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if got, err := touchdetector.DefaultPath(); err != nil || got != "/run/user/7/yubikey-touch-detector.socket" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got, err := touchdetector.DefaultPath(); err == nil || !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
		t.Errorf("without a runtime folder: got %q, %v", got, err)
	}
}
