package daemon_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// asking is alice, or root, with a process.
func asking(uid uint32, pid int) policy.Actor {
	return policy.Actor{UID: uid, PID: pid, User: map[uint32]string{0: "root", alice.UID: "alice"}[uid], Program: "p"}
}

func TestLimits(t *testing.T) {
	touch := func(l *lab, uid uint32) error {
		_, err := l.engine.Do(l.ctx, asking(uid, 1), api.OpTouch, decoder(api.TouchRequest{Key: "k1"}), nil)
		return err
	}
	follow := func(l *lab, uid uint32) error {
		return l.engine.Events(l.ctx, asking(uid, 1), func(api.Event) error { return nil })
	}
	for name, c := range map[string]struct {
		limits daemon.Limits
		do     func(l *lab, uid uint32) error
		own    int // how many alice may have
		all    int // how many there may be
		says   string
	}{
		"requests": {daemon.Limits{Requests: 5, UserRequests: 3}, touch, 3, 5, "requests that run or wait"},
		// One is at the key.
		"queue":   {daemon.Limits{Queue: 5, UserQueue: 3}, touch, 4, 6, "wait for Yubico Key k1"},
		"streams": {daemon.Limits{Streams: 5, UserStreams: 3}, follow, 3, 5, "streams of events"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(cfg *daemon.Config) { cfg.Limits = c.limits })
				k := newToy()
				l.plug("k1", k, toyServer)
				refused := func(uid uint32) {
					t.Helper()
					e := wantCode(t, c.do(l, uid), api.CodeTooMany)
					if !strings.Contains(e.Message, c.says) || e.Hint == "" {
						t.Errorf("got %+v", e)
					}
				}
				ends := make(chan error, 16)
				begin := func(uid uint32) {
					go func() { ends <- c.do(l, uid) }()
					synctest.Wait()
				}
				for range c.own {
					begin(alice.UID)
				}
				refused(alice.UID)
				for range c.all - c.own { // what alice has leaves the others their share
					begin(0)
				}
				refused(0)
				refused(alice.UID)
				if len(ends) != 0 {
					t.Fatalf("ended: %v", <-ends)
				}
				if name != "streams" { // what ends makes room
					k.touches <- struct{}{}
					if err := <-ends; err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					begin(alice.UID)
					if len(ends) != 0 {
						t.Fatalf("there was room, but: %v", <-ends)
					}
				}
			})
		})
	}
}

// What was refused is not counted, and what was counted is counted out.
func TestLimitsCountOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(cfg *daemon.Config) { cfg.Limits = daemon.Limits{Requests: 1, Streams: 1} })
		for range 3 {
			if _, err := l.do(l.ctx, api.OpList, api.ListRequest{}, nil); err != nil {
				t.Fatal(err)
			}
			l.fails("no-such-operation", nil, nil, api.CodeUnknownOperation)
			ctx, cancel := context.WithCancel(l.ctx)
			done := make(chan error)
			go func() { done <- l.engine.Events(ctx, alice, func(api.Event) error { return nil }) }()
			synctest.Wait()
			wantCode(t, l.engine.Events(ctx, alice, nil), api.CodeTooMany)
			cancel()
			<-done
		}
		if s := l.engine.Stats(); s.Running != 0 || s.Subscribers != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}
