package ctaphid_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

type callFunc func(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error)

// authenticator is a scripted ctaphid.Authenticator that can wink and has one
// vendor command.
type authenticator struct {
	cbor, msg callFunc
	vendor    func(ctx context.Context, cmd byte, payload []byte) ([]byte, error)
	winks     atomic.Int32
	calls     atomic.Int32
}

func (a *authenticator) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	if a.calls.Add(1) != 1 {
		panic("overlapping calls")
	}
	defer a.calls.Add(-1)
	return a.cbor(ctx, request, keepalive)
}

func (a *authenticator) MSG(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	return a.msg(ctx, request, keepalive)
}

func (a *authenticator) Vendor(ctx context.Context, cmd byte, payload []byte, _ func(byte)) ([]byte, error) {
	return a.vendor(ctx, cmd, payload)
}

func (a *authenticator) Wink() { a.winks.Add(1) }

// echo answers at once with status 0 and the request.
func echo(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	return append([]byte{0}, request...), nil
}

// touch waits for the person, who never comes, and answers a cancel as CTAP says.
func touch(ctx context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
	keepalive(ctaphid.StatusUPNeeded)
	<-ctx.Done()
	return []byte{0x2D}, nil
}

func newAuthenticator() *authenticator {
	return &authenticator{cbor: echo, msg: echo, vendor: func(_ context.Context, cmd byte, payload []byte) ([]byte, error) {
		if cmd != 0x41 {
			return nil, ctaphid.ErrInvalidCmd
		}
		return payload, nil
	}}
}

// serve serves a pipe of s until the test or bubble ends, and returns its host end.
func serve(t testing.TB, s *ctaphid.Server, size int) hid.Device {
	t.Helper()
	host, key := hid.NewPipe(size, size)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), key) }()
	t.Cleanup(func() {
		host.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want nil after the host is gone", err)
		}
		key.Close()
	})
	return host
}

func open(t testing.TB, dev hid.Device) *ctaphid.Channel {
	t.Helper()
	c, err := ctaphid.Open(t.Context(), dev)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return c
}

// send writes a message, or only its first packets.
func send(t testing.TB, dev hid.Device, cid uint32, cmd ctaphid.Command, payload []byte, packets ...int) {
	t.Helper()
	_, size := dev.ReportSizes()
	f, err := ctaphid.NewFramer(size, cid, cmd, payload)
	if err != nil {
		t.Fatal(err)
	}
	report := make([]byte, size)
	for i := 0; f.Next(report); i++ {
		if len(packets) > 0 && i >= packets[0] {
			return
		}
		if _, err := dev.Write(report); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
}

type message struct {
	cid     uint32
	cmd     ctaphid.Command
	payload string
}

// receive reads the next message; ok is false when none comes within wait.
func receive(t testing.TB, dev hid.Device, wait time.Duration) (m message, ok bool) {
	t.Helper()
	size, _ := dev.ReportSizes()
	r, err := ctaphid.NewReassembler(size)
	if err != nil {
		t.Fatal(err)
	}
	report := make([]byte, size)
	if err := dev.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := dev.Read(report)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, hid.ErrGone) || errors.Is(err, os.ErrClosed) {
			return message{}, false
		}
		if err != nil {
			t.Fatal(err)
		}
		p, ok := ctaphid.ParsePacket(report[:n])
		if !ok {
			t.Fatalf("not a packet: %x", report[:n])
		}
		done, err := r.Add(p)
		if err != nil {
			t.Fatalf("packet %x: %v", report[:n], err)
		}
		if done {
			return message{r.CID(), r.Command(), string(r.Payload())}, true
		}
	}
}

// want reads the next message and compares it.
func want(t testing.TB, dev hid.Device, cid uint32, cmd ctaphid.Command, payload string) {
	t.Helper()
	got, ok := receive(t, dev, 10*time.Second)
	if !ok {
		t.Fatalf("got nothing, want %v on %08x", cmd, cid)
	}
	if w := (message{cid, cmd, payload}); got != w {
		t.Fatalf("got %v on %08x: %x, want %v on %08x: %x", got.cmd, got.cid, got.payload, cmd, cid, payload)
	}
}

func wantError(t testing.TB, dev hid.Device, cid uint32, code ctaphid.Error) {
	t.Helper()
	want(t, dev, cid, ctaphid.CmdError, string([]byte{byte(code)}))
}

func wantNothing(t testing.TB, dev hid.Device, wait time.Duration) {
	t.Helper()
	if m, ok := receive(t, dev, wait); ok {
		t.Fatalf("got %v on %08x: %x, want nothing", m.cmd, m.cid, m.payload)
	}
}

// initRaw allocates a channel by hand.
func initRaw(t testing.TB, dev hid.Device) uint32 {
	t.Helper()
	send(t, dev, ctaphid.BroadcastCID, ctaphid.CmdInit, []byte("12345678"))
	m, ok := receive(t, dev, time.Second)
	if !ok || m.cid != ctaphid.BroadcastCID || m.cmd != ctaphid.CmdInit || len(m.payload) != 17 || m.payload[:8] != "12345678" {
		t.Fatalf("INIT: got %v %x, want a 17-byte answer with the nonce", m.cmd, m.payload)
	}
	return binary.BigEndian.Uint32([]byte(m.payload[8:]))
}
