// Package pinuv holds the PIN/UV auth protocols one and two, as both the platform
// and the authenticator use them (CTAP 2.2, sections 6.5.4 to 6.5.7).
//
// The operations are methods of [Protocol] and carry the specification's names. Keys
// go in and out as plain byte slices: the shared secret of [Protocol.Encapsulate] and
// [Protocol.Decapsulate] (32 bytes with protocol one; an HMAC key and an AES key of 32
// bytes each with protocol two) and the pinUvAuthToken. Whoever holds one wipes it with
// [Wipe] when done.
package pinuv

import (
	"errors"
	"strconv"
)

// Protocol is the number of a PIN/UV auth protocol; its methods are the operations
// of CTAP 2.2, section 6.5.4. The zero value means none given.
type Protocol uint

// The PIN/UV auth protocols (CTAP 2.2, sections 6.5.6 and 6.5.7).
const (
	One Protocol = 1
	Two Protocol = 2
)

// The kinds of failure of this package.
var (
	// ErrProtocol says that a protocol is neither one nor two.
	ErrProtocol = errors.New("pinuv: unknown PIN/UV auth protocol")
	// ErrPeer says that the other side's key agreement key is not a point on P-256.
	ErrPeer = errors.New("pinuv: invalid key agreement key")
	// ErrKey says that a key has the wrong length for the operation.
	ErrKey = errors.New("pinuv: wrong key length")
	// ErrLength says that a plaintext or ciphertext is not of whole blocks, or too short.
	ErrLength = errors.New("pinuv: wrong message length")
)

// TokenSize is the length in bytes of a pinUvAuthToken that a new authenticator
// issues. Protocol two knows no other; protocol one allows 16 too (CTAP 2.2, sections 6.5.6
// and 6.5.7).
const TokenSize = 32

// Valid reports whether p is one of the protocols that this package has.
func (p Protocol) Valid() bool { return p == One || p == Two }

// TokenSize is the length in bytes of a new pinUvAuthToken, 0 for an unknown protocol.
func (p Protocol) TokenSize() int {
	if !p.Valid() {
		return 0
	}
	return TokenSize
}

// ValidTokenSize reports whether a pinUvAuthToken of n bytes is allowed: 16 or 32 with
// protocol one, 32 with protocol two.
func (p Protocol) ValidTokenSize(n int) bool {
	return p == One && n == 16 || p.Valid() && n == TokenSize
}

// String gives "one", "two" or the number.
func (p Protocol) String() string {
	switch p {
	case One:
		return "one"
	case Two:
		return "two"
	}
	return strconv.FormatUint(uint64(p), 10)
}

// Wipe overwrites secrets with zeros.
func Wipe(secrets ...[]byte) {
	for _, s := range secrets {
		clear(s)
	}
}
