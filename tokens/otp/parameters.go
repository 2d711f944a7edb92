// Package otp makes and checks one-time codes: HOTP (RFC 4226), TOTP (RFC 6238), OCRA (RFC 6287) and
// Steam's. It is the side that checks: it scans a whole window in uniform time, takes the number of digits
// from the token and never from the code, and says which step matched. It keeps no state: that a code is taken
// once is up to its caller, who has the counters.
package otp

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
)

// Kind is what a code is made from.
type Kind string

// The kinds.
const (
	HOTP  Kind = "hotp"  // a counter (RFC 4226)
	TOTP  Kind = "totp"  // the time (RFC 6238)
	OCRA  Kind = "ocra"  // a challenge, by a suite (RFC 6287)
	Steam Kind = "steam" // the time, in letters
)

// Hash is the hash function below HMAC.
type Hash string

// The hash functions.
const (
	SHA1   Hash = "SHA1"
	SHA256 Hash = "SHA256"
	SHA512 Hash = "SHA512"
)

// New returns the hash function.
func (h Hash) New() func() hash.Hash {
	switch h {
	case SHA256:
		return sha256.New
	case SHA512:
		return sha512.New
	}
	return sha1.New
}

// Parameters are all that a token's codes depend on but its seed and its counter or clock.
type Parameters struct {
	Kind Kind `json:"kind"`
	// Hash is SHA1 for most HOTP and all Steam tokens. OCRA has its own in the suite.
	Hash Hash `json:"hash,omitempty"`
	// Digits is how many digits a code has: 6 to 10 (RFC 4226, section 5.3, asks for 6 at least); 5 letters for Steam.
	Digits int `json:"digits,omitempty"`
	// Period is the length of a time step, in seconds (RFC 6238's X).
	Period int64 `json:"period,omitempty"`
	// Epoch is when step 0 begins, in seconds since 1970 (RFC 6238's T0).
	Epoch int64 `json:"epoch,omitempty"`
	// Suite is OCRA's, such as OCRA-1:HOTP-SHA1-6:QN08.
	Suite string `json:"suite,omitempty"`
}

// ErrParameters says that parameters are none that a token can have.
var ErrParameters = errors.New("otp: parameters that no token has")

// Limits of parameters.
const (
	// MinDigits is what RFC 4226, section 5.3, asks for.
	MinDigits = 6
	// MaxDigits are all that 31 bits have.
	MaxDigits    = 10
	steamLetters = 5
	// MaxPeriod is a day, in seconds.
	MaxPeriod = 24 * 60 * 60
	// MinSeed is in bytes. RFC 4226, section 4, asks for 16; tokens in use have 10.
	MinSeed = 10
	// MaxSeed is in bytes.
	MaxSeed = 128
)

// Default fills in what is not said: SHA1, 6 digits, 30 seconds; 5 letters for Steam.
func (p Parameters) Default() Parameters {
	if p.Kind == OCRA {
		return p
	}
	if p.Hash == "" {
		p.Hash = SHA1
	}
	if p.Digits == 0 {
		p.Digits = MinDigits
		if p.Kind == Steam {
			p.Digits = steamLetters
		}
	}
	if p.Period == 0 && p.Kind != HOTP {
		p.Period = 30
	}
	return p
}

// Check returns an [ErrParameters] that says what is wrong.
func (p Parameters) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrParameters, fmt.Sprintf(format, args...))
	}
	switch p.Kind {
	case HOTP, TOTP, Steam:
	case OCRA:
		if _, err := ParseSuite(p.Suite); err != nil {
			return err
		}
		if p.Hash != "" || p.Digits != 0 || p.Period != 0 || p.Epoch != 0 {
			return bad("an OCRA token has them in its suite")
		}
		return nil
	default:
		return bad("kind %.20q", string(p.Kind))
	}
	switch p.Hash {
	case SHA1, SHA256, SHA512:
	default:
		return bad("hash %.20q, want SHA1, SHA256 or SHA512", string(p.Hash))
	}
	switch {
	case p.Suite != "":
		return bad("a suite is for OCRA")
	case p.Kind == Steam && (p.Digits != steamLetters || p.Hash != SHA1):
		return bad("Steam's codes have 5 letters and SHA1")
	case p.Kind != Steam && (p.Digits < MinDigits || p.Digits > MaxDigits):
		return bad("%d digits, want 6 to 10", p.Digits)
	case p.Kind == HOTP && (p.Period != 0 || p.Epoch != 0):
		return bad("an HOTP token has no clock")
	case p.Kind != HOTP && (p.Period < 1 || p.Period > MaxPeriod):
		return bad("a period of %d s, want 1 s to a day", p.Period)
	}
	return nil
}

// CheckSeed says why a seed is none; it says nothing of the seed itself.
func CheckSeed(seed []byte) error {
	if len(seed) < MinSeed || len(seed) > MaxSeed {
		return fmt.Errorf("%w: a seed of %d bytes, want %d to %d", ErrParameters, len(seed), MinSeed, MaxSeed)
	}
	return nil
}
