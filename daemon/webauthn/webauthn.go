// Package webauthn is the WebAuthn client's half of a registration or an assertion: it
// reads the options that a site gave, checks that the site may use its RP ID, builds the
// client data and the CTAP request for one key, and turns the key's answer into the JSON
// that goes back to the site.
//
// It is for the daemon, which does the waiting, the asking and the talking to keys in
// between. The specification is WebAuthn Level 3, sections 5.1.3, 5.1.4, 5.1.8, 5.1.9,
// 5.1.10, 5.8.1 and 6.5, and CTAP 2.2, sections 6.1 and 6.2. Everything here is computing:
// no key, no clock, no person.
package webauthn

import (
	"errors"
	"fmt"
)

// The kinds of failure of this package.
var (
	// ErrOptions says that options are not what WebAuthn wants them to be.
	ErrOptions = errors.New("webauthn: invalid options")
	// ErrOrigin says that something is not the origin of a site that may use WebAuthn.
	ErrOrigin = errors.New("webauthn: invalid origin")
	// ErrRPID says that the origin may not use the RP ID.
	ErrRPID = errors.New("webauthn: RP ID is not for this origin")
	// ErrUnsupported says that a key cannot do what the options want.
	ErrUnsupported = errors.New("webauthn: not supported by this key")
	// ErrPINNotSet says that the options want the person to be verified and that the key
	// could if it had a PIN.
	ErrPINNotSet = errors.New("webauthn: the person cannot be verified: the key has no PIN")
	// ErrResponse says that a key's answer is not one to the request.
	ErrResponse = errors.New("webauthn: the key's answer does not fit the request")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
}
