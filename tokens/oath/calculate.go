package oath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/u2f/apdu"
)

// P2 of CALCULATE and CALCULATE ALL.
const (
	p2Whole     byte = 0
	p2Truncated byte = 1
)

// Calculate reads one code. It waits for the touch where the credential wants one: see Options.Touch. A code of HOTP
// counts, even if the answer is lost.
func (s *Session) Calculate(ctx context.Context, c Credential, at time.Time) (Code, error) {
	r := s.about("calculate", CmdCalculate, c, s.each(c))
	code, challenge, err := begin(c, at)
	if err != nil {
		return Code{}, s.fail(r, 0, err)
	}
	r.p2 = p2Truncated
	if c.Kind == Steam && !s.nitrokey() {
		// YubiKeys reduce the truncated value to digits, which loses what the letters are made from. Nitrokeys do not,
		// and have nothing else.
		r.p2 = p2Whole
	}
	r.data = AppendTLV(r.data, TagChallenge, challenge)
	b, err := s.do(ctx, r)
	if err != nil {
		return Code{}, err
	}
	defer clear(b)
	if code.Value, err = readCode(c.Kind, b, r.p2); err != nil {
		return Code{}, s.fail(r, 0, err)
	}
	return code, nil
}

// begin is a code without its value, and the challenge for it: the time step. HOTP has none, but all devices take one.
func begin(c Credential, at time.Time) (Code, []byte, error) {
	switch c.Kind {
	case HOTP:
		c.Period = defaultPeriod
	case TOTP, Steam:
	case ReverseHOTP:
		return Code{}, nil, unsupported("an account of reverse HOTP checks codes and makes none")
	default:
		return Code{}, nil, unsupported("the account makes no codes")
	}
	p := otp.Parameters{Kind: otp.TOTP, Period: c.Period}
	step, ok := p.Step(at)
	if !ok && c.Kind != HOTP {
		return Code{}, nil, fmt.Errorf("%w: a time before 1970, or a period of %d s", ErrArgument, c.Period)
	}
	var code Code
	if c.Kind != HOTP {
		code.From, code.Until = p.Starts(step), p.Starts(step+1)
	}
	return code, binary.BigEndian.AppendUint64(nil, step), nil
}

// readCode reads CALCULATE's response.
func readCode(k Kind, b []byte, p2 byte) (string, error) {
	tag := TagTruncated
	if p2 == p2Whole {
		tag = TagResponse
	}
	v, err := only(b, tag)
	if err != nil {
		return "", err
	}
	return codeOf(k, TLV{Tag: tag, Value: v})
}

// codeOf makes a code of a response: its digits, then 4 bytes or a whole HMAC.
func codeOf(k Kind, t TLV) (string, error) {
	if len(t.Value) < 5 {
		return "", fmt.Errorf("%w: response of %d bytes", ErrMalformed, len(t.Value))
	}
	digits, value := int(t.Value[0]), t.Value[1:]
	switch {
	case t.Tag == TagTruncated && len(value) == 4:
	case t.Tag == TagResponse && len(value) >= 20:
		at := int(value[len(value)-1] & 0xF) // RFC 4226, section 5.3
		value = value[at : at+4]
	default:
		return "", fmt.Errorf("%w: response with tag %02x of %d bytes", ErrMalformed, t.Tag, len(t.Value))
	}
	if digits < 1 || digits > otp.MaxDigits {
		return "", fmt.Errorf("%w: %d digits", ErrMalformed, digits)
	}
	// Some devices give 31 bits, others what is left of them by the digits: this is right for both.
	v := binary.BigEndian.Uint32(value) & 0x7FFFFFFF
	if k == Steam {
		return letters(v), nil
	}
	modulo := uint64(1)
	for range digits {
		modulo *= 10
	}
	return fmt.Sprintf("%0*d", digits, uint64(v)%modulo), nil
}

// letters are Steam's code for the 31 bits of a response; package otp has the same for a seed.
func letters(v uint32) string {
	const alphabet = "23456789BCDFGHJKMNPQRTVWXY"
	b := make([]byte, otp.Parameters{Kind: otp.Steam}.Default().Digits)
	for i := range b {
		b[i] = alphabet[v%uint32(len(alphabet))]
		v /= uint32(len(alphabet))
	}
	return string(b)
}

// CalculateAll reads the codes of all credentials that need neither a touch nor a PIN nor a count; for the others it says
// what they need. Devices without CALCULATE ALL are asked one credential after the other.
func (s *Session) CalculateAll(ctx context.Context, at time.Time) ([]Reading, error) {
	if s.nitrokey() {
		return s.calculateEach(ctx, at)
	}
	r := &request{op: "calculate all", cmd: CmdCalculateAll, p2: p2Truncated}
	_, challenge, err := begin(Credential{Kind: TOTP, Period: defaultPeriod}, at)
	if err != nil {
		return nil, s.fail(r, 0, err)
	}
	r.data = AppendTLV(nil, TagChallenge, challenge)
	b, err := s.do(ctx, r)
	if lacks(err) {
		return s.calculateEach(ctx, at)
	}
	if err != nil {
		return nil, err
	}
	defer clear(b)
	all, err := parseAll(b, at)
	if err != nil {
		return nil, s.fail(r, 0, err)
	}
	for i := range all {
		// The challenge was that of 30 seconds, and the letters need more than digits.
		if c := all[i].Credential; all[i].Code.Need == NeedNothing && (c.Kind == Steam || c.Period != defaultPeriod) {
			if all[i].Code, err = s.Calculate(ctx, c, at); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// lacks says that a command is not there.
func lacks(err error) bool { return errors.Is(err, apdu.ErrInsNotSupported) }

// parseAll reads CALCULATE ALL's response. The codes of others than plain TOTP of 30 seconds are left empty.
func parseAll(b []byte, at time.Time) ([]Reading, error) {
	tlvs, err := ParseTLVs(b)
	if err != nil {
		return nil, err
	}
	if len(tlvs)%2 != 0 || len(tlvs)/2 > maxCredentials {
		return nil, fmt.Errorf("%w: %d tags in the list of codes", ErrMalformed, len(tlvs))
	}
	all := make([]Reading, 0, len(tlvs)/2)
	for i := 0; i < len(tlvs); i += 2 {
		if tlvs[i].Tag != TagName {
			return nil, fmt.Errorf("%w: tag %02x where a name should be", ErrMalformed, tlvs[i].Tag)
		}
		one, err := parseOne(string(tlvs[i].Value), tlvs[i+1], at)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func parseOne(id string, t TLV, at time.Time) (Reading, error) {
	kind, one := typeTOTP, Reading{}
	touch := TouchUnknown
	switch t.Tag {
	case TagNoResponse:
		kind, one.Code.Need = typeHOTP, NeedCount
	case TagTouch:
		touch, one.Code.Need = TouchAlways, NeedTouch
	case TagTruncated, TagResponse:
		touch = TouchNever
	default:
		return Reading{}, fmt.Errorf("%w: tag %02x in the list of codes", ErrMalformed, t.Tag)
	}
	one.Credential = newCredential(id, kind)
	one.Touch = touch
	if len(t.Value) > 0 && one.Kind != Steam {
		one.Digits = int(t.Value[0])
	}
	if one.Code.Need != NeedNothing || one.Kind == Steam || one.Period != defaultPeriod {
		return one, nil
	}
	code, _, err := begin(one.Credential, at)
	if err != nil {
		return Reading{}, err
	}
	code.Value, err = codeOf(one.Kind, t)
	one.Code = code
	return one, err
}

// calculateEach lists the credentials and reads their codes one by one. Those that may want a touch are not tried.
func (s *Session) calculateEach(ctx context.Context, at time.Time) ([]Reading, error) {
	credentials, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Reading, 0, len(credentials))
	for _, c := range credentials {
		one := Reading{Credential: c}
		switch {
		case c.Kind == HOTP:
			one.Code.Need = NeedCount
		case !c.timed():
			one.Code.Need = NeedNone
		case c.PIN:
			one.Code.Need = NeedPIN
		case c.Touch != TouchNever:
			one.Code.Need = NeedTouch
		default:
			if one.Code, err = s.Calculate(ctx, c, at); err != nil {
				return nil, err
			}
		}
		all = append(all, one)
	}
	return all, nil
}
