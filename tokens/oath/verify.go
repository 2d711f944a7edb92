package oath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// VerifyCode shows a Nitrokey a code of reverse HOTP, from a computer that proves itself with it. A right one is at most
// nine counters ahead; the device shows a green light then, and a red one with [ErrWrongCode]. It wants a touch where the
// credential says so, and refuses for five seconds after a wrong code.
func (s *Session) VerifyCode(ctx context.Context, c Credential, code string) error {
	touch := s.each(c)
	if touch == expectMaybe {
		touch = expectNone // 6982 rather means the five seconds
	}
	r := s.about("verify code", CmdVerifyCode, c, touch)
	if !s.nitrokey() {
		return s.fail(r, 0, unsupported("reverse HOTP is Nitrokey's"))
	}
	v, err := strconv.ParseUint(code, 10, 32)
	if err != nil || len(code) < minDigits || len(code) > maxDigits {
		return s.fail(r, 0, fmt.Errorf("%w: a code has 6 to 8 digits", ErrArgument))
	}
	r.data = AppendTLV(r.data, TagResponse, binary.BigEndian.AppendUint32(nil, uint32(v)))
	_, err = s.do(ctx, r)
	if errors.Is(err, ErrWrongCode) {
		s.missed = time.Now()
	}
	return err
}

// challengeBlock is how long a challenge of Yubico's slots is, with its padding.
const challengeBlock = 64

// Respond answers a challenge of 1 to 63 bytes with the HMAC-SHA1 of Nitrokey's account HmacSlot1 or HmacSlot2, as
// KeePassXC does with the slots of a YubiKey. The response has 20 bytes.
func (s *Session) Respond(ctx context.Context, slot int, challenge []byte) ([]byte, error) {
	r := &request{op: "respond", account: "HmacSlot" + strconv.Itoa(slot), cmd: CmdPut, touch: expectMaybe}
	switch {
	case !s.nitrokey():
		return nil, s.fail(r, 0, unsupported("slots in this application are Nitrokey's"))
	case slot != 1 && slot != 2 || len(challenge) == 0 || len(challenge) >= challengeBlock:
		return nil, s.fail(r, 0, fmt.Errorf("%w: slot %d with a challenge of %d bytes, want slot 1 or 2 and 1 to 63 bytes", ErrArgument, slot, len(challenge)))
	}
	r.p1 = 0x30 + byte(slot-1)*8
	r.data = make([]byte, challengeBlock)
	pad := copy(r.data, challenge)
	for i := range r.data[pad:] {
		r.data[pad+i] = byte(challengeBlock - pad) // PKCS #7
	}
	b, err := s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(b) != slotSeed {
		return nil, s.fail(r, 0, fmt.Errorf("%w: response of %d bytes, want %d", ErrMalformed, len(b), slotSeed))
	}
	return b, nil
}
