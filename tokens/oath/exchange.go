package oath

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobd/fobd/u2f/apdu"
)

// expect is what is known beforehand of a touch.
type expect int

const (
	expectNone  expect = iota
	expectMaybe        // the device does not tell: after touchGuess it probably waits
	expectTouch
)

// touchGuess is how long a command may take that wants no touch. The slowest, CALCULATE ALL of a YubiKey, takes 50 ms per
// account, but is never waited for; one CALCULATE takes 6 ms. Yubico's ykman guesses after the same time.
const touchGuess = 500 * time.Millisecond

// Times of the touch work-around.
const (
	longResponse  = 54 // bytes
	longStillNear = 2 * time.Second
)

// request is a command with what its error should say.
type request struct {
	op      string
	account string
	cmd     Cmd
	p1, p2  byte
	data    []byte // wiped by exchange
	touch   expect
	pin     bool // the account is encrypted with the PIN
}

// exchange sends a command, in the encoding that the card takes, and returns the whole response. Errors are those of
// the card or malformed answers; a status word is a result. It wipes r's data.
func (s *Session) exchange(ctx context.Context, r *request) (apdu.Response, error) {
	defer clear(r.data)
	if err := s.wake(ctx); err != nil {
		return apdu.Response{}, err
	}
	extended := s.extended && len(r.data) > apdu.MaxShortData
	response, err := s.encodeAndSend(ctx, r, extended)
	// A reader that takes the other kind of long commands only says so with one of these, before the card acts.
	if err == nil && len(r.data) > apdu.MaxShortData && !s.overCTAPHID {
		switch {
		case extended && response.SW == apdu.ErrWrongLength,
			!extended && (response.SW == apdu.ErrChainingNotSupported || response.SW == swLastOfChain):
			s.extended = !extended
			response, err = s.encodeAndSend(ctx, r, s.extended)
		}
	}
	if errors.Is(err, apdu.ErrMalformed) || errors.Is(err, apdu.ErrTooLong) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	s.longSince = time.Time{}
	if len(response.Data) > longResponse {
		s.longSince = time.Now()
	}
	return response, err
}

// swLastOfChain is what some cards answer to a chained command that they do not chain (ISO/IEC 7816-4, section 5.6).
const swLastOfChain apdu.SW = 0x6883

// wake sends a command that means nothing to YubiKeys that would overlook the touch otherwise: firmware 4.2.0 to 4.2.6, after
// a long response.
func (s *Session) wake(ctx context.Context) error {
	if !s.workaround || s.longSince.IsZero() || time.Since(s.longSince) >= longStillNear {
		return nil
	}
	_, err := s.card.Transmit(ctx, []byte{0, 0, 0, 0, 0})
	return err
}

func (s *Session) encodeAndSend(ctx context.Context, r *request, extended bool) (apdu.Response, error) {
	c := apdu.Command{INS: byte(r.cmd), P1: r.p1, P2: r.p2, Data: r.data}
	if len(r.data) == 0 && !s.overCTAPHID {
		c.Le = apdu.MaxShortLe
	}
	var parts [][]byte
	var err error
	if extended {
		parts = make([][]byte, 1)
		parts[0], err = c.Extended()
	} else {
		parts, err = c.Chained()
	}
	if err != nil {
		return apdu.Response{}, err
	}
	defer func() {
		for _, part := range parts {
			clear(part)
		}
	}()
	w := newWait(s.o.Touch)
	defer w.end()
	guess := r.touch
	send := func(ctx context.Context, b []byte) ([]byte, error) {
		if Cmd(b[1]) == cmdGetResponse {
			b = s.sendRemaining(b)
		}
		if card, ok := s.card.(TouchCard); ok {
			return card.TransmitTouch(ctx, b, w.set)
		}
		w.guess(guess)
		defer w.end()
		return s.card.Transmit(ctx, b)
	}
	return apdu.Exchange(ctx, send, 0, parts...)
}

// sendRemaining is the command that fetches the rest of a response. package apdu makes GET RESPONSE, which Nitrokey wants
// over CCID; in YKOATH it is SEND REMAINING, and GET RESPONSE would give nothing.
func (s *Session) sendRemaining(getResponse []byte) []byte {
	switch {
	case s.overCTAPHID:
		return []byte{0, byte(CmdSendRemaining), 0, 0}
	case s.info.Model == ModelNitrokey:
		return getResponse
	}
	return []byte{0, byte(CmdSendRemaining), 0, 0, 0}
}

// wait tells the caller once that the device waits for a touch, and once that it does not any more.
type wait struct {
	tell func(waiting bool)

	mu      sync.Mutex // guards what follows, and calls of tell
	waiting bool
	timer   *time.Timer
}

func newWait(tell func(bool)) *wait { return &wait{tell: tell} }

func (w *wait) set(waiting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change(waiting)
}

// change is set; w.mu is held.
func (w *wait) change(waiting bool) {
	if w.tell != nil && w.waiting != waiting {
		w.waiting = waiting
		w.tell(waiting)
	}
}

// guess is for cards that do not tell.
func (w *wait) guess(e expect) {
	switch e {
	case expectTouch:
		w.set(true)
	case expectMaybe:
		w.mu.Lock()
		defer w.mu.Unlock()
		var timer *time.Timer
		timer = time.AfterFunc(touchGuess, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.timer == timer { // else it is over
				w.change(true)
			}
		})
		w.timer = timer
	case expectNone:
	}
}

func (w *wait) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.change(false)
}
