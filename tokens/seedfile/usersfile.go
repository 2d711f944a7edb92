package seedfile

import (
	"bytes"
	"crypto/subtle"
	"math"
	"strings"

	"github.com/fobd/fobd/tokens/otp"
)

// readUsersFile reads the users file of pam_oath: kind, user, PIN, seed in hexadecimal and, once it was used, the
// counter, the last code and when. Its PINs are not kept. A token in it has no serial.
func readUsersFile(l *lines, c *collector) error {
	for l.next() {
		if l.text[0] == '#' {
			continue
		}
		f := fields(bytes.Fields(l.text))
		t, reason := usersFileToken(f)
		t.Line = l.line
		if err := c.take(t, reason); err != nil {
			return err
		}
	}
	return nil
}

func usersFileToken(f fields) (t Token, reason string) {
	if len(f) < 4 {
		return t, "too few columns; want kind, user, PIN or - and seed"
	}
	t.Account = string(f.at(1))
	if t.Params, reason = usersFileKind(string(f.at(0))); reason != "" {
		return t, reason
	}
	if t.Seed, reason = decodeHex(f.at(3)); reason != "" || t.Params.Kind != otp.HOTP || len(f) < 5 {
		return t, reason
	}
	n, ok := number(f.at(4), math.MaxUint64)
	if !ok {
		return t, "column 5 is no counter"
	}
	t.Counter = n
	if used(t, f.at(5)) {
		t.Counter++
	}
	return t, ""
}

// used says that the last code is the one of the counter that is noted: then the next one is to come.
func used(t Token, last []byte) bool {
	k, err := otp.NewKey(t.Params.Default(), t.Seed)
	if err != nil || len(last) == 0 || t.Counter == math.MaxUint64 {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(k.Code(t.Counter)), last) == 1
}

// usersFileKind reads HOTP[/E][/6|7|8] and HOTP/T30[/6|7|8].
func usersFileKind(kind string) (p otp.Parameters, reason string) {
	const want = "a kind that is not known; want HOTP, HOTP/E/8, HOTP/T30, HOTP/T30/8 or alike"
	parts := strings.Split(kind, "/")
	if parts[0] != "HOTP" || len(parts) > 3 {
		return p, want
	}
	p = otp.Parameters{Kind: otp.HOTP, Hash: otp.SHA1, Digits: 6}
	if len(parts) > 1 && parts[1] != "E" {
		period, ok := strings.CutPrefix(parts[1], "T")
		n, isNumber := number([]byte(period), otp.MaxPeriod)
		if !ok || !isNumber || n == 0 {
			return p, want
		}
		p.Kind, p.Period = otp.TOTP, int64(n)
	}
	if len(parts) > 2 {
		n, ok := number([]byte(parts[2]), 8)
		if !ok || n < 6 {
			return p, want
		}
		p.Digits = int(n)
	}
	return p, ""
}
