package oath

import (
	"context"
	"fmt"

	"github.com/fobd/fobd/u2f/apdu"
)

// maxField is the longest field of Nitrokey's commands, in bytes.
const maxField = 127

// PIN commands of the Nitrokey 3. All of them want a touch before they look at a PIN, so that no program can burn the
// tries by itself.

// verifyPIN sends VERIFY PIN, which authorizes the command that follows it, whichever that is.
func (s *Session) verifyPIN(ctx context.Context, pin []byte) error {
	r := &request{op: "verify PIN", cmd: CmdVerifyPIN, touch: expectTouch}
	if err := s.spend(r, pin); err != nil {
		return err
	}
	r.data = AppendTLV(nil, TagPIN, pin)
	if err := s.tryPIN(ctx, r); err != nil {
		return err
	}
	s.info.Unlocked = true
	return nil
}

// SetPIN gives a PIN to a Nitrokey that has none. pin is the caller's, to be wiped.
func (s *Session) SetPIN(ctx context.Context, pin []byte) error {
	r := &request{op: "set PIN", cmd: CmdSetPIN, touch: expectTouch}
	switch {
	case !s.nitrokey():
		return s.fail(r, 0, unsupported("it has an access code in the place of a PIN"))
	case s.info.Protection == ProtectionPIN:
		return s.fail(r, 0, ErrProtected)
	}
	if err := s.checkPIN(r, pin); err != nil {
		return err
	}
	r.data = AppendTLV(nil, TagPIN, pin)
	if _, err := s.do(ctx, r); err != nil {
		return err
	}
	return s.choose(ctx)
}

// ChangePIN changes the PIN of a Nitrokey. A wrong old one costs a try, as in [Session.Unlock]. Both are the caller's, to be
// wiped.
func (s *Session) ChangePIN(ctx context.Context, old, pin []byte) error {
	r := &request{op: "change PIN", cmd: CmdChangePIN, touch: expectTouch}
	if err := s.spend(r, old); err != nil {
		return err
	}
	if err := s.checkPIN(r, pin); err != nil {
		return err
	}
	r.data = AppendTLV(make([]byte, 0, 4+len(old)+len(pin)), TagPIN, old)
	r.data = AppendTLV(r.data, TagNewPIN, pin)
	return s.tryPIN(ctx, r)
}

func (s *Session) checkPIN(r *request, pin []byte) error {
	if len(pin) == 0 || len(pin) > maxField {
		return s.fail(r, 0, fmt.Errorf("%w: a PIN of %d bytes, want 1 to %d", ErrArgument, len(pin), maxField))
	}
	return nil
}

// spend says whether a try may be spent on a PIN.
func (s *Session) spend(r *request, pin []byte) error {
	if s.info.Protection != ProtectionPIN {
		return s.fail(r, 0, ErrNotProtected)
	}
	if s.info.Tries == 0 {
		return s.fail(r, 0, ErrBlocked)
	}
	if s.info.Tries == 1 && !s.o.LastTry {
		return s.fail(r, 0, ErrLastTry)
	}
	return s.checkPIN(r, pin)
}

// tryPIN sends a command with a PIN. After a wrong one it asks the device how many tries are left.
func (s *Session) tryPIN(ctx context.Context, r *request) error {
	response, err := s.exchange(ctx, r)
	s.info.Unlocked = false
	if err != nil {
		return s.fail(r, 0, err)
	}
	if response.SW == apdu.OK {
		return nil
	}
	if response.SW != swVerifyFailed {
		return s.refuse(r, response.SW, false)
	}
	if err := s.choose(ctx); err != nil {
		return err
	}
	e := &Error{Op: r.op, SW: response.SW, Tries: s.info.Tries, Err: ErrWrongCode}
	if s.info.Tries == 0 {
		e.Err = ErrBlocked
	}
	return e
}
