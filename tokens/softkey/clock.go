package softkey

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Clock tells a key the time; see [Config]. Its Now may be called from any goroutine.
type Clock interface{ Now() time.Time }

// clock is the key's: the wall's until a test moves it.
type clock struct {
	given Clock // nil: the wall clock

	mu      sync.Mutex // guards all below
	virtual bool       // off the wall clock
	at      time.Time  // of a virtual clock; with a given one unused
	moved   time.Duration
	timers  map[*timer]struct{} // those that run
}

// timer calls f once, on a goroutine that is not the caller's or on that of Advance.
type timer struct {
	clock *clock
	f     func()
	due   time.Time
	wall  *time.Timer // nil while the clock is virtual
}

func newClock(given Clock) *clock {
	return &clock{given: given, virtual: given != nil, timers: map[*timer]struct{}{}}
}

// now is the time of the key's clock.
func (a *Authenticator) now() time.Time { return a.user.clock.now() }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// read is now; c.mu is held.
func (c *clock) read() time.Time {
	switch {
	case c.given != nil:
		return c.given.Now().Add(c.moved)
	case c.virtual:
		return c.at
	}
	return time.Now()
}

// after calls f when d has passed.
func (c *clock) after(d time.Duration, f func()) *timer {
	t := &timer{clock: c, f: f}
	t.reset(d)
	return t
}

// reset starts the timer anew.
func (t *timer) reset(d time.Duration) {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	t.halt()
	t.due = c.read().Add(d)
	c.timers[t] = struct{}{}
	if !c.virtual {
		t.wall = time.AfterFunc(d, t.ring)
	}
}

// stop ends the timer. f may be running yet.
func (t *timer) stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.halt()
}

// halt is stop; the clock's mu is held.
func (t *timer) halt() {
	delete(t.clock.timers, t)
	if t.wall != nil {
		t.wall.Stop()
		t.wall = nil
	}
}

// ring is the wall clock's call.
func (t *timer) ring() {
	c := t.clock
	c.mu.Lock()
	_, runs := c.timers[t]
	runs = runs && t.wall != nil && !time.Now().Before(t.due)
	if runs {
		t.halt()
	}
	c.mu.Unlock()
	if runs {
		t.f()
	}
}

// withTimeout is [context.WithTimeout] on the key's clock.
func (c *clock) withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	t := c.after(d, cancel)
	return ctx, func() {
		t.stop()
		cancel()
	}
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	now := c.read()
	switch {
	case c.given != nil:
		c.moved += d
	case !c.virtual:
		c.virtual, c.at = true, now.Round(0).Add(d)
		for t := range c.timers {
			t.wall.Stop()
			t.wall = nil
		}
	default:
		c.at = c.at.Add(d)
	}
	now = c.read()
	var due []*timer
	for t := range c.timers {
		if !t.due.After(now) {
			due = append(due, t)
			t.halt()
		}
	}
	c.mu.Unlock()
	slices.SortFunc(due, func(t, u *timer) int { return t.due.Compare(u.due) })
	for _, t := range due {
		t.f()
	}
}

// Advance moves the key's clock forwards. The first call takes the key off the wall clock: from
// then on its time passes by calls of Advance only. Everything that the key times follows: the window
// for a reset, the lifetimes of tokens, how long it blinks (CTAP2_ERR_USER_ACTION_TIMEOUT), how long
// getNextAssertion and the other sequences go on, and a person with [PresenceDelay]. A command
// that waits goes on when its time has come. With a [Config] that has a Clock the moves are added
// to what that says, and Advance(0) makes the key look at it. A negative d counts as 0: time does
// not go back.
func (a *Authenticator) Advance(d time.Duration) { a.user.clock.advance(max(d, 0)) }

// Now is the time of the key's clock.
func (a *Authenticator) Now() time.Time { return a.now() }
