package oath

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobd/fobd/tokens/otp"
)

// A name on the device is `[period/][issuer:]account`. The period is there for TOTP, when it is not 30 seconds.

const (
	defaultPeriod = 30
	// steamIssuer makes a TOTP account one of Steam's, as Yubico's programs have it.
	steamIssuer = "Steam"
	// hiddenIssuer is that of accounts which Yubico's programs do not show.
	hiddenIssuer = "_hidden"
)

// Limits of names, in bytes.
const (
	maxName         = 64 // YubiKey and CanoKey
	maxNameNitrokey = 127
)

// name is what a name on the device says.
type name struct {
	period  int64 // 0 for what has no clock
	issuer  string
	account string
}

// String is the name as the device has it.
func (n name) String() string {
	var b strings.Builder
	if n.period != 0 && n.period != defaultPeriod {
		fmt.Fprintf(&b, "%d/", n.period)
	}
	if n.issuer != "" {
		b.WriteString(n.issuer + ":")
	}
	b.WriteString(n.account)
	return b.String()
}

// parseName reads any name; every string is one. What looks like a period but is none that a clock can have is a part
// of the issuer or the account: "0/x" must not lead to a division by zero.
func parseName(id string, timed bool) name {
	n := name{account: id}
	if timed {
		n.period = defaultPeriod
		if digits, rest, ok := strings.Cut(id, "/"); ok && rest != "" {
			if p, ok := parsePeriod(digits); ok {
				n.period, n.account = p, rest
			}
		}
	}
	if issuer, rest, ok := strings.Cut(n.account, ":"); ok && issuer != "" && rest != "" {
		n.issuer, n.account = issuer, rest
	}
	return n
}

// parsePeriod reads digits and nothing else: no sign, no leading zeros, so that a name has one spelling.
func parsePeriod(digits string) (int64, bool) {
	p, err := strconv.ParseInt(digits, 10, 64)
	return p, err == nil && p >= 1 && p <= otp.MaxPeriod && strconv.FormatInt(p, 10) == digits
}

// check returns an [ErrName] that says why a new account cannot have the name. A name that would be read back as another
// one is none.
func (n name) check(limit int) error {
	id := n.String()
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrName, fmt.Sprintf(format, args...))
	}
	switch {
	case n.account == "":
		return bad("the account is empty")
	case len(id) > limit:
		return bad("%d bytes with issuer and period, the device has room for %d", len(id), limit)
	case !utf8.ValidString(id):
		return bad("not UTF-8")
	case strings.ContainsFunc(id, unicode.IsControl):
		return bad("control characters")
	case strings.Contains(n.issuer, ":"):
		return bad("a colon ends the issuer, so it cannot have one")
	case parseName(id, n.period != 0) != n:
		return bad("the device would read issuer or period out of it; give the issuer apart, and no number with a slash in front")
	}
	return nil
}
