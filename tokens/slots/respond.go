package slots

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
	"github.com/fobd/fobd/tokens/otp"
)

// ResponseSize is the length of an HMAC-SHA1.
const ResponseSize = 20

// Respond has a slot answer a challenge of 1 to 63 bytes with its HMAC-SHA1; if the slot is configured so, it wants a touch. The answer
// is the caller's, to be wiped.
//
// Slots drop from the end of the frame all bytes that are like its last one (HMAC_LT64, which all programs configure). So that
// nothing of the challenge is dropped, it is padded with a byte that it does not end with. A slot that was configured without that
// flag answers about all 64 bytes, padding included: nobody else computes the same.
func (s *Session) Respond(ctx context.Context, slot Slot, challenge []byte) ([]byte, error) {
	const op = "answer a challenge"
	switch {
	case !slot.Valid():
		return nil, fail(op, slot, fmt.Errorf("%w: there are slots 1 and 2", ErrArgument))
	case len(challenge) == 0 || len(challenge) >= PayloadSize:
		return nil, fail(op, slot, fmt.Errorf("%w: a challenge of %d bytes, want 1 to %d", ErrArgument, len(challenge), PayloadSize-1))
	case s.status.Use(slot) == UseEmpty:
		return nil, fail(op, slot, ErrEmpty)
	}
	b := Padded(challenge)
	defer clear(b[:])
	answer, err := s.ask(ctx, slot.of(CmdHMAC1, CmdHMAC2), b[:], ResponseSize)
	// A slot for challenges refuses none, unless another interface of the key was used a moment ago.
	for try := 1; errors.Is(err, ErrRefused) && s.status.Use(slot) == UseChallenge && try < reclaimTries; try++ {
		if err := pause.For(ctx, reclaimTime); err != nil {
			return nil, fail(op, slot, err)
		}
		answer, err = s.ask(ctx, slot.of(CmdHMAC1, CmdHMAC2), b[:], ResponseSize)
	}
	if errors.Is(err, ErrRefused) {
		err = ErrNoChallenge
	}
	return answer, fail(op, slot, err)
}

// Padded is a challenge of at most 63 bytes as a frame carries it.
func Padded(challenge []byte) (b [PayloadSize]byte) {
	n := copy(b[:PayloadSize-1], challenge)
	if n > 0 && b[n-1] == 0 {
		for i := n; i < PayloadSize; i++ {
			b[i] = 1
		}
	}
	return b
}

// Code is the code of TOTP that a slot makes, which has the account's seed: SHA-1, 6 to 8 digits. From and until bound its time step.
func (s *Session) Code(ctx context.Context, slot Slot, p otp.Parameters, at time.Time) (code string, from, until time.Time, err error) {
	const op = "make a code"
	p = p.Default()
	step, ok := p.Step(at)
	if p.Kind != otp.TOTP || p.Hash != otp.SHA1 || p.Digits > 8 || p.Check() != nil || !ok {
		return "", from, until, fail(op, slot, fmt.Errorf("%w: slots make codes of TOTP with SHA-1 and 6 to 8 digits", ErrArgument))
	}
	b, err := s.Respond(ctx, slot, binary.BigEndian.AppendUint64(nil, step))
	if err != nil {
		return "", from, until, err
	}
	defer clear(b)
	// RFC 4226, section 5.3: dynamic truncation.
	offset := b[ResponseSize-1] & 0x0F
	value := binary.BigEndian.Uint32(b[offset:]) & 0x7FFFFFFF
	text := fmt.Sprintf("%010d", value)
	return text[len(text)-p.Digits:], p.Starts(step), p.Starts(step + 1), nil
}

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

func unsupported(why string) error { return fmt.Errorf("%w: %s", ErrUnsupported, why) }
