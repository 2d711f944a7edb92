package otp

import (
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"time"
)

// OCRAKey is a seed with an OCRA suite. It must not be used by several goroutines at once.
type OCRAKey struct {
	suite Suite
	mac   hash.Hash
}

// Input is what an OCRA code is made from, besides the seed (RFC 6287, section 5.1). What the suite does not have is not looked at.
type Input struct {
	Counter uint64
	// Question is the challenge; for a mutual one, both, the one of the side that answers last.
	Question string
	// PIN is the PIN or password itself.
	PIN []byte
	// Session is the session information, shorter ones are filled up with zeros in front.
	Session []byte
	Time    time.Time
}

// NewOCRA prepares a seed for a suite. The error is an [ErrParameters].
func NewOCRA(suite string, seed []byte) (*OCRAKey, error) {
	s, err := ParseSuite(suite)
	if err != nil {
		return nil, err
	}
	if err := CheckSeed(seed); err != nil {
		return nil, err
	}
	return &OCRAKey{s, hmac.New(s.Hash.New(), seed)}, nil
}

// message is the DataInput (RFC 6287, section 5.1), and where counter and time stand in it; -1 for nowhere.
func (k *OCRAKey) message(in Input) (data []byte, counterAt, timeAt int, err error) {
	s := k.suite
	question, err := s.question(in.Question)
	if err != nil {
		return nil, 0, 0, err
	}
	counterAt, timeAt = -1, -1
	data = append([]byte(s.Text), 0)
	if s.Counter {
		counterAt = len(data)
		data = binary.BigEndian.AppendUint64(data, in.Counter)
	}
	data = append(data, question...)
	if s.PIN != "" {
		h := s.PIN.New()()
		h.Write(in.PIN)
		data = h.Sum(data)
	}
	if s.Session > 0 {
		if len(in.Session) > s.Session {
			return nil, 0, 0, fmt.Errorf("otp: session information of %d bytes, the suite has room for %d", len(in.Session), s.Session)
		}
		data = append(data, make([]byte, s.Session-len(in.Session))...)
		data = append(data, in.Session...)
	}
	if s.Step > 0 {
		if in.Time.Unix() < 0 {
			return nil, 0, 0, fmt.Errorf("otp: a time before 1970")
		}
		timeAt = len(data)
		data = binary.BigEndian.AppendUint64(data, uint64(in.Time.Unix()/s.Step))
	}
	return data, counterAt, timeAt, nil
}

// question is the challenge in 128 bytes, filled up with zeros behind (RFC 6287, section 5.1): digits as a
// number in hexadecimal, letters as they are.
func (s Suite) question(q string) ([]byte, error) {
	// Two of them in a mutual exchange (section 7.3).
	if len(q) == 0 || len(q) > 2*s.Length || len(q) > 128 && s.Format != 'H' || len(q) > 256 {
		return nil, fmt.Errorf("otp: a challenge of %d characters, the suite wants 1 to %d", len(q), s.Length)
	}
	var digits string
	switch s.Format {
	case 'N':
		n, ok := new(big.Int).SetString(q, 10)
		if !ok || strings.Trim(q, "0123456789") != "" {
			return nil, fmt.Errorf("otp: a challenge that is not all digits")
		}
		digits = n.Text(16)
	case 'H':
		digits = q
	default:
		if strings.ContainsFunc(q, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, fmt.Errorf("otp: a challenge with other characters than letters and digits")
		}
		digits = hex.EncodeToString([]byte(q))
	}
	if len(digits)%2 == 1 {
		digits += "0"
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) > 128 {
		return nil, fmt.Errorf("otp: a challenge that is not hexadecimal")
	}
	return append(b, make([]byte, 128-len(b))...), nil
}

// code is the response to a message.
func (k *OCRAKey) code(data []byte) string {
	k.mac.Reset()
	k.mac.Write(data)
	sum := k.mac.Sum(nil)
	if k.suite.Digits == 0 {
		return hex.EncodeToString(sum)
	}
	modulo := uint64(1)
	for range k.suite.Digits {
		modulo *= 10
	}
	return fmt.Sprintf("%0*d", k.suite.Digits, truncate(sum)%modulo)
}

// Code makes the response to a challenge.
func (k *OCRAKey) Code(in Input) (string, error) {
	data, _, _, err := k.message(in)
	if err != nil {
		return "", err
	}
	return k.code(data), nil
}

// Match is where an OCRA code matched.
type Match struct {
	Counter uint64
	Step    uint64 // time step, 0 for suites without
}

// Scan looks for a response among ahead counters after in.Counter and steps of time before and after in.Time, in both where the
// suite has both, and returns the earliest. It always looks at all of them.
func (k *OCRAKey) Scan(code string, in Input, ahead, steps uint64) (m Match, ok bool, err error) {
	data, counterAt, timeAt, err := k.message(in)
	if err != nil {
		return m, false, err
	}
	if counterAt < 0 {
		ahead = 0
	}
	var first, last uint64
	if timeAt >= 0 {
		now := binary.BigEndian.Uint64(data[timeAt:])
		first, last = now-min(now, steps), now+steps
	}
	if (ahead+1)*(last-first+1) > MaxScan || ahead >= MaxScan || steps >= MaxScan {
		return m, false, fmt.Errorf("otp: a window of more than %d codes", MaxScan)
	}
	code = strings.ToLower(code) // hexadecimal, where it is not truncated
	found := 0
	for n := range ahead + 1 {
		counter := in.Counter + n
		if counterAt >= 0 {
			binary.BigEndian.PutUint64(data[counterAt:], counter)
		}
		for step := first; step <= last; step++ {
			if timeAt >= 0 {
				binary.BigEndian.PutUint64(data[timeAt:], step)
			}
			hit := subtle.ConstantTimeCompare([]byte(k.code(data)), []byte(code)) &^ found
			m.Counter, m.Step = choose(hit, counter, m.Counter), choose(hit, step, m.Step)
			found |= hit
		}
	}
	return m, found == 1, nil
}
