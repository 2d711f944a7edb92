package otp

import (
	"fmt"
	"strconv"
	"strings"
)

// Suite is what an OCRA code is made of (RFC 6287, section 6).
type Suite struct {
	Text   string // as it stands in the message
	Hash   Hash
	Digits int // 0: the whole HMAC, in hexadecimal
	// Counter says that a counter is part.
	Counter bool
	// Format is of the challenge: 'N' digits, 'A' letters and digits, 'H' hexadecimal; Length is the most it has.
	Format byte
	Length int
	// PIN is the hash of the PIN that is part, empty for none.
	PIN Hash
	// Session is the length of the session information, 0 for none.
	Session int
	// Step is the length of a time step in seconds, 0 for none.
	Step int64
}

// ParseSuite reads a suite such as OCRA-1:HOTP-SHA512-8:C-QN08-PSHA1-S064-T1M. The error is an [ErrParameters].
func ParseSuite(text string) (Suite, error) {
	bad := func(what string) (Suite, error) {
		return Suite{}, fmt.Errorf("%w: OCRA suite %.80q: %s", ErrParameters, text, what)
	}
	parts := strings.Split(text, ":")
	if len(text) > 120 || len(parts) != 3 || parts[0] != "OCRA-1" {
		return bad("want OCRA-1:HOTP-SHA1-6:QN08 or alike")
	}
	s := Suite{Text: text}
	function := strings.Split(parts[1], "-")
	if len(function) != 3 || function[0] != "HOTP" {
		return bad("want HOTP, a hash and the digits")
	}
	var ok bool
	if s.Hash, ok = hashOf(function[1]); !ok {
		return bad("want SHA1, SHA256 or SHA512")
	}
	// RFC 6287, section 5.2: 0 for no truncation, or 4 to 10.
	n, ok := number(function[2], 1, 2)
	if !ok || n != 0 && (n < 4 || n > MaxDigits) {
		return bad("want 0 or 4 to 10 digits")
	}
	s.Digits = int(n)
	input := strings.Split(parts[2], "-")
	next := func() string {
		if len(input) == 0 {
			return ""
		}
		return input[0]
	}
	if next() == "C" {
		s.Counter, input = true, input[1:]
	}
	q := next()
	if len(q) != 4 || q[0] != 'Q' || !strings.Contains("NAH", q[1:2]) {
		return bad("want a challenge such as QN08")
	}
	if n, ok = number(q[2:], 2, 2); !ok || n < 4 || n > 64 {
		return bad("want a challenge of 04 to 64")
	}
	s.Format, s.Length, input = q[1], int(n), input[1:]
	if p := next(); strings.HasPrefix(p, "P") {
		if s.PIN, ok = hashOf(p[1:]); !ok {
			return bad("want PSHA1, PSHA256 or PSHA512")
		}
		input = input[1:]
	}
	if p := next(); strings.HasPrefix(p, "S") {
		// RFC 6287, section 6.3: three digits; S alone means 64.
		if n, ok = 64, true; p != "S" {
			n, ok = number(p[1:], 3, 3)
		}
		if !ok || n < 1 || n > 512 {
			return bad("want session information such as S064, of at most 512")
		}
		s.Session, input = int(n), input[1:]
	}
	if p := next(); strings.HasPrefix(p, "T") {
		if s.Step, ok = timeStep(p[1:]); !ok {
			return bad("want a time step such as T1M: 1 to 59 S or M, 0 to 48 H")
		}
		input = input[1:]
	}
	if len(input) != 0 {
		return bad("something follows that is out of place")
	}
	return s, nil
}

func hashOf(name string) (Hash, bool) {
	switch h := Hash(name); h {
	case SHA1, SHA256, SHA512:
		return h, true
	}
	return "", false
}

// number reads a number of so many digits.
func number(s string, least, most int) (int64, bool) {
	if len(s) < least || len(s) > most || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// timeStep reads the G of T: [1-59]S, [1-59]M, [0-48]H (RFC 6287, section 6.3). 0H would be no step.
func timeStep(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n, ok := number(s[:len(s)-1], 1, 2)
	if !ok || n < 1 {
		return 0, false
	}
	switch s[len(s)-1] {
	case 'S':
		return n, n <= 59
	case 'M':
		return n * 60, n <= 59
	case 'H':
		return n * 3600, n <= 48
	}
	return 0, false
}
