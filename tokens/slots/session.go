package slots

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
)

// Times of the conversation, as Yubico's programs have them.
const (
	pollTime  = 20 * time.Millisecond  // between looks at a key that works
	touchTime = 100 * time.Millisecond // at one that waits for a touch
	// takeTime is how long a key may take for one report.
	takeTime = 1150 * time.Millisecond
	// touchLimit is more than any key waits for a touch.
	touchLimit = 40 * time.Second
	// After another interface of the key was used, this one refuses everything for up to three seconds.
	reclaimTime  = 500 * time.Millisecond
	reclaimTries = 6
)

// Options are of a [Session].
type Options struct {
	// Touch, if not nil, is called with true when the key waits for a touch, and with false when it does not any more. It
	// must return at once and not use the Session.
	Touch func(waiting bool)
}

// Session is a conversation with a key. It is for one goroutine at a time. It has no end of its own: the device is the caller's.
type Session struct {
	dev    Device
	o      Options
	status Status
}

// Open reads the key's status. What another program has left behind is ended, but not a wait for a touch: then the error is [ErrBusy].
func Open(ctx context.Context, dev Device, o Options) (*Session, error) {
	s := &Session{dev: dev, o: o}
	r, err := s.settled(ctx)
	if err == nil && r[7]&flagResponse != 0 {
		// Somebody has not read a response to its end.
		if err = s.set(ResetReport()); err == nil {
			r, err = s.settled(ctx)
		}
	}
	if err == nil && r[7]&flagTouch != 0 {
		err = ErrBusy
	}
	if err == nil {
		s.status, err = ParseStatus(r)
	}
	if err != nil {
		return nil, fail("open", 0, err)
	}
	return s, nil
}

// Status returns what the key said last of itself.
func (s *Session) Status() Status { return s.status }

// Serial reads the serial number. The error is [ErrUnsupported] if the key is configured to keep it.
func (s *Session) Serial(ctx context.Context) (uint32, error) {
	var b []byte
	var err error
	for try := 1; ; try++ {
		b, err = s.ask(ctx, CmdSerial, nil, 4)
		if !errors.Is(err, ErrRefused) || try == reclaimTries {
			break
		}
		if waited := pause.For(ctx, reclaimTime); waited != nil {
			return 0, fail("read serial number", 0, waited)
		}
	}
	switch {
	case errors.Is(err, ErrRefused):
		return 0, fail("read serial number", 0, unsupported("its settings keep the serial number to itself, or it has none"))
	case err != nil:
		return 0, fail("read serial number", 0, err)
	}
	defer clear(b)
	return binary.BigEndian.Uint32(b), nil
}

// Info reads what the key tells of its whole device: a list of TLVs, of firmware 4.1 and later. It is the caller's.
func (s *Session) Info(ctx context.Context) ([]byte, error) {
	c, err := s.exchange(ctx, CmdDeviceInfo, nil)
	if err != nil {
		return nil, fail("read device information", 0, err)
	}
	defer c.Wipe()
	if len(c.data) == 0 {
		return nil, fail("read device information", 0, ErrRefused)
	}
	b, err := c.Bytes(1 + int(c.data[0]))
	if err != nil {
		return nil, fail("read device information", 0, err)
	}
	return append([]byte(nil), b[1:]...), nil
}

// get reads a report.
func (s *Session) get() (Report, error) {
	var r Report
	n, err := s.dev.GetFeature(r[:])
	if err == nil && n != ReportSize {
		err = malformed("a report of %d bytes", n)
	}
	return r, err
}

func (s *Session) set(r Report) error {
	defer clear(r[:])
	return s.dev.SetFeature(r[:])
}

// settled reads until the key has taken what was written.
func (s *Session) settled(ctx context.Context) (Report, error) {
	for began := time.Now(); ; {
		r, err := s.get()
		switch {
		case err != nil || r[7]&flagWrite == 0:
			return r, err
		case time.Since(began) > takeTime:
			return r, ErrSilent
		}
		if err := pause.For(ctx, pollTime); err != nil {
			return r, err
		}
	}
}

// send sends a frame.
func (s *Session) send(ctx context.Context, f *Frame) error {
	for _, r := range f.Reports() {
		if _, err := s.settled(ctx); err != nil {
			return err
		}
		if err := s.set(r); err != nil {
			return err
		}
	}
	return nil
}

// command sends a frame and says what came of it: a response, or the status after a change that the key has accepted. Whatever happens, the
// key is idle afterwards, as far as it lets itself be told.
func (s *Session) command(ctx context.Context, cmd Cmd, payload []byte) (c *Collector, after Status, err error) {
	f, err := NewFrame(cmd, payload)
	if err != nil {
		return nil, after, err
	}
	defer f.Wipe()
	c = &Collector{}
	touching := false
	touch := func(on bool) {
		if on != touching && s.o.Touch != nil {
			s.o.Touch(on)
		}
		touching = touching || on
	}
	defer func() {
		if touching && s.o.Touch != nil {
			s.o.Touch(false)
		}
		if err != nil {
			c.Wipe()
			// Also of what was half written, and of a wait for a touch. A key that is gone says so to the next one.
			_ = s.set(ResetReport())
		}
	}()
	if err := s.send(ctx, f); err != nil {
		return c, after, err
	}
	for began := time.Now(); ; {
		r, err := s.get()
		if err != nil {
			return c, after, err
		}
		flags, limit, every := r[7], takeTime, pollTime
		switch {
		case flags&flagResponse != 0 && flags&flagWrite == 0:
			done, err := c.Add(r)
			clear(r[:])
			if err != nil {
				return c, after, err
			}
			if done {
				return c, after, s.set(ResetReport())
			}
			continue
		case flags == 0 && c.Started():
			return c, after, malformed("the response ends in the middle")
		case flags == 0:
			after, err = ParseStatus(r)
			switch {
			case err != nil:
				return c, after, err
			case after.accepted(s.status.Sequence):
				s.status = after
				return c, after, nil
			case touching:
				return c, after, ErrTouch
			}
			return c, after, ErrRefused
		case flags&flagWrite == 0 && flags&flagTouch != 0:
			touch(true)
			limit, every = touchLimit, touchTime
		}
		if time.Since(began) > limit {
			return c, after, ErrSilent
		}
		if err := pause.For(ctx, every); err != nil {
			return c, after, err
		}
	}
}

// exchange sends a frame that is answered.
func (s *Session) exchange(ctx context.Context, cmd Cmd, payload []byte) (*Collector, error) {
	c, _, err := s.command(ctx, cmd, payload)
	return c, err
}

// ask sends a frame whose answer has n bytes, and returns those. The caller wipes them.
func (s *Session) ask(ctx context.Context, cmd Cmd, payload []byte, n int) ([]byte, error) {
	c, err := s.exchange(ctx, cmd, payload)
	if err != nil {
		return nil, err
	}
	defer c.Wipe()
	b, err := c.Bytes(n)
	if err != nil {
		return nil, err
	}
	return append(make([]byte, 0, n), b...), nil
}
