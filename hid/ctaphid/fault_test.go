package ctaphid_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// faulty drops, repeats and garbles reports in both directions.
type faulty struct {
	hid.Device
	random *rand.Rand // nil: no faults
	repeat []byte     // read again next
}

func (f *faulty) Write(b []byte) (int, error) {
	if f.random != nil {
		switch f.random.IntN(40) {
		case 0:
			return len(b), nil
		case 1:
			if _, err := f.Device.Write(b); err != nil {
				return 0, err
			}
		case 2:
			b = bytes.Clone(b)
			b[f.random.IntN(len(b))] ^= byte(1 + f.random.IntN(255))
		}
	}
	return f.Device.Write(b)
}

func (f *faulty) Read(b []byte) (int, error) {
	if f.repeat != nil {
		n := copy(b, f.repeat)
		f.repeat = nil
		return n, nil
	}
	for {
		n, err := f.Device.Read(b)
		if err != nil || f.random == nil {
			return n, err
		}
		switch f.random.IntN(40) {
		case 0:
			continue
		case 1:
			f.repeat = bytes.Clone(b[:n])
		case 2:
			b[f.random.IntN(n)] ^= byte(1 + f.random.IntN(255))
		}
		return n, nil
	}
}

// TestChannelSurvivesFaults wants every command over a bad wire to end by its
// deadline and the time that cancelling takes, and the channel to be good again
// when the wire is.
func TestChannelSurvivesFaults(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			a := newAuthenticator()
			a.cbor = func(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
				if len(request) > 500 {
					// Like real keys it gives up by itself: the channel that
					// it works for may be one that we no longer have.
					ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
					defer cancel()
					return touch(ctx, request, keepalive)
				}
				return echo(ctx, request, keepalive)
			}
			dev := &faulty{Device: serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)}
			c := open(t, dev)
			failed := 0
			dev.random = random
			for range 100 {
				request := pattern(1 + random.IntN(1000))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				start := time.Now()
				_, err := c.CBOR(ctx, request, nil)
				cancel()
				if took := time.Since(start); took > 7100*time.Millisecond {
					t.Fatalf("seed %d: took %v with a deadline of 5s: %v", seed, took, err)
				}
				if err != nil {
					failed++
				}
			}
			if failed == 0 {
				t.Errorf("seed %d: no command failed, so there were no faults", seed)
			}
			dev.random, dev.repeat = nil, nil
			// What a repeated request left behind ends here.
			if err := c.Resync(t.Context()); err != nil {
				t.Fatalf("seed %d: Resync on a good wire: %v", seed, err)
			}
			if got, err := c.CBOR(t.Context(), []byte{4}, nil); err != nil || !bytes.Equal(got, []byte{0, 4}) {
				t.Errorf("seed %d: got %x, %v on a good wire", seed, got, err)
			}
		})
	}
}

func TestMSGIsAwaitedWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.msg = func(ctx context.Context, _ []byte, _ func(byte)) ([]byte, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err() // nobody may cancel U2F
			case <-time.After(500 * time.Millisecond):
			}
			return []byte{0x69, 0x85}, nil
		}
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if got, err := c.MSG(ctx, []byte{0, 1, 0, 0}, nil); err != nil || !bytes.Equal(got, []byte{0x69, 0x85}) {
			t.Errorf("got %x, %v, want the answer", got, err)
		}
	})
}

func TestVendorCommandIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.vendor = func(ctx context.Context, _ byte, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Vendor(ctx, 0x41, nil, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want the deadline after 1s", err, time.Since(start))
		}
	})
}

// TestServerKeepsAuthenticatorToItself has a call outlive its transaction: the next
// one waits, with keepalives, until it has returned.
func TestServerKeepsAuthenticatorToItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = func(ctx context.Context, request []byte, _ func(byte)) ([]byte, error) {
			time.Sleep(10 * time.Second)
			return append([]byte{0}, request...), nil
		}
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		c := open(t, dev)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.CBOR(ctx, []byte{1}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if got, err := c.CBOR(t.Context(), []byte{2}, nil); err != nil || !bytes.Equal(got, []byte{0, 2}) {
			t.Errorf("got %x, %v, want the second request's answer", got, err)
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("took %v, want 20s: one call after the other", took)
		}
	})
}

// TestOverStream runs both sides over a socket that carries raw reports.
func TestOverStream(t *testing.T) {
	a, b := net.Pipe()
	host, key := hid.NewStream(a, 64, 64), hid.NewStream(b, 64, 64)
	served := make(chan error, 1)
	go func() {
		served <- ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}).Serve(context.Background(), key)
	}()
	c := open(t, host)
	data := pattern(7609)
	if got, err := c.Ping(t.Context(), data); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v, want %d back", len(got), err, len(data))
	}
	host.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	key.Close()
}
