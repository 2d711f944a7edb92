package ctap2

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/pinuv"
)

// Sizes of what getInfo says to the holder of a persistent token (CTAP 2.3, section 6.4).
const (
	identifierSize    = aes.BlockSize
	encIdentifierSize = aes.BlockSize + identifierSize // an IV, then one block
)

// Labels of the keys that are made of a persistentPinUvAuthToken (CTAP 2.3, section 6.4,
// encIdentifier and encCredStoreState).
const (
	labelIdentifier     = "encIdentifier"
	labelCredStoreState = "encCredStoreState"
)

// Identifier decrypts encIdentifier with a persistent token, which is one that was asked for with
// [PermissionCredentialRead] alone (CTAP 2.3, section 6.4). The 16 bytes are the same until the
// authenticator is reset, and tell whoever holds a token that it is still the same authenticator.
// The error is [ErrNotSupported] when info has no such member. There is no integrity in
// it: a token of another authenticator gives other bytes.
func (t *Token) Identifier(info *Info) ([]byte, error) {
	return t.openState(info.EncIdentifier, labelIdentifier)
}

// CredStoreState decrypts encCredStoreState as [Token.Identifier] does encIdentifier. The 16 bytes
// change whenever a discoverable credential is made, changed or deleted (CTAP 2.3, section 6.4).
func (t *Token) CredStoreState(info *Info) ([]byte, error) {
	return t.openState(info.EncCredStoreState, labelCredStoreState)
}

func (t *Token) openState(encrypted []byte, label string) ([]byte, error) {
	switch {
	case encrypted == nil:
		return nil, fmt.Errorf("%w: %s", ErrNotSupported, label)
	case len(encrypted) != encIdentifierSize:
		return nil, fmt.Errorf("%w: %s of %d bytes", ErrResponse, label, len(encrypted))
	}
	block, err := stateCipher(t.key, label)
	if err != nil {
		return nil, err
	}
	out := make([]byte, identifierSize)
	cipher.NewCBCDecrypter(block, encrypted[:aes.BlockSize]).CryptBlocks(out, encrypted[aes.BlockSize:])
	return out, nil
}

// stateCipher is AES-128 with a key made of a token (CTAP 2.3, section 6.4: HKDF-SHA-256 with a salt of
// 32 zeros).
func stateCipher(token []byte, label string) (cipher.Block, error) {
	if len(token) == 0 {
		return nil, errors.New("ctap2: no token")
	}
	key, err := hkdf.Key(sha256.New, token, make([]byte, sha256.Size), label, 16)
	if err != nil {
		return nil, fmt.Errorf("ctap2: %s: %w", label, err)
	}
	defer pinuv.Wipe(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("ctap2: %s: %w", label, err)
	}
	return block, nil
}

// Clone gives a copy of the token, to be wiped by itself.
func (t *Token) Clone() *Token {
	return &Token{Protocol: t.Protocol, Permissions: t.Permissions, RPID: t.RPID, key: bytes.Clone(t.key)}
}

// Secret gives a copy of the token's bytes, for keeping a persistent one: [NewToken] makes a token of
// them again. The caller wipes it. It is nil after [Token.Wipe].
func (t *Token) Secret() []byte { return bytes.Clone(t.key) }
