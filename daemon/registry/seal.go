package registry

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeySize is the length of a sealing key, in bytes.
const KeySize = 32

// A sealed secret is: version (1 byte, 1), name of the key (8 bytes), nonce (24), ciphertext and tag, by
// XChaCha20-Poly1305. The additional data is what the secret is for.
const (
	sealVersion = 1
	nameSize    = 8
	sealHead    = 1 + nameSize
)

// ErrSeal says that something sealed cannot be opened: it is damaged, stands in another place, or was sealed with
// a key that is not there.
var ErrSeal = errors.New("registry: a sealed secret cannot be opened")

// Sealer seals secrets. Its methods may be called from several goroutines.
type Sealer struct {
	keys  atomic.Pointer[[]sealKey] // the first one seals
	print []byte                    // key of the fingerprints
}

type sealKey struct {
	name []byte
	aead cipher.AEAD
}

// NewSealer makes a sealer that seals with the first key and opens with all. Fingerprints depend on print, which stays when keys
// are replaced. All are [KeySize] bytes long.
func NewSealer(print []byte, keys ...[]byte) (*Sealer, error) {
	if len(print) != KeySize {
		return nil, fmt.Errorf("registry: a key of %d bytes, want %d", len(print), KeySize)
	}
	s := &Sealer{print: bytes.Clone(print)}
	return s, s.Replace(keys...)
}

// Replace puts other keys in the place of those from before.
func (s *Sealer) Replace(keys ...[]byte) error {
	if len(keys) == 0 {
		return errors.New("registry: no key to seal with")
	}
	var list []sealKey
	for _, key := range keys {
		if len(key) != KeySize {
			return fmt.Errorf("registry: a key of %d bytes, want %d", len(key), KeySize)
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		name, err := hkdf.Key(sha256.New, key, nil, "fobd seal key name", nameSize)
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		list = append(list, sealKey{name, aead})
	}
	s.keys.Store(&list)
	return nil
}

// Seal seals a secret for a place, such as a token's serial number.
func (s *Sealer) Seal(secret []byte, place string) []byte {
	k := (*s.keys.Load())[0]
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	_, _ = rand.Read(nonce) // never fails
	out := append([]byte{sealVersion}, k.name...)
	out = append(out, nonce...)
	return k.aead.Seal(out, nonce, secret, []byte(place))
}

// Open opens what was sealed for a place. The caller wipes it. The error is an [ErrSeal].
func (s *Sealer) Open(sealed []byte, place string) ([]byte, error) {
	if len(sealed) < sealHead+chacha20poly1305.NonceSizeX || sealed[0] != sealVersion {
		return nil, fmt.Errorf("%w: %s: not sealed by us", ErrSeal, place)
	}
	name, nonce, rest := sealed[1:sealHead], sealed[sealHead:sealHead+chacha20poly1305.NonceSizeX], sealed[sealHead+chacha20poly1305.NonceSizeX:]
	for _, k := range *s.keys.Load() {
		if bytes.Equal(k.name, name) {
			secret, err := k.aead.Open(nil, nonce, rest, []byte(place))
			if err != nil {
				return nil, fmt.Errorf("%w: %s: damaged, or from another place", ErrSeal, place)
			}
			return secret, nil
		}
	}
	return nil, fmt.Errorf("%w: %s: its key %x is not there", ErrSeal, place, name)
}

// Stale says that something was sealed with another key than the first.
func (s *Sealer) Stale(sealed []byte) bool {
	return len(sealed) < sealHead || !bytes.Equal(sealed[1:sealHead], (*s.keys.Load())[0].name)
}

// Fingerprint is by what a secret is known again, and says nothing about it to who has not the key.
func (s *Sealer) Fingerprint(secret []byte) []byte {
	m := hmac.New(sha256.New, s.print)
	m.Write(secret)
	return m.Sum(nil)
}
