package oath

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

// Kind is what a credential makes codes from.
type Kind string

// The kinds. The last three are Nitrokey's.
const (
	HOTP  Kind = Kind(otp.HOTP)
	TOTP  Kind = Kind(otp.TOTP)
	Steam Kind = Kind(otp.Steam) // a TOTP credential whose issuer is Steam; the letters are made here
	// ReverseHOTP checks codes instead of making them: see [Session.VerifyCode].
	ReverseHOTP Kind = "reverse-hotp"
	// HMAC answers challenges: see [Session.Respond].
	HMAC Kind = "hmac"
	// Password makes no codes; it keeps login, password and notes only.
	Password Kind = "password"
	// KindUnknown is one that this package does not know.
	KindUnknown Kind = "unknown"
)

// Touch says whether a credential wants a touch for each code.
type Touch string

// What is known of that. LIST of a YubiKey does not tell, CALCULATE ALL does.
const (
	TouchUnknown Touch = ""
	TouchNever   Touch = "never"
	TouchAlways  Touch = "always"
)

// Credential is an account on a device, without its seed.
type Credential struct {
	// ID is the name as the device has it, byte by byte. It is what the device knows a credential by, and may be
	// no UTF-8.
	ID string `json:"id"`
	// Issuer and Account are the parts of the name. Invalid UTF-8 is replaced in them.
	Issuer  string `json:"issuer,omitempty"`
	Account string `json:"account"`
	Kind    Kind   `json:"kind"`
	// Hash is "" when it is not known, as after CALCULATE ALL.
	Hash otp.Hash `json:"hash,omitempty"`
	// Digits is 0 when it is not known, as after LIST.
	Digits int `json:"digits,omitempty"`
	// Period is in seconds; 0 for what has no clock.
	Period int64 `json:"period,omitempty"`
	Touch  Touch `json:"touch,omitempty"`
	// PIN says that the credential is encrypted with the PIN. Nitrokey's.
	PIN bool `json:"pin,omitempty"`
	// Data says that there are login, password or notes: see [Session.Get]. Nitrokey's.
	Data bool `json:"data,omitempty"`
}

// Hidden says that the credential is not meant to be shown in lists.
func (c Credential) Hidden() bool { return c.Issuer == hiddenIssuer }

// Name is the issuer and the account, for people.
func (c Credential) Name() string { return name{issuer: c.Issuer, account: c.Account}.String() }

func (c Credential) timed() bool { return c.Kind == TOTP || c.Kind == Steam }

// newCredential makes a credential from a name and the byte of kind and hash, 0 where there was none.
func newCredential(id string, algorithm byte) Credential {
	c := Credential{ID: id, Kind: TOTP}
	switch algorithm & 0xF0 {
	case 0, typeTOTP:
	case typeHOTP:
		c.Kind = HOTP
	case typeReverse:
		c.Kind = ReverseHOTP
	case typeHMAC:
		c.Kind = HMAC
	case typePassword:
		c.Kind = Password
	default:
		c.Kind = KindUnknown
	}
	switch algorithm & 0x0F {
	case algorithmSHA1:
		c.Hash = otp.SHA1
	case algorithmSHA256:
		c.Hash = otp.SHA256
	case algorithmSHA512:
		c.Hash = otp.SHA512
	}
	if c.Kind == Password {
		c.Hash = ""
	}
	n := parseName(id, c.Kind == TOTP)
	c.Period = n.period
	c.Issuer, c.Account = valid(n.issuer), valid(n.account)
	if c.Kind == TOTP && c.Issuer == steamIssuer {
		c.Kind, c.Digits = Steam, otp.Parameters{Kind: otp.Steam}.Default().Digits
	}
	return c
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Need says what is missing for a code.
type Need string

// What can be missing. [Session.CalculateAll] does not do it by itself; [Session.Calculate] does.
const (
	// NeedNothing: the code is there.
	NeedNothing Need = ""
	// NeedTouch: the device must be touched, or may want it.
	NeedTouch Need = "touch"
	// NeedCount: a code of HOTP is made when it is asked for, and counts.
	NeedCount Need = "count"
	// NeedPIN: the PIN must be entered.
	NeedPIN Need = "pin"
	// NeedNone: the credential makes no codes.
	NeedNone Need = "none"
)

// Code is a one-time code, or what is missing for it. It is a secret as long as it is valid, so that it prints and is
// logged without its value; encoding it as JSON has it.
type Code struct {
	// Value is the code, empty when Need is not [NeedNothing].
	Value string `json:"value,omitempty"`
	// From and Until bound the time step; both are zero for HOTP, whose codes are valid until they are used.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Need  Need      `json:"need,omitempty"`
}

// String has no value.
func (c Code) String() string {
	if c.Need != NeedNothing {
		return "needs " + string(c.Need)
	}
	return "[secret]"
}

// Format prints what String says, for every verb.
func (c Code) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue is for slog.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Reading is a credential with its code.
type Reading struct {
	Credential
	Code Code `json:"code"`
}
