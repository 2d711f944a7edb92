// Package tokens knows which security keys are attached, on any bus, and opens them.
//
// It is for the daemon. A [Registry] watches several [hid.Bus]es and merges what they
// tell into one sorted list of [Key]s; [Registry.Open] takes a key for one operation and
// gives a [Conn], which speaks CTAPHID (CTAP 2.2, section 11.2) and therefore carries the
// messages of both ctap2 and u2f. Other interfaces of a key, at which it keeps accounts for one-time
// codes, are its [Side]s; a token that has nothing else is a Key, too. Who may use a key, and in which order, is the daemon's
// business.
package tokens

import (
	"errors"
)

// Errors of this package.
var (
	// ErrNotFound says that no attached key has the given ID.
	ErrNotFound = errors.New("tokens: no such key")
	// ErrNoCBOR says that a key speaks CTAP1 only, so that it cannot be asked for its
	// authenticatorGetInfo answer.
	ErrNoCBOR = errors.New("tokens: key speaks CTAP1 only")
	// ErrNoFIDO says that a token has no FIDO interface, so that it cannot be opened as a key.
	ErrNoFIDO = errors.New("tokens: no FIDO interface")
)
