package ctaphid_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

func TestServerInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{DeviceVersion: [3]byte{1, 2, 3}}), 64)
		send(t, dev, ctaphid.BroadcastCID, ctaphid.CmdInit, []byte("abcdefgh"))
		m, _ := receive(t, dev, time.Second)
		var r ctaphid.InitResponse
		if err := r.UnmarshalBinary([]byte(m.payload)); err != nil {
			t.Fatal(err)
		}
		want := ctaphid.InitResponse{
			Nonce: [8]byte([]byte("abcdefgh")), CID: r.CID, ProtocolVersion: 2,
			DeviceVersion: [3]byte{1, 2, 3}, Capabilities: ctaphid.CapCBOR | ctaphid.CapWink,
		}
		if r != want {
			t.Errorf("got %+v, want %+v", r, want)
		}
		if other := initRaw(t, dev); other == r.CID {
			t.Errorf("second INIT: channel %08x again", other)
		}
	})
}

// TestServerRefuses sends what the specification has an error for.
func TestServerRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{Capabilities: ctaphid.CapNMSG}), 64)
		cid := initRaw(t, dev)
		for _, c := range []struct {
			name    string
			cid     uint32
			cmd     ctaphid.Command
			payload string
			want    ctaphid.Error
		}{
			{"channel 0", 0, ctaphid.CmdPing, "x", ctaphid.ErrInvalidChannel},
			{"INIT on channel 0", 0, ctaphid.CmdInit, "12345678", ctaphid.ErrInvalidChannel},
			{"unallocated channel", cid + 1, ctaphid.CmdPing, "x", ctaphid.ErrInvalidChannel},
			{"INIT on an unallocated channel", cid + 1, ctaphid.CmdInit, "12345678", ctaphid.ErrInvalidChannel},
			{"PING on the broadcast channel", ctaphid.BroadcastCID, ctaphid.CmdPing, "x", ctaphid.ErrInvalidChannel},
			{"INIT with a short nonce", ctaphid.BroadcastCID, ctaphid.CmdInit, "1234567", ctaphid.ErrInvalidLen},
			{"INIT with a long nonce", cid, ctaphid.CmdInit, "123456789", ctaphid.ErrInvalidLen},
			{"unknown command", cid, 0x3A, "x", ctaphid.ErrInvalidCmd},
			{"KEEPALIVE", cid, ctaphid.CmdKeepalive, "\x01", ctaphid.ErrInvalidCmd},
			{"MSG without it", cid, ctaphid.CmdMSG, "x", ctaphid.ErrInvalidCmd},
			{"CBOR without it", cid, ctaphid.CmdCBOR, "x", ctaphid.ErrInvalidCmd},
			{"WINK without it", cid, ctaphid.CmdWink, "", ctaphid.ErrInvalidCmd},
			{"LOCK without time", cid, ctaphid.CmdLock, "", ctaphid.ErrInvalidLen},
			{"LOCK for 11 seconds", cid, ctaphid.CmdLock, "\x0b", ctaphid.ErrInvalidPar},
			{"unknown vendor command", cid, 0x40, "x", ctaphid.ErrInvalidCmd},
		} {
			send(t, dev, c.cid, c.cmd, []byte(c.payload))
			got, ok := receive(t, dev, time.Second)
			if w := (message{c.cid, ctaphid.CmdError, string([]byte{byte(c.want)})}); !ok || got != w {
				t.Errorf("%s: got %v on %08x: %x, want error %x", c.name, got.cmd, got.cid, got.payload, byte(c.want))
			}
		}
		// The key is free after all that.
		send(t, dev, cid, ctaphid.CmdPing, nil)
		want(t, dev, cid, ctaphid.CmdPing, "")
	})
}

func TestServerRefusesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		report := make([]byte, 64)
		f, err := ctaphid.NewFramer(64, cid, ctaphid.CmdPing, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.Next(report)
		report[5], report[6] = 0x1D, 0xBA // 7610
		if _, err := dev.Write(report); err != nil {
			t.Fatal(err)
		}
		wantError(t, dev, cid, ctaphid.ErrInvalidLen)
	})
}

func TestServerSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		// A continuation that continues nothing is ignored.
		report := make([]byte, 64)
		report[0], report[1], report[2], report[3], report[4] = byte(cid>>24), byte(cid>>16), byte(cid>>8), byte(cid), 1
		write := func() {
			if _, err := dev.Write(report); err != nil {
				t.Fatal(err)
			}
		}
		write()
		wantNothing(t, dev, time.Second)
		// One out of sequence ends the message.
		send(t, dev, cid, ctaphid.CmdPing, pattern(300), 1)
		write()
		wantError(t, dev, cid, ctaphid.ErrInvalidSeq)
		// So does another beginning; what follows belongs to nothing.
		send(t, dev, cid, ctaphid.CmdPing, pattern(300), 2)
		send(t, dev, cid, ctaphid.CmdPing, []byte("x"))
		wantError(t, dev, cid, ctaphid.ErrInvalidSeq)
		write()
		wantNothing(t, dev, time.Second)
	})
}

func TestServerMessageTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{})
		dev, second := serve(t, s, 64), serve(t, s, 64)
		cid, other := initRaw(t, dev), initRaw(t, second)
		start := time.Now()
		send(t, dev, cid, ctaphid.CmdPing, pattern(300), 2)
		synctest.Wait()
		send(t, second, other, ctaphid.CmdPing, []byte("x"))
		wantError(t, second, other, ctaphid.ErrChannelBusy)
		wantError(t, dev, cid, ctaphid.ErrMsgTimeout)
		if got := time.Since(start); got != 500*time.Millisecond {
			t.Errorf("timed out after %v, want 500ms", got)
		}
		send(t, second, other, ctaphid.CmdPing, []byte("x"))
		want(t, second, other, ctaphid.CmdPing, "x")
	})
}

func TestServerTotalMessageTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		start := time.Now()
		f, err := ctaphid.NewFramer(64, cid, ctaphid.CmdPing, pattern(7609))
		if err != nil {
			t.Fatal(err)
		}
		// One packet every 400 ms does not hold the key for a minute.
		report := make([]byte, 64)
		for f.Next(report) {
			if _, err := dev.Write(report); err != nil {
				t.Fatal(err)
			}
			if m, ok := receive(t, dev, 400*time.Millisecond); ok {
				if m.payload != string([]byte{byte(ctaphid.ErrMsgTimeout)}) || time.Since(start) != 3*time.Second {
					t.Fatalf("got %x after %v, want ErrMsgTimeout after 3s", m.payload, time.Since(start))
				}
				return
			}
		}
		t.Fatal("no time-out")
	})
}

func TestServerTellsOnceOfAPersonWhoWasThereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = func(_ context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
			keepalive(ctaphid.StatusUPNeeded)
			keepalive(ctaphid.StatusProcessing)
			return []byte{0}, nil
		}
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		send(t, dev, cid, ctaphid.CmdCBOR, []byte{0x0B})
		want(t, dev, cid, ctaphid.CmdKeepalive, "\x02")
		want(t, dev, cid, ctaphid.CmdCBOR, "\x00")
	})
}

func TestServerKeepaliveCadence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = func(ctx context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			keepalive(ctaphid.StatusUPNeeded)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return []byte{0}, nil
		}
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		start := time.Now()
		last, upAt := start, time.Duration(0)
		send(t, dev, cid, ctaphid.CmdCBOR, []byte{4})
		counts := map[string]int{}
		for {
			m, ok := receive(t, dev, time.Second)
			if !ok || m.cid != cid {
				t.Fatalf("got %v on %08x", m.cmd, m.cid)
			}
			if gap := time.Since(last); gap > 100*time.Millisecond {
				t.Fatalf("silent for %v, want at most 100ms", gap)
			}
			last = time.Now()
			if m.cmd == ctaphid.CmdCBOR {
				break
			}
			counts[m.payload]++
			if m.payload == "\x02" && upAt == 0 {
				upAt = time.Since(start)
			}
		}
		if upAt != time.Second {
			t.Errorf("first UP needed after %v, want 1s, with the change", upAt)
		}
		if counts["\x01"] < 10 || counts["\x02"] < 10 || len(counts) != 2 {
			t.Errorf("got keepalives %v, want at least ten of each status", counts)
		}
		wantNothing(t, dev, time.Second)
	})
}

func TestServerCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = touch
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		cid, other := initRaw(t, dev), initRaw(t, dev)
		send(t, dev, cid, ctaphid.CmdCancel, nil) // nothing runs
		send(t, dev, cid, ctaphid.CmdCBOR, []byte{1})
		want(t, dev, cid, ctaphid.CmdKeepalive, "\x02")
		send(t, dev, other, ctaphid.CmdCancel, nil) // not its transaction
		want(t, dev, cid, ctaphid.CmdKeepalive, "\x02")
		send(t, dev, other, ctaphid.CmdCBOR, []byte{1})
		wantError(t, dev, other, ctaphid.ErrChannelBusy)
		send(t, dev, cid, ctaphid.CmdCancel, nil)
		want(t, dev, cid, ctaphid.CmdCBOR, "\x2d")
		wantNothing(t, dev, time.Second)
	})
}

func TestServerInitAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = touch
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		for _, half := range []bool{false, true} {
			if half {
				send(t, dev, cid, ctaphid.CmdPing, pattern(300), 1)
			} else {
				send(t, dev, cid, ctaphid.CmdCBOR, []byte{1})
				want(t, dev, cid, ctaphid.CmdKeepalive, "\x02")
			}
			send(t, dev, cid, ctaphid.CmdInit, []byte("resync!!"))
			m, _ := receive(t, dev, time.Second)
			if m.cid != cid || m.cmd != ctaphid.CmdInit || !strings.HasPrefix(m.payload, "resync!!") {
				t.Fatalf("got %v on %08x: %x, want INIT's answer", m.cmd, m.cid, m.payload)
			}
			wantNothing(t, dev, time.Second)
			send(t, dev, cid, ctaphid.CmdPing, []byte("x"))
			want(t, dev, cid, ctaphid.CmdPing, "x")
		}
	})
}

func TestServerLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{})
		dev, second := serve(t, s, 64), serve(t, s, 64)
		cid, other := initRaw(t, dev), initRaw(t, second)
		ping := func(dev hid.Device, cid uint32, busy bool) {
			t.Helper()
			send(t, dev, cid, ctaphid.CmdPing, []byte("x"))
			if busy {
				wantError(t, dev, cid, ctaphid.ErrChannelBusy)
			} else {
				want(t, dev, cid, ctaphid.CmdPing, "x")
			}
		}
		lock := func(seconds string) {
			t.Helper()
			send(t, dev, cid, ctaphid.CmdLock, []byte(seconds))
			want(t, dev, cid, ctaphid.CmdLock, "")
		}
		lock("\x02")
		ping(second, other, true)
		ping(dev, cid, false)
		time.Sleep(2*time.Second - 1)
		ping(second, other, true)
		time.Sleep(time.Nanosecond)
		ping(second, other, false) // expired
		lock("\x0a")
		lock("\x00")
		ping(second, other, false) // released
		lock("\x0a")
		dev.Close()
		synctest.Wait()
		ping(second, other, false) // its owner is gone
	})
}

func TestServerConnectionsHaveTheirOwnChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{})
		dev, second := serve(t, s, 64), serve(t, s, 64)
		cid := initRaw(t, dev)
		send(t, second, cid, ctaphid.CmdPing, []byte("x"))
		wantError(t, second, cid, ctaphid.ErrInvalidChannel)
		wantNothing(t, dev, time.Second)
	})
}

func TestServerDisconnectCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = touch
		s := ctaphid.NewServer(a, ctaphid.ServerConfig{})
		dev, second := serve(t, s, 64), serve(t, s, 64)
		cid, other := initRaw(t, dev), initRaw(t, second)
		send(t, dev, cid, ctaphid.CmdCBOR, []byte{1})
		want(t, dev, cid, ctaphid.CmdKeepalive, "\x02")
		dev.Close()
		synctest.Wait()
		if n := a.calls.Load(); n != 0 {
			t.Errorf("got %d calls running, want none", n)
		}
		send(t, second, other, ctaphid.CmdPing, []byte("x"))
		want(t, second, other, ctaphid.CmdPing, "x")
	})
}

func TestServeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		a.cbor = touch
		host, key := hid.NewPipe(64, 64)
		defer host.Close()
		defer key.Close()
		cause := errors.New("power off")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- ctaphid.NewServer(a, ctaphid.ServerConfig{}).Serve(ctx, key) }()
		cid := initRaw(t, host)
		send(t, host, cid, ctaphid.CmdCBOR, []byte{1})
		want(t, host, cid, ctaphid.CmdKeepalive, "\x02")
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
		if n := a.calls.Load(); n != 0 {
			t.Errorf("got %d calls running, want none", n)
		}
		wantNothing(t, host, time.Second)
	})
}

func TestServerEvictsOldestChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := serve(t, ctaphid.NewServer(newAuthenticator(), ctaphid.ServerConfig{MaxChannels: 2}), 64)
		first, second := initRaw(t, dev), initRaw(t, dev)
		send(t, dev, first, ctaphid.CmdPing, []byte("x"))
		want(t, dev, first, ctaphid.CmdPing, "x")
		initRaw(t, dev) // takes the place of second
		send(t, dev, second, ctaphid.CmdPing, []byte("x"))
		wantError(t, dev, second, ctaphid.ErrInvalidChannel)
		send(t, dev, first, ctaphid.CmdPing, []byte("x"))
		want(t, dev, first, ctaphid.CmdPing, "x")
	})
}

func TestServerAuthenticatorErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		var answer []byte
		var fail error
		a.cbor = func(context.Context, []byte, func(byte)) ([]byte, error) { return answer, fail }
		dev := serve(t, ctaphid.NewServer(a, ctaphid.ServerConfig{}), 64)
		cid := initRaw(t, dev)
		for _, c := range []struct {
			answer []byte
			fail   error
			want   ctaphid.Error
		}{
			{nil, errors.New("disk full"), ctaphid.ErrOther},
			{nil, ctaphid.ErrInvalidPar, ctaphid.ErrInvalidPar},
			{nil, nil, ctaphid.ErrOther},
			{make([]byte, 7610), nil, ctaphid.ErrOther},
		} {
			answer, fail = c.answer, c.fail
			send(t, dev, cid, ctaphid.CmdCBOR, []byte{1})
			wantError(t, dev, cid, c.want)
		}
	})
}

// FuzzServer feeds a server random reports on real channels.
func FuzzServer(f *testing.F) {
	f.Add([]byte{1, 0x86, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0, 0x90, 0, 1, 4, 0, 0x91, 0, 0, 0, 0x81, 1, 0, 0, 0})
	f.Add([]byte{0, 0x84, 0, 1, 9, 2, 0x81, 0, 1, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			a := newAuthenticator()
			a.cbor = touch
			s := ctaphid.NewServer(a, ctaphid.ServerConfig{MaxChannels: 3})
			dev := serve(t, s, 16)
			cids := []uint32{initRaw(t, dev), ctaphid.BroadcastCID, initRaw(t, dev), 0}
			for len(b) > 0 {
				report := make([]byte, 16)
				cid := cids[int(b[0])%len(cids)]
				report[0], report[1], report[2], report[3] = byte(cid>>24), byte(cid>>16), byte(cid>>8), byte(cid)
				n := copy(report[4:], b[1:])
				b = b[1+n:]
				if _, err := dev.Write(report); err != nil {
					t.Fatal(err)
				}
				for {
					if _, ok := receive(t, dev, time.Millisecond); !ok {
						break
					}
				}
			}
			// Whatever came, another program gets its turn once the
			// channels have been resynchronized and locks have ended.
			for start := time.Now(); time.Since(start) < 11*time.Second; {
				receive(t, dev, time.Second)
			}
			for _, cid := range []uint32{cids[0], cids[2]} {
				send(t, dev, cid, ctaphid.CmdInit, []byte("12345678"))
			}
			synctest.Wait()
			second := serve(t, s, 64)
			other := initRaw(t, second)
			send(t, second, other, ctaphid.CmdPing, []byte("x"))
			want(t, second, other, ctaphid.CmdPing, "x")
		})
	})
}
