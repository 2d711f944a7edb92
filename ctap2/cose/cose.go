// Package cose holds public keys and algorithm identifiers as CTAP and WebAuthn
// use them (RFC 9052, RFC 9053, RFC 8230; CTAP 2.2, section 6.5.6; WebAuthn Level 3,
// section 5.8.5).
package cose

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
