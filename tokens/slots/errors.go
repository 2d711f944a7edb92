package slots

import (
	"errors"
	"strings"
)

// What can be wrong. Each says what to do next. A failed method of a [Session] returns an [*Error] that wraps one of
// these, the error of the [Device], or that of the context.
var (
	// ErrMalformed says that what the key answered breaks the protocol. Cables and hubs do that, too.
	ErrMalformed = errors.New("slots: malformed answer from the key; unplug it and try again")
	// ErrArgument says that the caller passed what the command cannot carry.
	ErrArgument = errors.New("slots: invalid argument")
	// ErrEmpty says that nothing is configured in the slot.
	ErrEmpty = errors.New("slots: the slot is empty; configure it first")
	// ErrFull says that both slots are taken.
	ErrFull = errors.New("slots: both slots are in use; delete one first")
	// ErrRefused says that the key did not do it and does not say why. It refuses challenges that a slot is not
	// configured for, changes when it is restricted by its settings, and everything for up to three seconds after
	// another interface of it was used.
	ErrRefused = errors.New("slots: the key refuses")
	// ErrAccessCode says that the key refused a change of a slot that is configured, which nearly always means this.
	ErrAccessCode = errors.New("slots: the slot has an access code, and the one given is not it; try again with the right one")
	// ErrNoChallenge says that a slot that acts at a touch does not answer challenges: what it types cannot be read.
	ErrNoChallenge = errors.New("slots: the slot answers no challenges; it types its codes when the key is touched")
	// ErrTouch says that the key waited for a touch in vain.
	ErrTouch = errors.New("slots: nobody touched the key in time; try again and touch it when it blinks")
	// ErrBusy says that the key waits for a touch that another program has asked for.
	ErrBusy = errors.New("slots: another program waits for a touch of the key; touch it, or try again later")
	// ErrSilent says that the key does not go on.
	ErrSilent = errors.New("slots: the key does not answer; unplug it and plug it in again")
	// ErrUnsupported says that the firmware cannot do it. The text says what it lacks.
	ErrUnsupported = errors.New("slots: the key cannot do that")
)

// Error is the error of a failed method of a [Session]. It has no secret.
type Error struct {
	// Op is what was to be done, such as "write configuration".
	Op string
	// Slot is 0 for what concerns the key as a whole.
	Slot Slot
	// Err is one of this package's errors, maybe with more to say, or that of the [Device] or the context.
	Err error
}

func (e *Error) Error() string {
	text := "slots: " + e.Op
	if e.Slot != 0 {
		text += " of " + e.Slot.String()
	}
	return text + ": " + strings.TrimPrefix(e.Err.Error(), "slots: ")
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// fail makes the error of an operation.
func fail(op string, slot Slot, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Slot: slot, Err: err}
}
