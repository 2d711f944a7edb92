// Package cose holds public keys and algorithm identifiers as CTAP and WebAuthn
// use them (RFC 9052, RFC 9053, RFC 8230, RFC 9864, FIPS 204; CTAP 2.2, section 6.5.6; WebAuthn
// Level 3, section 5.8.5).
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

// Algorithms that FIDO authenticators use. Those of RFC 9864 say the curve too; on the curve
// that WebAuthn prescribes they mean the same as the older ones.
const (
	ES256         Algorithm = -7
	EdDSA         Algorithm = -8
	ESP256        Algorithm = -9  // RFC 9864
	Ed25519       Algorithm = -19 // RFC 9864
	ES384         Algorithm = -35
	ES512         Algorithm = -36
	MLDSA44       Algorithm = -48 // FIPS 204
	MLDSA65       Algorithm = -49 // FIPS 204
	MLDSA87       Algorithm = -50 // FIPS 204
	ESP384        Algorithm = -51 // RFC 9864
	ESP512        Algorithm = -52 // RFC 9864
	RS256         Algorithm = -257
	ECDHESHKDF256 Algorithm = -25 // the label that key agreement keys carry (CTAP 2.2, section 6.5.6)
)

var algorithmNames = map[Algorithm]string{
	ES256: "ES256", EdDSA: "EdDSA", ESP256: "ESP256", Ed25519: "Ed25519", ES384: "ES384", ES512: "ES512",
	MLDSA44: "ML-DSA-44", MLDSA65: "ML-DSA-65", MLDSA87: "ML-DSA-87", ESP384: "ESP384", ESP512: "ESP512",
	RS256: "RS256", ECDHESHKDF256: "ECDH-ES+HKDF-256",
}

// String gives the name that IANA registered, or the number.
func (a Algorithm) String() string {
	if name, ok := algorithmNames[a]; ok {
		return name
	}
	return strconv.FormatInt(int64(a), 10)
}

// PostQuantum reports whether a is one of the ML-DSA algorithms, whose keys and signatures are
// thousands of bytes.
func (a Algorithm) PostQuantum() bool {
	return a == MLDSA44 || a == MLDSA65 || a == MLDSA87
}

// Key types of the member kty (RFC 9053, section 7; RFC 8230, section 4; IANA "COSE Key Types").
const (
	KeyTypeOKP = 1
	KeyTypeEC2 = 2
	KeyTypeRSA = 3
	KeyTypeAKP = 7 // the algorithm says what the one member pub is
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
