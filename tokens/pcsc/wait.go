package pcsc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// heartbeat is how long a wait goes on before it is begun anew, so that a pcscd that hangs
// is noticed.
const heartbeat = time.Minute

// maxEarly bounds how often one wait is overtaken by a notification, so that a pcscd which
// always sends one does not keep us busy for ever.
const maxEarly = 64

// Wait returns the readers as soon as they are not as known: one came or went, or a card
// did. Nil as known means that nothing is, so that they are returned at once. A wait that
// ctx ends leaves the session usable. The error is [ErrCancelled] after [Session.Cancel].
func (s *Session) Wait(ctx context.Context, known []Reader) ([]Reader, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, failed(cmdWait, context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	if s.closed.Load() {
		return nil, failed(cmdWait, ErrClosed)
	}
	for early := 0; ; {
		readers, notified, err := s.register(ctx)
		if notified {
			early++
		}
		if err == nil && early > maxEarly {
			err = s.judge(ctx, fmt.Errorf("%w: notifications without an end", ErrMalformed))
		}
		if err != nil {
			return nil, failed(cmdWait, err)
		}
		changed := !notified && (known == nil || !slices.EqualFunc(readers, known, Reader.same))
		if !notified {
			if err := s.awaitNotice(ctx, changed); err != nil {
				return nil, failed(cmdWait, err)
			}
		}
		if changed {
			return readers, nil
		}
	}
}

// register asks pcscd to be notified of the next change, and returns the readers as they
// were at that moment. If notified is true, it has happened already, and the readers are not known.
func (s *Session) register(ctx context.Context) (readers []Reader, notified bool, err error) {
	err = s.exchange(ctx, s.client.timeout(), func(w wire) error {
		if s.minor < 6 && s.entries == 0 {
			if _, err := s.list(w); err != nil { // it may find that 4:6 is needed
				return err
			}
		}
		if s.minor < 6 {
			// The list is sent before any notification (src/eventhandler.c,
			// EHRegisterClientForEvent).
			b, err := w.call(cmdWait, nil, s.entries*stateSize)
			if err == nil {
				readers = parseStates(b)
			}
			return err
		}
		if err := w.send(cmdWait, nil, nil); err != nil {
			return err
		}
		var err error
		readers, notified, err = s.listSized(w)
		return err
	})
	return readers, notified, err
}

// awaitNotice waits for the notification, or says at once that none is wanted any more,
// or does so when ctx ends. pcscd sends exactly one answer to all of that, whichever comes
// first (src/winscard_clnt.c, unregisterFromEvents).
func (s *Session) awaitNotice(ctx context.Context, stop bool) error {
	answer := make([]byte, waitSize)
	n := 0
	if !stop {
		if err := s.conn.SetDeadline(time.Now().Add(heartbeat)); err != nil {
			return s.judge(ctx, err)
		}
		release := s.until(ctx)
		var err error
		n, err = io.ReadFull(s.conn, answer)
		release()
		switch {
		case err == nil:
			return status(answer)
		case s.closed.Load() || !errors.Is(err, os.ErrDeadlineExceeded):
			return s.judge(ctx, err)
		}
	}
	// What ctx says has no part in this: it may have ended.
	err := s.exchange(context.WithoutCancel(ctx), min(s.client.timeout(), cleanupTimeout), func(w wire) error {
		if err := w.send(cmdStopWaiting, nil, nil); err != nil {
			return err
		}
		if _, err := io.ReadFull(w, answer[n:]); err != nil {
			return err
		}
		return status(answer)
	})
	if !stop && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Cancel ends a [Session.Wait] that runs on the session, with [ErrCancelled]. Where none
// runs it does nothing. It uses a connection of its own.
func (s *Session) Cancel(ctx context.Context) error {
	other, err := s.client.handshake(ctx)
	if err != nil {
		return err
	}
	defer other.conn.Close()
	err = other.do(ctx, cmdCancel, s.client.timeout(), func(w wire) error {
		b, err := w.call(cmdCancel, structure(s.context, 0), cancelSize)
		if err != nil {
			return err
		}
		return status(b)
	})
	if errors.Is(err, ErrInvalidHandle) {
		return nil // how releases before 2.3 say that nobody waits
	}
	return err
}
