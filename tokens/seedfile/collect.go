package seedfile

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobd/fobd/tokens/otp"
)

// maxText is the longest serial, name or alike, in bytes.
const maxText = 256

// progressEvery is how many tokens are between two calls of Progress.
const progressEvery = 1000

// collector takes the tokens of a file and refuses those that are no tokens.
type collector struct {
	o       Options
	result  *Result
	serials map[string]int   // the line
	seeds   map[[16]byte]int // of tokens without serial: a keyed hash, and the line
	hashKey [32]byte
	badMACs int
}

func newCollector(o Options) *collector {
	c := &collector{o: o, result: &Result{}, serials: map[string]int{}, seeds: map[[16]byte]int{}}
	_, _ = rand.Read(c.hashKey[:])
	return c
}

// add takes a token, whose seed it owns from now on, or refuses it. The error is ErrTooLarge.
func (c *collector) add(t Token) error {
	t.Params = t.Params.Default()
	reason := check(&t)
	if reason == "" {
		reason = c.known(&t)
	}
	if reason != "" {
		t.Wipe()
		return c.refuse(t.Line, t.Serial, reason)
	}
	c.result.Tokens = append(c.result.Tokens, t)
	return c.count()
}

// refuse notes a token that is none. What may be a seed in the place of a serial is not shown.
func (c *collector) refuse(line int, serial, reason string) error {
	if mayBeSeed(serial) || checkText("serial", serial) != "" {
		serial = ""
	}
	c.result.Refused = append(c.result.Refused, Refusal{Line: line, Serial: serial, Reason: reason})
	return c.count()
}

func (c *collector) count() error {
	n := len(c.result.Tokens) + len(c.result.Refused)
	if n > MaxTokens {
		return fmt.Errorf("%w: more than %d tokens", ErrTooLarge, MaxTokens)
	}
	if n%progressEvery == 0 && c.o.Progress != nil {
		c.o.Progress(n)
	}
	return nil
}

func (c *collector) finish() error {
	n := len(c.result.Tokens) + len(c.result.Refused)
	if c.badMACs > 0 && c.badMACs == n {
		return fmt.Errorf("%w: no token of it opens, the first on line %d", ErrKey, c.result.Refused[0].Line)
	}
	if n == 0 {
		return fmt.Errorf("%w: no token in it", ErrFormat)
	}
	if c.o.Progress != nil && n%progressEvery != 0 {
		c.o.Progress(n)
	}
	return nil
}

// known refuses a serial that was there before and, where a format has no serials, an account with the same seed:
// a second line for the same token would let a code be used again (CVE-2013-7322).
func (c *collector) known(t *Token) string {
	if t.Serial != "" {
		if line, ok := c.serials[t.Serial]; ok {
			return fmt.Sprintf("the serial is also on line %d; keep one of them", line)
		}
		c.serials[t.Serial] = t.Line
		return ""
	}
	mac := hmac.New(sha256.New, c.hashKey[:])
	mac.Write(t.Seed)
	if c.o.Format != UsersFile { // whose lines are tokens, whoever uses them
		mac.Write([]byte("\x00" + t.Issuer + "\x00" + t.Account))
	}
	sum := [16]byte(mac.Sum(nil))
	if line, ok := c.seeds[sum]; ok {
		return fmt.Sprintf("the same seed is also on line %d; keep one of them", line)
	}
	c.seeds[sum] = t.Line
	return ""
}

// check says why a token is none.
func check(t *Token) string {
	for _, f := range [...]struct{ name, text string }{
		{"serial", t.Serial},
		{"manufacturer", t.Manufacturer},
		{"model", t.Model},
		{"issuer", t.Issuer},
		{"account", t.Account},
	} {
		if reason := checkText(f.name, f.text); reason != "" {
			return reason
		}
	}
	if err := t.Params.Check(); err != nil {
		if t.Params.Kind == otp.OCRA {
			return "an OCRA suite that no token has; want OCRA-1:HOTP-SHA1-6:QN08 or alike"
		}
		return strings.TrimPrefix(err.Error(), "otp: ")
	}
	if err := otp.CheckSeed(t.Seed); err != nil {
		return strings.TrimPrefix(err.Error(), "otp: ")
	}
	if !t.Start.IsZero() && !t.Expiry.IsZero() && t.Expiry.Before(t.Start) {
		return "it expires before it starts"
	}
	return ""
}

func checkText(name, s string) string {
	switch {
	case len(s) > maxText:
		return fmt.Sprintf("its %s has more than %d bytes", name, maxText)
	case !utf8.ValidString(s):
		return "its " + name + " is not UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "its " + name + " has a character that cannot be printed"
	}
	return ""
}

// mayBeSeed says that a text has the length and letters of a seed in hexadecimal, base32 or base64.
func mayBeSeed(s string) bool {
	var upper, lower, sign, notHex, not32 bool
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z':
			upper = true
			notHex = notHex || r > 'F'
		case r >= 'a' && r <= 'z':
			lower = true
			notHex = notHex || r > 'f'
		case r >= '0' && r <= '9':
			not32 = not32 || r < '2' || r > '7'
		case strings.ContainsRune("+/=_- ", r):
			sign = true
		default:
			return false
		}
	}
	switch {
	case !notHex && len(s) >= 2*otp.MinSeed-1: // one digit may be lost
		return true
	case !not32 && len(s) >= 16 && (upper || lower || sign): // 10 bytes in base32
		return true
	}
	return len(s) >= 14 && (upper && lower || sign) // 10 bytes in base64
}
