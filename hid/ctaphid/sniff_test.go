package ctaphid_test

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// said is the first report of a message.
func said(cid uint32, cmd ctaphid.Command, payload ...byte) []byte {
	report := make([]byte, 64)
	f, err := ctaphid.NewFramer(64, cid, cmd, payload)
	if err != nil {
		panic(err)
	}
	f.Next(report)
	return report
}

// initAnswer is the answer to an INIT on the broadcast channel.
func initAnswer(nonce [8]byte, cid uint32) []byte {
	answer, _ := ctaphid.InitResponse{Nonce: nonce, CID: cid, ProtocolVersion: 2}.AppendBinary(nil)
	return said(ctaphid.BroadcastCID, ctaphid.CmdInit, answer...)
}

func TestSnifferHearsTouches(t *testing.T) {
	const (
		keepalive = ctaphid.CmdKeepalive
		msg       = ctaphid.CmdMSG
		cbor      = ctaphid.CmdCBOR
	)
	up := said(7, keepalive, ctaphid.StatusUPNeeded)
	untouched := said(7, msg, 0x69, 0x85)
	long := make([]byte, 100)
	type step struct {
		after  time.Duration // since the step before
		report []byte        // nil for none: only time passes
		want   bool
	}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"keepalive until the answer", []step{{0, said(7, keepalive, ctaphid.StatusProcessing), false}, {0, up, true}, {100 * ms, up, true}, {100 * ms, said(7, cbor, 0), false}}},
		{"a long answer", []step{{0, up, true}, {0, said(7, cbor, long...), false}}},
		{"until the key computes", []step{{0, up, true}, {100 * ms, said(7, keepalive, ctaphid.StatusProcessing), false}}},
		{"until an error", []step{{0, up, true}, {0, said(7, ctaphid.CmdError, byte(ctaphid.ErrMsgTimeout)), false}}},
		{"another is refused as busy", []step{{0, up, true}, {0, said(8, ctaphid.CmdError, byte(ctaphid.ErrChannelBusy)), true}, {0, said(7, ctaphid.CmdError, byte(ctaphid.ErrChannelBusy)), true}}},
		{"silence", []step{{0, up, true}, {500 * ms, up, true}, {599 * ms, nil, true}, {ms, nil, false}}},
		{"other channels do not end it", []step{{0, up, true}, {0, said(8, cbor, 0), true}, {0, said(8, keepalive, ctaphid.StatusProcessing), true}}},
		{"two channels, one ends", []step{{0, up, true}, {0, said(8, keepalive, ctaphid.StatusUPNeeded), true}, {0, said(8, cbor, 0), true}, {0, said(7, cbor, 0), false}}},
		{"its channel is given anew", []step{{0, up, true}, {0, initAnswer([8]byte{1}, 7), false}}},
		{"U2F once is a question about a handle", []step{{0, untouched, false}, {1500 * ms, nil, false}, {0, untouched, false}}},
		{"U2F polling until the touch", []step{{0, untouched, false}, {200 * ms, untouched, true}, {1499 * ms, untouched, true}, {200 * ms, said(7, msg, 1, 2, 3, 0x90, 0), false}}},
		{"U2F polling stops", []step{{0, untouched, false}, {200 * ms, untouched, true}, {1500 * ms, nil, false}}},
		{"U2F, another status between", []step{{0, untouched, false}, {0, said(7, msg, 0x6A, 0x80), false}, {0, untouched, false}}},
		{"U2F data that ends so", []step{{0, said(7, msg, 1, 0x69, 0x85), false}, {0, said(7, msg, 1, 0x69, 0x85), false}}},
		{"keepalive of a wrong length", []step{{0, said(7, keepalive, ctaphid.StatusUPNeeded, 0), false}, {0, said(7, keepalive), false}}},
		{"no packet", []step{{0, nil, false}, {0, []byte{0, 0, 0, 7, 0xBB}, false}, {0, []byte{0, 0, 0, 7, 0xBB, 0, 1}, false}}},
		{"a continuation that looks alike", []step{{0, append([]byte{0, 0, 0, 7, 0x3B}, 0, 1, 2), false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ctaphid.NewSniffer(nil)
			now := time.Unix(1000, 0)
			for i, step := range tt.steps {
				now = now.Add(step.after)
				if next := s.Next(); step.report == nil && !next.IsZero() && !step.want && next.After(now) {
					t.Errorf("step %d: Expire is due at %v, want it not later than %v", i, next, now)
				}
				s.Expire(now)
				if step.report != nil {
					s.Hear(step.report, now)
				}
				if got := s.Waiting(); got != step.want {
					t.Errorf("step %d: waiting is %v, want %v", i, got, step.want)
				}
			}
			s.Expire(now.Add(time.Hour))
			if s.Waiting() || !s.Next().IsZero() {
				t.Errorf("after an hour of silence: waiting %v, next %v", s.Waiting(), s.Next())
			}
		})
	}
}

// A key that talks on more channels than there can be programs takes no more memory.
func TestSnifferIsBounded(t *testing.T) {
	s := ctaphid.NewSniffer(nil)
	now := time.Unix(1000, 0)
	report := said(0, ctaphid.CmdKeepalive, ctaphid.StatusUPNeeded)
	for cid := range uint32(1000) {
		binary.BigEndian.PutUint32(report, cid+1)
		s.Hear(report, now)
	}
	for cid := range uint32(32) {
		s.Hear(said(cid+1, ctaphid.CmdCBOR, 0), now)
	}
	if s.Waiting() {
		t.Error("more than 32 channels were looked after")
	}
}

// What a Channel does is its own from the INIT on, however late the sniffer hears of it,
// until the key gives its channel to somebody else.
func TestSnifferLeavesOwnChannelsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		server := ctaphid.NewServer(blinker{}, ctaphid.ServerConfig{Capabilities: ctaphid.CapCBOR})
		if err := bus.Attach(hid.Info{ID: "k"}, func() (hid.Device, error) {
			host, key := hid.NewPipe(64, 64)
			go func() {
				_ = server.Serve(t.Context(), key)
				key.Close()
			}()
			return host, nil
		}); err != nil {
			t.Fatal(err)
		}
		defer bus.Detach("k")
		// run has a program wait for a touch for a while, and gives all that the key said.
		run := func(cfg ctaphid.Config) (cid uint32, reports [][]byte) {
			ear, err := bus.Listen(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			defer ear.Close()
			dev, err := bus.Open(t.Context(), "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			ch, err := cfg.Open(t.Context(), dev)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ch.CBOR(t.Context(), []byte{4}, nil); err != nil {
				t.Fatal(err)
			}
			if err := ear.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			for {
				report := make([]byte, 64)
				if _, err := ear.Read(report); err != nil {
					return ch.Init().CID, reports
				}
				reports = append(reports, report)
			}
		}
		touched := func(s *ctaphid.Sniffer, reports [][]byte) bool {
			touched := false
			for _, r := range reports {
				s.Hear(r, time.Now())
				touched = touched || s.Waiting()
			}
			return touched
		}
		var own ctaphid.Own
		s := ctaphid.NewSniffer(&own)
		ours, reports := run(ctaphid.Config{Own: &own})
		if len(reports) < 5 {
			t.Fatalf("heard %d reports, want those of INIT, a touch and an answer", len(reports))
		}
		if !own.Has(ours) || own.Has(ours+1) || own.Has(0) {
			t.Errorf("channel %08x is not known as own, or another one is", ours)
		}
		if touched(s, reports) {
			t.Error("our own touch counts as another program's")
		}
		theirs, reports := run(ctaphid.Config{})
		if own.Has(theirs) {
			t.Errorf("channel %08x of another program is taken for ours", theirs)
		}
		if !touched(s, reports) {
			t.Error("another program's touch was not noticed")
		}
		s.Hear(initAnswer([8]byte{9, 9}, ours), time.Now())
		if own.Has(ours) {
			t.Error("the channel is still ours after the key gave it to another program")
		}
		s.Hear(said(ours, ctaphid.CmdKeepalive, ctaphid.StatusUPNeeded), time.Now())
		if !s.Waiting() {
			t.Error("the touch of the new owner of our channel was not noticed")
		}
	})
}

// The nonce alone makes a channel ours: the sniffer may hear of it before Open returns.
func TestOwnNonceMakesTheChannelOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var own ctaphid.Own
		s := ctaphid.NewSniffer(&own)
		host, key := hid.NewPipe(64, 64)
		opened := make(chan error)
		go func() {
			_, err := ctaphid.Config{Own: &own}.Open(t.Context(), host)
			opened <- err
		}()
		report := make([]byte, 64)
		if _, err := key.Read(report); err != nil {
			t.Fatal(err)
		}
		s.Hear(initAnswer([8]byte(report[7:15]), 7), time.Now())
		s.Hear(said(7, ctaphid.CmdKeepalive, ctaphid.StatusUPNeeded), time.Now())
		if !own.Has(7) || s.Waiting() {
			t.Errorf("own channel: %v, foreign touch: %v; want true, false", own.Has(7), s.Waiting())
		}
		key.Close()
		if err := <-opened; err == nil {
			t.Error("Open of a key that is gone worked")
		}
	})
}

// blinker waits a second for a touch, and gets it.
type blinker struct{}

func (blinker) CBOR(_ context.Context, _ []byte, keepalive func(byte)) ([]byte, error) {
	keepalive(ctaphid.StatusUPNeeded)
	time.Sleep(time.Second) // in the bubble
	return []byte{0}, nil
}

func (blinker) MSG(context.Context, []byte, func(byte)) ([]byte, error) { return []byte{0x6D, 0}, nil }

func FuzzSniffer(f *testing.F) {
	f.Add(said(7, ctaphid.CmdKeepalive, ctaphid.StatusUPNeeded), said(7, ctaphid.CmdCBOR, 0))
	f.Add(said(7, ctaphid.CmdMSG, 0x69, 0x85), initAnswer([8]byte{1}, 7))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var own ctaphid.Own
		s := ctaphid.NewSniffer(&own)
		now := time.Unix(1000, 0)
		for _, report := range [][]byte{a, b, a, a, b} {
			s.Hear(report, now)
			if s.Waiting() && s.Next().IsZero() {
				t.Fatal("a touch that never ends")
			}
		}
		s.Expire(now.Add(time.Minute))
		if s.Waiting() || !s.Next().IsZero() {
			t.Fatal("a touch outlasts a minute of silence")
		}
	})
}
