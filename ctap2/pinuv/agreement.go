package pinuv

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
)

// Encapsulate is the platform's half of the key agreement: it makes a key pair for
// this one use and gives the public key to send and the secret shared with the owner of
// peer (CTAP 2.2, section 6.5.6). A peer that is not a point on P-256 is [ErrPeer].
func (p Protocol) Encapsulate(peer *cose.Key) (platform *cose.Key, secret []byte, err error) {
	if !p.Valid() {
		return nil, nil, ErrProtocol
	}
	priv, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("pinuv: make key agreement key: %w", err)
	}
	secret, err = p.Decapsulate(priv, peer)
	if err != nil {
		return nil, nil, err
	}
	return PublicKey(priv), secret, nil
}

// Decapsulate computes the secret shared with the owner of peer; the authenticator's
// half of the key agreement (CTAP 2.2, section 6.5.6, ecdh and kdf). priv must be a P-256 key.
// A peer that is not a point on the curve is [ErrPeer].
func (p Protocol) Decapsulate(priv *ecdh.PrivateKey, peer *cose.Key) (secret []byte, err error) {
	if !p.Valid() {
		return nil, ErrProtocol
	}
	if peer == nil {
		return nil, ErrPeer
	}
	pub, err := peer.ECDH()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	// CTAP 2.2, section 6.5.6: Z is the x coordinate of the shared point, 32 bytes.
	z, err := priv.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	defer Wipe(z)
	return p.kdf(z)
}

func (p Protocol) kdf(z []byte) ([]byte, error) {
	if p == One {
		// CTAP 2.2, section 6.5.6, kdf: SHA-256(Z).
		sum := sha256.Sum256(z)
		return sum[:], nil
	}
	// CTAP 2.2, section 6.5.7, kdf: two HKDF-SHA-256 outputs with a salt of 32 zero bytes.
	var salt [32]byte
	prk, err := hkdf.Extract(sha256.New, z, salt[:])
	if err != nil {
		return nil, fmt.Errorf("pinuv: derive keys: %w", err)
	}
	defer Wipe(prk)
	secret := make([]byte, 0, 64)
	for _, info := range [...]string{"CTAP2 HMAC key", "CTAP2 AES key"} {
		key, err := hkdf.Expand(sha256.New, prk, info, 32)
		if err != nil {
			return nil, fmt.Errorf("pinuv: derive keys: %w", err)
		}
		secret = append(secret, key...)
		Wipe(key)
	}
	return secret, nil
}

// PublicKey gives the public half of a P-256 key as it goes over the wire, labelled
// ECDH-ES+HKDF-256 (CTAP 2.2, section 6.5.6, getPublicKey).
func PublicKey(priv *ecdh.PrivateKey) *cose.Key {
	point := priv.PublicKey().Bytes()
	n := (len(point) - 1) / 2
	return &cose.Key{
		KeyType: cose.KeyTypeEC2,
		Alg:     cose.ECDHESHKDF256,
		Curve:   cose.CurveP256,
		X:       point[1 : 1+n : 1+n],
		Y:       point[1+n:],
	}
}
