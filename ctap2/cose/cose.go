// Package cose holds public keys and algorithm identifiers as CTAP and WebAuthn
// use them (RFC 9052, RFC 9053, RFC 8230; CTAP 2.2, section 6.5.6; WebAuthn Level 3,
// section 5.8.5).
//
// It is for both ends: an authenticator turns the keys it made into COSE_Key with
// [FromPublic]; a platform or a relying party turns a COSE_Key back into a Go key with
// [Key.Public], which refuses what is not a point of its curve, and checks signatures
// with [Key.Verify].
package cose

import (
	"errors"
	"strconv"
)

// Algorithm is a COSE algorithm identifier (IANA "COSE Algorithms").
type Algorithm int64

// Algorithms that FIDO authenticators use.
const (
	ES256         Algorithm = -7
	EdDSA         Algorithm = -8
	ES384         Algorithm = -35
	ES512         Algorithm = -36
	RS256         Algorithm = -257
	ECDHESHKDF256 Algorithm = -25 // the label that key agreement keys carry (CTAP 2.2, section 6.5.6)
)

// String gives the name that IANA registered, or the number.
func (a Algorithm) String() string {
	switch a {
	case ES256:
		return "ES256"
	case EdDSA:
		return "EdDSA"
	case ES384:
		return "ES384"
	case ES512:
		return "ES512"
	case RS256:
		return "RS256"
	case ECDHESHKDF256:
		return "ECDH-ES+HKDF-256"
	}
	return strconv.FormatInt(int64(a), 10)
}

// Key types of the member kty (RFC 9053, section 7; RFC 8230, section 4).
const (
	KeyTypeOKP = 1
	KeyTypeEC2 = 2
	KeyTypeRSA = 3
)

// Curves of the member crv (RFC 9053, section 7.1).
const (
	CurveP256    = 1
	CurveP384    = 2
	CurveP521    = 3
	CurveEd25519 = 6
)

// The kinds of failure of this package.
var (
	// ErrKey says that a key is malformed: a member is missing, has the wrong type or
	// length, or the point is not on its curve.
	ErrKey = errors.New("cose: invalid key")
	// ErrUnsupported says that a key type, curve or algorithm is not one of those above, or
	// that the algorithm does not go with the key.
	ErrUnsupported = errors.New("cose: unsupported key or algorithm")
	// ErrSignature says that a signature does not belong to the message and the key.
	ErrSignature = errors.New("cose: wrong signature")
)
