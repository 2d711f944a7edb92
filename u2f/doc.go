// Package u2f encodes and decodes the messages of U2F (CTAP1), for both sides, and
// speaks it as a client.
//
// It is for programs that register with and authenticate to U2F keys, and for
// emulated ones. The specification is "FIDO U2F Raw Message Formats 1.2" ("Raw"
// below); the mapping to WebAuthn is package ctap2's. Messages know no transport: a
// [Client] works over anything that has [Transport]'s method.
package u2f

import (
	"errors"

	"github.com/fobd/fobd/u2f/apdu"
)

// Instructions (Raw, section 3.1.3), all of class 0.
const (
	InsRegister     = 0x01
	InsAuthenticate = 0x02
	InsVersion      = 0x03
)

// Version2 is what keys answer to VERSION (Raw, section 6.1).
const Version2 = "U2F_V2"

// MaxKeyHandle is the length of the longest key handle, in bytes: its length field
// is one byte.
const MaxKeyHandle = 255

// PublicKeySize is the length of an uncompressed P-256 point.
const PublicKeySize = 65

// Status words of Raw, section 3.3, as errors.
const (
	// ErrConditionsNotSatisfied says that the person must touch the key; to
	// a check-only request it says that the key handle is the key's.
	ErrConditionsNotSatisfied = apdu.ErrConditionsNotSatisfied
	// ErrWrongData says that the key handle is not the key's.
	ErrWrongData = apdu.ErrWrongData
	// ErrWrongLength says that the request has a wrong length.
	ErrWrongLength = apdu.ErrWrongLength
	// ErrClaNotSupported says that the key does not know the class byte.
	ErrClaNotSupported = apdu.ErrClaNotSupported
	// ErrInsNotSupported says that the key does not know the instruction.
	ErrInsNotSupported = apdu.ErrInsNotSupported
)

// Errors of messages.
var (
	// ErrMalformed says that bytes are not the message they should be.
	ErrMalformed = errors.New("u2f: malformed")
	// ErrKeyHandle says that a key handle is longer than [MaxKeyHandle].
	ErrKeyHandle = errors.New("u2f: key handle too long")
)
