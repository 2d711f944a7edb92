package pcsc

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
)

// DefaultSettle is the [WatchConfig.Settle] of who gives none: what it takes a USB device
// to become a reader with a card that has power.
const DefaultSettle = 3 * time.Second

// The pauses between attempts to reach a pcscd that has gone, doubled from the first to
// the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// WatchConfig says what a watch may cost. The zero value is a watch that misses nothing
// and keeps pcscd awake.
type WatchConfig struct {
	// Nudges says that readers may have come or gone, because a USB device did. When it
	// is not nil, pcscd is asked at the start and after each value only, and may sleep
	// otherwise. The watch ends when it is closed.
	Nudges <-chan struct{}
	// Settle is how long pcscd is listened to after the last change that follows a
	// nudge. Zero means [DefaultSettle].
	Settle time.Duration
}

// Watch yields the readers, first as they are and then whenever they have changed: one
// came or went, or a card did. It ends when ctx does, without an error. An error is
// yielded when pcscd cannot be reached, once for each reason; the watch goes on, and
// yields the readers when it can. It never yields the same twice.
func (c *Client) Watch(ctx context.Context, w WatchConfig) iter.Seq2[[]Reader, error] {
	return func(yield func([]Reader, error) bool) {
		if w.Settle <= 0 {
			w.Settle = DefaultSettle
		}
		v := viewer{client: c, yield: yield, going: true}
		if w.Nudges == nil {
			v.stay(ctx)
			return
		}
		for v.going && ctx.Err() == nil {
			v.look(ctx, w.Settle)
			select {
			case _, ok := <-w.Nudges:
				v.going = v.going && ok
			case <-ctx.Done():
			}
		}
	}
}

// viewer is who ranges over a watch.
type viewer struct {
	client *Client
	yield  func([]Reader, error) bool
	going  bool // yield has not returned false
	known  []Reader
	failed error // yielded last, nil after readers
}

// stay watches over one connection, and makes another when it is lost.
func (v *viewer) stay(ctx context.Context) {
	retry := firstRetry
	for v.going {
		s, err := v.client.Open(ctx)
		if err == nil {
			retry = firstRetry
			v.follow(ctx, s)
			s.Close()
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // pcscd was there: it may be again at once
		}
		v.fail(err)
		if pause.For(ctx, retry) != nil {
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// look watches until nothing has changed for the time of settle.
func (v *viewer) look(ctx context.Context, settle time.Duration) {
	s, err := v.client.Open(ctx)
	if err == nil {
		defer s.Close()
		for v.going && err == nil {
			var readers []Reader
			quiet, cancel := context.WithTimeoutCause(ctx, settle, errQuiet)
			if readers, err = s.Wait(quiet, v.known); err == nil {
				v.show(readers)
			}
			cancel()
		}
	}
	if err != nil && !errors.Is(err, errQuiet) && ctx.Err() == nil {
		v.fail(err)
	}
}

// errQuiet is why a look ends.
var errQuiet = errors.New("pcsc: nothing has changed")

// follow shows what changes until the session or ctx ends.
func (v *viewer) follow(ctx context.Context, s *Session) {
	for v.going {
		readers, err := s.Wait(ctx, v.known)
		if err != nil {
			return
		}
		v.show(readers)
	}
}

func (v *viewer) show(readers []Reader) {
	v.known, v.failed = readers, nil
	v.going = v.yield(readers, nil)
}

func (v *viewer) fail(err error) {
	// Readers that come back unchanged are news again.
	v.known = nil
	if v.failed != nil && errors.Is(err, v.failed) {
		return
	}
	v.failed = reason(err)
	v.going = v.going && v.yield(nil, err)
}

// reason is the innermost error: what two failures have in common.
func reason(err error) error {
	for _, e := range []error{ErrNoService, ErrDenied, ErrSilent, ErrVersion, ErrMalformed, ErrStopped} {
		if errors.Is(err, e) {
			return e
		}
	}
	return err
}
