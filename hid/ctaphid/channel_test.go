package ctaphid_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

func TestChannelCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.msg = func(_ context.Context, b []byte, _ func(byte)) ([]byte, error) { return append(b, 0x90, 0), nil }
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{DeviceVersion: [3]byte{5, 7, 1}}), 64))
		if got := c.Init(); got.DeviceVersion != [3]byte{5, 7, 1} || got.Capabilities != ctaphid.CapCBOR|ctaphid.CapWink {
			t.Errorf("Init: got %+v", got)
		}
		if got, err := c.CBOR(t.Context(), []byte{4}, nil); err != nil || !bytes.Equal(got, []byte{0, 4}) {
			t.Errorf("CBOR: got %x, %v", got, err)
		}
		if got, err := c.MSG(t.Context(), []byte{1, 2}, nil); err != nil || !bytes.Equal(got, []byte{1, 2, 0x90, 0}) {
			t.Errorf("MSG: got %x, %v", got, err)
		}
		if err := c.Wink(t.Context()); err != nil || a.winks.Load() != 1 {
			t.Errorf("Wink: got %v and %d winks", err, a.winks.Load())
		}
		if got, err := c.Vendor(t.Context(), 0x41, []byte("v"), nil); err != nil || string(got) != "v" {
			t.Errorf("Vendor: got %q, %v", got, err)
		}
		var refused *ctaphid.CommandError
		if _, err := c.Vendor(t.Context(), 0x42, nil, nil); !errors.Is(err, ctaphid.ErrInvalidCmd) || !errors.As(err, &refused) ||
			!refused.FromKey || refused.Command != 0x42 {
			t.Errorf("unknown vendor command: got %v, want ErrInvalidCmd from the key", err)
		}
		for _, cmd := range []byte{0x3F, 0x80} {
			if _, err := c.Vendor(t.Context(), cmd, nil, nil); !errors.Is(err, ctaphid.ErrArgument) {
				t.Errorf("Vendor(%#x): got %v, want ErrArgument", cmd, err)
			}
		}
		for _, seconds := range []int{-1, 11} {
			if err := c.Lock(t.Context(), seconds); !errors.Is(err, ctaphid.ErrArgument) {
				t.Errorf("Lock(%d): got %v, want ErrArgument", seconds, err)
			}
		}
		if _, err := c.Ping(t.Context(), make([]byte, 7610)); !errors.Is(err, ctaphid.ErrTooLong) {
			t.Errorf("Ping of 7610 bytes: got %v, want ErrTooLong", err)
		}
		if err := c.Resync(t.Context()); err != nil {
			t.Errorf("Resync: %v", err)
		}
	})
}

func TestChannelPingsOfAllSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{})
		for size := ctaphid.MinReportSize; size <= ctaphid.MaxReportSize; size++ {
			c := open(t, serve(t, s, size))
			data := pattern(ctaphid.MaxMessage(size))
			if got, err := c.Ping(t.Context(), data); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d-byte reports: got %d bytes, %v, want %d back", size, len(got), err, len(data))
			}
		}
		if n := ctaphid.MaxMessage(64); n != 7609 {
			t.Errorf("longest message: got %d, want 7609", n)
		}
	})
}

func TestChannelRefusesReportSize(t *testing.T) {
	host, key := hid.NewPipe(7, 64)
	defer host.Close()
	defer key.Close()
	if _, err := ctaphid.Open(t.Context(), host); !errors.Is(err, ctaphid.ErrReportSize) {
		t.Errorf("got %v, want ErrReportSize", err)
	}
}

// TestChannelKeepalive wants every KEEPALIVE reported, which also keeps the
// exchange alive for as long as it takes.
func TestChannelKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = func(_ context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
			time.Sleep(10 * time.Second)
			keepalive(2)
			time.Sleep(10 * time.Second)
			return []byte{0}, nil
		}
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64))
		var got []byte
		if _, err := c.CBOR(t.Context(), []byte{1}, func(s byte) { got = append(got, s) }); err != nil {
			t.Fatal(err)
		}
		if len(got) < 200 || !bytes.Equal(slices.Compact(slices.Clone(got)), []byte{1, 2}) {
			t.Errorf("got %d keepalives, changing as %x; want at least 200, 1 and then 2", len(got), slices.Compact(got))
		}
	})
}

func TestChannelSkipsForeignTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = func(_ context.Context, b []byte, _ func(byte)) ([]byte, error) {
			time.Sleep(time.Duration(b[1]) * time.Millisecond)
			return bytes.Repeat(b, 100), nil
		}
		host, key := hid.NewPipe(64, 64)
		fan := hid.NewFanout(host)
		served := make(chan error, 1)
		go func() { served <- ctaphid.NewServer(a, ctaphid.ServerConfig{}).Serve(context.Background(), key) }()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				dev := fan.Connect()
				defer dev.Close()
				c, err := ctaphid.Open(t.Context(), dev)
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				for j := range 20 {
					request := []byte{byte(i), byte(j)}
					got, err := c.CBOR(t.Context(), request, nil)
					if err != nil || !bytes.Equal(got, bytes.Repeat(request, 100)) {
						t.Errorf("client %d, request %d: got %x…, %v", i, j, got[:min(2, len(got))], err)
						return
					}
				}
			})
		}
		wg.Wait()
		fan.Close()
		host.Close()
		key.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestOpenSkipsForeignNonces answers INIT for others first.
func TestOpenSkipsForeignNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		defer host.Close()
		defer key.Close()
		go func() {
			m, _ := receive(t, key, time.Second)
			answer := func(nonce string, cid uint32) {
				b := binary.BigEndian.AppendUint32([]byte(nonce), cid)
				send(t, key, ctaphid.BroadcastCID, ctaphid.CmdInit, append(b, 2, 0, 0, 0, 4))
			}
			answer("not ours", 1)
			send(t, key, ctaphid.BroadcastCID, ctaphid.CmdError, []byte{1}) // to somebody
			send(t, key, 9, ctaphid.CmdKeepalive, []byte{1})
			answer(m.payload, 2)
		}()
		if got := open(t, host).Init().CID; got != 2 {
			t.Errorf("got channel %d, want 2", got)
		}
	})
}

func TestChannelBusyIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{})
		holder, c := open(t, serve(t, s, 64)), open(t, serve(t, s, 64))
		if err := holder.Lock(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := c.Ping(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 5500*time.Millisecond {
			t.Errorf("got through after %v, want soon after the lock's 5s", took)
		}
		if err := holder.Lock(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err := c.Ping(ctx, []byte("x"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want the deadline after 1s", err, time.Since(start))
		}
		if err := holder.Lock(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ping(t.Context(), []byte("x")); err != nil {
			t.Errorf("after the lock is released: %v", err)
		}
	})
}

func TestOpenRetriesBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		defer host.Close()
		defer key.Close()
		go func() {
			for range 5 {
				receive(t, key, time.Second)
				send(t, key, ctaphid.BroadcastCID, ctaphid.CmdError, []byte{byte(ctaphid.ErrChannelBusy)})
			}
			m, _ := receive(t, key, time.Second)
			send(t, key, ctaphid.BroadcastCID, ctaphid.CmdInit, append([]byte(m.payload), 0, 0, 0, 7, 2, 0, 0, 0, 4))
		}()
		if got := open(t, host).Init().CID; got != 7 {
			t.Errorf("got channel %d, want 7", got)
		}
	})
}

func TestChannelCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = touch
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64))
		cause := errors.New("hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := c.CBOR(ctx, []byte{1}, func(byte) { cancel(cause) })
		var failed *ctaphid.CommandError
		if !errors.Is(err, cause) || !errors.As(err, &failed) || failed.Command != ctaphid.CmdCBOR || failed.FromKey {
			t.Errorf("got %v, want %v of CBOR", err, cause)
		}
		if n := a.calls.Load(); n != 0 {
			t.Errorf("got %d calls running after the cancel, want none", n)
		}
		a.cbor = echo
		if got, err := c.CBOR(t.Context(), []byte{4}, nil); err != nil || !bytes.Equal(got, []byte{0, 4}) {
			t.Errorf("next command: got %x, %v", got, err)
		}
		ended, stop := context.WithCancel(t.Context())
		stop()
		if _, err := c.CBOR(ended, []byte{4}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: got %v, want context.Canceled", err)
		}
	})
}

// TestChannelCancelRaces has the key complete in spite of the cancel.
func TestChannelCancelRaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		credential := append([]byte{0}, pattern(900)...)
		a.cbor = func(ctx context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(500 * time.Millisecond)
			return credential, nil
		}
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := c.CBOR(ctx, []byte{1}, nil)
		if err != nil || !bytes.Equal(got, credential) {
			t.Errorf("got %d bytes, %v, want the answer that the key completed", len(got), err)
		}
	})
}

// TestChannelCancelIgnored has a key that does not answer the cancel, so that INIT
// must free it.
func TestChannelCancelIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = func(ctx context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(time.Minute)
			return []byte{0, 1}, nil
		}
		c := open(t, serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.CBOR(ctx, []byte{1}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("returned after %v, want 1s and the cancel time-out of 1s", took)
		}
		if got, err := c.Ping(t.Context(), []byte("x")); err != nil || string(got) != "x" {
			t.Errorf("next command: got %q, %v", got, err)
		}
	})
}

// slowWriter ends a context at a given write.
type slowWriter struct {
	hid.Device
	writes int
	at     int
	then   func()
}

func (s *slowWriter) Write(b []byte) (int, error) {
	if s.writes++; s.writes == s.at {
		s.then()
	}
	return s.Device.Write(b)
}

func TestChannelCancelWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dev := &slowWriter{Device: serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64), at: 10, then: cancel}
		c := open(t, dev)
		if _, err := c.Ping(ctx, pattern(7609)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		// INIT, the packets up to the cancel, INIT to drop the half message.
		if dev.writes != 11 {
			t.Errorf("got %d packets written, want 11", dev.writes)
		}
		if got, err := c.Ping(t.Context(), []byte("x")); err != nil || string(got) != "x" {
			t.Errorf("next command: got %q, %v", got, err)
		}
	})
}

func TestChannelSilentKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		defer key.Close()
		start := time.Now()
		if _, err := ctaphid.Open(t.Context(), host); !errors.Is(err, ctaphid.ErrSilent) || time.Since(start) != 3*time.Second {
			t.Errorf("Open: got %v after %v, want ErrSilent after 3s", err, time.Since(start))
		}
		host.Close()

		a := newAuthenticator()
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		deaf := &filter{Device: dev}
		c := open(t, deaf)
		deaf.drop = func(p ctaphid.Packet) bool { return p.CID == c.Init().CID }
		start = time.Now()
		if _, err := c.Ping(t.Context(), []byte("x")); !errors.Is(err, ctaphid.ErrSilent) || time.Since(start) != 3*time.Second {
			t.Errorf("Ping: got %v after %v, want ErrSilent after 3s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := c.Ping(ctx, []byte("x")); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Ping: got %v after %v, want the deadline after 1s", err, time.Since(start))
		}
		deaf.drop = nil
		if got, err := c.Ping(t.Context(), []byte("y")); err != nil || string(got) != "y" {
			t.Errorf("when it speaks again: got %q, %v", got, err)
		}
	})
}

// filter drops reports from the key.
type filter struct {
	hid.Device
	drop func(ctaphid.Packet) bool
}

func (f *filter) Read(b []byte) (int, error) {
	for {
		n, err := f.Device.Read(b)
		if err != nil || f.drop == nil {
			return n, err
		}
		if p, ok := ctaphid.ParsePacket(b[:n]); !ok || !f.drop(p) {
			return n, nil
		}
	}
}

// TestChannelForeignFloodDoesNotHideSilence keeps another channel talking.
func TestChannelForeignFloodDoesNotHideSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		defer host.Close()
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					send(t, key, 99, ctaphid.CmdKeepalive, []byte{2})
				}
			}
		}()
		start := time.Now()
		if _, err := ctaphid.Open(t.Context(), host); !errors.Is(err, ctaphid.ErrSilent) || time.Since(start) > 3010*time.Millisecond {
			t.Errorf("got %v after %v, want ErrSilent after 3s", err, time.Since(start))
		}
		close(stop)
		<-done
		key.Close()
	})
}

func TestChannelLostPacketIsMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &filter{Device: serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64)}
		c := open(t, f)
		f.drop = func(p ctaphid.Packet) bool { return !p.Init && p.Seq == 3 }
		_, err := c.CBOR(t.Context(), pattern(1000), nil)
		if !errors.Is(err, ctaphid.ErrMalformed) || !errors.Is(err, ctaphid.ErrInvalidSeq) {
			t.Errorf("got %v, want ErrMalformed with ErrInvalidSeq", err)
		}
		f.drop = nil
		if got, err := c.Ping(t.Context(), []byte("x")); err != nil || string(got) != "x" {
			t.Errorf("next command: got %q, %v", got, err)
		}
	})
}

func TestChannelDeviceGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		host, key := hid.NewPipe(64, 64)
		served := make(chan error, 1)
		a.cbor = func(ctx context.Context, _ []byte, _ func(byte)) ([]byte, error) {
			key.Close() // unplugged in the middle of the command
			return nil, ctx.Err()
		}
		go func() { served <- ctaphid.NewServer(a, ctaphid.ServerConfig{}).Serve(t.Context(), key) }()
		c := open(t, host)
		if _, err := c.CBOR(t.Context(), []byte{1}, nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("got %v, want hid.ErrGone", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
		if _, err := c.Ping(t.Context(), nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("next command: got %v, want hid.ErrGone", err)
		}
		host.Close()
	})
}

// TestChannelForgottenByKey gets a new channel when the key gave ours to others.
func TestChannelForgottenByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{MaxChannels: 1})
		c := open(t, serve(t, s, 64))
		old := c.Init().CID
		open(t, serve(t, s, 64))
		if _, err := c.Ping(t.Context(), nil); !errors.Is(err, ctaphid.ErrInvalidChannel) {
			t.Errorf("got %v, want ErrInvalidChannel", err)
		}
		if _, err := c.Ping(t.Context(), nil); err != nil || c.Init().CID == old {
			t.Errorf("next command: got %v on %08x, want a new channel", err, c.Init().CID)
		}
	})
}

func TestChannelSerializesCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				data := bytes.Repeat([]byte{byte(i)}, 500)
				for range 10 {
					if got, err := c.Ping(t.Context(), data); err != nil || !bytes.Equal(got, data) {
						t.Errorf("caller %d: got %d bytes, %v", i, len(got), err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestExchangeAllocations wants the number of allocations of an exchange not to
// depend on its number of packets.
func TestExchangeAllocations(t *testing.T) {
	c := open(t, serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64))
	count := func(n int) float64 {
		data := pattern(n)
		return testing.AllocsPerRun(50, func() {
			if _, err := c.Ping(context.Background(), data); err != nil {
				t.Fatal(err)
			}
		})
	}
	if small, large := count(10), count(7609); large > small+1 {
		t.Errorf("got %v allocations for 1 packet and %v for 129, want as many", small, large)
	}
}

// FuzzChannel has a client hear random reports, on its channel and others.
func FuzzChannel(f *testing.F) {
	f.Add([]byte{0, 0x90, 0, 1, 0}, false)
	f.Add([]byte{0, 0xBB, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xBF, 0, 1, 6}, true)
	f.Add([]byte{1, 0x86, 0, 17, 1, 2}, true)
	f.Fuzz(func(t *testing.T, b []byte, cancelled bool) {
		synctest.Test(t, func(t *testing.T) {
			host, key := hid.NewPipe(16, 16)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					m, ok := receive(t, key, time.Hour)
					if !ok {
						return
					}
					if m.cmd == ctaphid.CmdInit && m.cid == ctaphid.BroadcastCID {
						send(t, key, m.cid, ctaphid.CmdInit, append([]byte(m.payload), 0, 0, 0, 7, 2, 0, 0, 0, 4))
						continue
					}
					report := make([]byte, 16)
					for range 50 {
						if len(b) == 0 {
							break
						}
						binary.BigEndian.PutUint32(report, []uint32{7, ctaphid.BroadcastCID, 8, 0}[b[0]%4])
						n := copy(report[4:], b[1:])
						b = b[1+n:]
						if _, err := key.Write(report); err != nil {
							return
						}
					}
				}
			}()
			c := open(t, host)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			keepalive := func(byte) {
				if cancelled {
					cancel()
				}
			}
			start := time.Now()
			_, _ = c.CBOR(ctx, []byte{4}, keepalive)
			_, _ = c.Ping(ctx, pattern(20))
			if took := time.Since(start); took > time.Minute+5*time.Second {
				t.Errorf("took %v past a deadline of one minute", took)
			}
			host.Close()
			<-done
			key.Close()
		})
	})
}

func BenchmarkPing(b *testing.B) {
	for name, n := range map[string]int{"1packet": 57, "129packets": 7609} {
		b.Run(name, func(b *testing.B) {
			c := open(b, serve(b, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64))
			data := pattern(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Ping(b.Context(), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
