package oath

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fobd/fobd/u2f/apdu"
)

// What can be wrong. Each says what to do next. A failed method of a [Session] returns an [*Error] that wraps one of
// these, the error of the [Card], or that of the context.
var (
	// ErrNoApplet is about the device or card as a whole.
	ErrNoApplet = errors.New("oath: there is no OATH application on the device; it may be switched off in the device's settings")
	// ErrLocked says that the command needs the access code or the PIN.
	ErrLocked = errors.New("oath: the device is locked; unlock it with its access code or PIN")
	// ErrTouch says that the device waited for a touch in vain.
	ErrTouch = errors.New("oath: nobody touched the device in time; try again and touch it when it blinks")
	// ErrWrongCode says that the access code, the PIN or the code to verify is not the right one.
	ErrWrongCode = errors.New("oath: the access code, PIN or code is wrong; try again with the right one")
	// ErrBlocked says that no tries are left.
	ErrBlocked = errors.New("oath: the PIN is blocked after too many wrong ones; only a reset, which deletes all accounts, makes a new one possible")
	// ErrLastTry says that one try is left, which is not spent without being told to.
	ErrLastTry = errors.New("oath: one try is left for the PIN; it is only spent when that is asked for explicitly")
	// ErrNotProtected says that there is nothing to unlock.
	ErrNotProtected = errors.New("oath: the device has no access code or PIN; set one first, or go on without")
	// ErrProtected says that a PIN is set already.
	ErrProtected = errors.New("oath: the device has a PIN already; change it instead")
	// ErrWantsCode is what YubiKeys of the FIPS series say.
	ErrWantsCode = errors.New("oath: the device takes accounts only when it has an access code; set one first")
	// ErrImpostor says that the device could not prove that it knows the access code. It may not be the one it seems to be.
	ErrImpostor = errors.New("oath: the device does not know the access code it asked for; do not trust it")
	// ErrNotFound says that there is no such account. A Nitrokey says the same of one that needs the PIN.
	ErrNotFound = errors.New("oath: there is no such account on the device; list the accounts")
	// ErrExists says that the name is taken.
	ErrExists = errors.New("oath: there is an account of that name already; choose another name or delete it first")
	// ErrFull says that the device has no room.
	ErrFull = errors.New("oath: the device has no room for another account; delete one first")
	// ErrPrefix is about a fault of YubiKeys before firmware 4.3.5.
	ErrPrefix = errors.New("oath: this firmware would damage an account whose name begins with the new name; choose a name that no other begins with")
	// ErrName says that a device cannot have an account of that name.
	ErrName = errors.New("oath: not a name for an account")
	// ErrUnsupported says that the device, or its firmware, cannot do it. The text says what it lacks.
	ErrUnsupported = errors.New("oath: the device cannot do that")
	// ErrRefused is a refusal that the protocol has no other word for.
	ErrRefused = errors.New("oath: the device refuses")
	// ErrDamaged is a fault of the device's memory. An account that says so again and again is lost: delete it.
	ErrDamaged = errors.New("oath: the device's memory failed; if it happens again with this account, delete it and add it anew")
	// ErrSpent says that an HOTP counter is at its end.
	ErrSpent = errors.New("oath: the account's counter is at its end; add it anew with another seed")
	// ErrThrottled says that a wrong code was tried a moment ago.
	ErrThrottled = errors.New("oath: the device waits after a wrong code; try again in five seconds")
	// ErrMalformed says that the device's answer breaks the protocol.
	ErrMalformed = errors.New("oath: malformed answer from the device")
	// ErrArgument says that the caller passed what the command cannot carry.
	ErrArgument = errors.New("oath: invalid argument")
)

// Error is the error of a failed method of a [Session]. It has no secret.
type Error struct {
	// Op is what was to be done, such as "calculate".
	Op string
	// Account is the name of the account, "" where there is none.
	Account string
	// SW is what the device answered, [apdu.OK] or 0 when it is not about that.
	SW apdu.SW
	// Tries is how many tries the PIN has left, -1 when that is not known or not to the point.
	Tries int
	// Err is one of this package's errors, maybe with more to say, or that of the [Card].
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("oath: " + e.Op)
	if e.Account != "" {
		fmt.Fprintf(&b, " %q", e.Account)
	}
	b.WriteString(": " + strings.TrimPrefix(e.Err.Error(), "oath: "))
	if e.Tries >= 0 {
		fmt.Fprintf(&b, "; tries left: %d", e.Tries)
	}
	if e.fromDevice() {
		fmt.Fprintf(&b, " (%04x)", uint16(e.SW))
	}
	return b.String()
}

func (e *Error) fromDevice() bool { return e.SW != 0 && e.SW != apdu.OK }

// Unwrap returns Err, and the status word where there is one.
func (e *Error) Unwrap() []error {
	if e.fromDevice() {
		return []error{e.Err, e.SW}
	}
	return []error{e.Err}
}
