// Package accounts is what a plugged-in token keeps for one-time codes, whichever way it is spoken to: the OATH applet of a
// YubiKey or Nitrokey, the slots of a YubiKey's keyboard interface, a Nitrokey Pro, a Token2. It is for programs that list
// accounts, read codes, and look after them; the protocols are in the packages beside it.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

// Kind is what an account makes codes from.
type Kind string

// The kinds. Those that [Kind.Codes] is false of make none.
const (
	HOTP     Kind = Kind(otp.HOTP)
	TOTP     Kind = Kind(otp.TOTP)
	Steam    Kind = Kind(otp.Steam)
	Other    Kind = "other"    // HMAC, reverse HOTP, and what is not known
	Password Kind = "password" // login and password only
)

// Codes says whether an account of the kind makes codes.
func (k Kind) Codes() bool { return k == HOTP || k == TOTP || k == Steam }

// Account is one of a token's, without its seed.
type Account struct {
	// ID is what the token knows it by. It may be no UTF-8.
	ID           string
	Issuer, Name string
	Kind         Kind
	// Hash is empty, Digits is 0 and Touch false where that is not known before a code is read.
	Hash   otp.Hash
	Digits int
	// Period is in seconds, 0 without a clock.
	Period int64
	// Touch says that each code wants a touch, PIN that it wants the token's PIN.
	Touch, PIN bool
	// Hidden accounts are not meant to be shown in lists.
	Hidden bool

	driver any
}

// Title is issuer and name, for people.
func (a Account) Title() string {
	if a.Issuer == "" {
		return a.Name
	}
	return a.Issuer + ":" + a.Name
}

// Is says how well a text names the account: 0 not at all, more for a better match. 4 is its name in full, 3 its name with
// other capitals, 2 its issuer or its name alone, 1 a part of it.
func (a Account) Is(text string) int {
	title := strings.ToLower(a.Title())
	small := strings.ToLower(strings.TrimSpace(text))
	switch {
	case text == a.ID || text == a.Title():
		return 4
	case small == title:
		return 3
	case small == strings.ToLower(a.Issuer) || small == strings.ToLower(a.Name):
		return 2
	case small != "" && strings.Contains(title, small):
		return 1
	}
	return 0
}

// Need says what is missing for a code.
type Need string

// What can be missing. [Token.Read] does not do it by itself; [Token.Code] does.
const (
	NeedNothing Need = ""
	NeedTouch   Need = "touch"   // the token must be touched
	NeedCount   Need = "counter" // reading an HOTP code counts
	NeedPIN     Need = "pin"
)

// Code is a one-time code, or what is missing for it. It prints without its value.
type Code struct {
	// Value is empty when Need is not [NeedNothing].
	Value string
	// From and Until bound the time step; both are zero for HOTP.
	From, Until time.Time
	Need        Need
}

// String has no value.
func (c Code) String() string {
	if c.Need != NeedNothing {
		return "needs " + string(c.Need)
	}
	return "[secret]"
}

// Format prints what String says, for every verb.
func (c Code) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is for slog.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Reading is an account with its code.
type Reading struct {
	Account
	Code Code
}

// New is an account to be added. Its seed goes apart.
type New struct {
	Issuer, Name string
	Params       otp.Parameters
	// Counter is that of the first HOTP code.
	Counter uint64
	// Touch asks for a touch for each code, PIN for the token's PIN.
	Touch, PIN bool
	// Overwrite replaces an account of the same name, where the token can do that.
	Overwrite bool
}

// Protection is how a token keeps its accounts from strangers.
type Protection string

// The kinds of protection.
const (
	Unprotected Protection = ""
	AccessCode  Protection = "code" // an access code, for everything
	PIN         Protection = "pin"  // a PIN, for what is encrypted with it or for changes
)

// About is what a token says of itself.
type About struct {
	// Way is how it is spoken to, such as "oath".
	Way string
	// Version is the firmware's or the applet's, Serial a serial number; empty if the token does not tell.
	Version, Serial string
	Protection      Protection
	// Tries is how many tries the PIN has left, -1 where there is none or nobody counts.
	Tries int
	// Unseen says that the driver was written from the protocol and has not yet met a device.
	Unseen bool
}

// Question asks for the access code or the PIN of a token.
type Question struct {
	Protection Protection
	// Tries is how many are left, -1 where nobody counts.
	Tries int
}

// Options say what an open token may ask its person.
type Options struct {
	// Touch, if not nil, is told when the token waits for a touch, and when it does not any more. It returns at once.
	Touch func(waiting bool)
	// Ask gives the access code or PIN. It is tried once and wiped. nil gives none.
	Ask func(ctx context.Context, q Question) ([]byte, error)
	// LastTry allows to spend the last try of a PIN.
	LastTry bool
}

// Token is an open token. It is for one goroutine; nobody else may speak to it meanwhile. Errors are those below or wrap those of
// its driver, which say what to do next.
type Token interface {
	About() About
	// List lists the accounts, those that make no codes among them.
	List(ctx context.Context) ([]Account, error)
	// Reveal lists those, too, that a token with a PIN hides without it. It asks for the PIN.
	Reveal(ctx context.Context) ([]Account, error)
	// Read gives the codes of all accounts that need nothing for it, and says of the others what they need.
	Read(ctx context.Context, at time.Time) ([]Reading, error)
	// Code reads one code. It waits for the touch, and asks for the PIN. A code of HOTP counts even if it is lost.
	Code(ctx context.Context, a Account, at time.Time) (Code, error)
	// Add adds an account. seed is the caller's, to be wiped.
	Add(ctx context.Context, a New, seed []byte) (Account, error)
	Delete(ctx context.Context, a Account) error
	Rename(ctx context.Context, a Account, issuer, name string) (Account, error)
	// Protect sets or changes the access code or PIN, or takes the access code away if secret is empty. secret is the caller's, to
	// be wiped. The one that is set already is asked for.
	Protect(ctx context.Context, secret []byte) error
	// Reset deletes all accounts, and what protects them.
	Reset(ctx context.Context) error
}

// Errors of all tokens.
var (
	// ErrUnsupported says that a token cannot do something at all; the text says what.
	ErrUnsupported = errors.New("accounts: this token cannot do that")
	// ErrFull says that there is no room for another account.
	ErrFull = errors.New("accounts: the token has no room for another account; delete one first")
	// ErrExists says that the name is taken.
	ErrExists = errors.New("accounts: there is an account of that name already; choose another name or delete it first")
	// ErrNotFound says that there is no such account.
	ErrNotFound = errors.New("accounts: there is no such account; list the accounts")
	// ErrTouch says that nobody touched the token.
	ErrTouch = errors.New("accounts: nobody touched the token in time; try again and touch it when it blinks")
	// ErrLocked says that the access code or PIN is needed and could not be asked for.
	ErrLocked = errors.New("accounts: the token is locked; give its access code or PIN")
	// ErrWrong says that the access code or PIN is wrong.
	ErrWrong = errors.New("accounts: the access code or PIN is wrong")
	// ErrBlocked says that the PIN is blocked.
	ErrBlocked = errors.New("accounts: the PIN is blocked after too many wrong ones")
	// ErrLastTry says that one try is left, which is not spent without being told to.
	ErrLastTry = errors.New("accounts: one try is left for the PIN, and is only spent when that is asked for explicitly")
	// ErrNoAccounts says that the token keeps no accounts.
	ErrNoAccounts = errors.New("accounts: there is no application for one-time codes on the token, or it is switched off in its settings")
)

// Error is a driver's error, with the one of this package that says what kind it is.
type Error struct {
	// Kind is one of this package's errors.
	Kind error
	// Err is the driver's.
	Err error
}

func (e *Error) Error() string   { return e.Err.Error() }
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

func unsupported(format string, a ...any) error {
	return &Error{ErrUnsupported, fmt.Errorf("accounts: "+format, a...)}
}
