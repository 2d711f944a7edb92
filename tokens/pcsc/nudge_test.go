package pcsc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/pcsctest"
)

// A watch with nudges asks pcscd when it is nudged, for a while, and leaves it alone otherwise: it may sleep.
func TestNudges(t *testing.T) {
	s := pcsctest.Start(t)
	nudges := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := make(chan int)
	go func() {
		defer close(seen)
		for readers, err := range s.Client().Watch(ctx, pcsc.WatchConfig{Nudges: nudges, Settle: 200 * time.Millisecond}) {
			if err != nil {
				continue
			}
			n := 0
			for _, r := range readers {
				if r.Card() {
					n++
				}
			}
			select {
			case seen <- n:
			case <-ctx.Done():
			}
		}
	}()
	if n := <-seen; n != 0 {
		t.Errorf("%d cards at the beginning", n)
	}
	s.Insert(echo{})
	nudges <- struct{}{}
	for n := range seen {
		if n == 1 {
			break
		}
	}
	// The service goes away and comes back: the next nudge finds it.
	s.Kill()
	s.Restart()
	nudges <- struct{}{}
	if n := <-seen; n != 0 {
		t.Errorf("%d cards after a restart", n)
	}
	close(nudges)
	if _, more := <-seen; more {
		t.Error("the watch goes on without nudges")
	}
}

// Without a pcscd a watch says so once for each reason, and waits.
func TestWatchWithoutService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := &pcsc.Client{Socket: "/nonexistent/pcscd.comm"}
		errs := 0
		for _, err := range c.Watch(ctx, pcsc.WatchConfig{}) {
			if !errors.Is(err, pcsc.ErrNoService) {
				t.Errorf("got %v", err)
			}
			errs++
		}
		if errs != 1 {
			t.Errorf("told %d times", errs)
		}
	})
}
