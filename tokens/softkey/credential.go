package softkey

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io"
	"math/big"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// algorithms are all that a credential can have, in the order of preference. An id holds the
// place of its algorithm here: a new one goes to the end.
var algorithms = []cose.Algorithm{cose.ES256, cose.EdDSA, cose.ES384, cose.RS256}

// Algorithms returns all algorithms that a [Config] may ask for, in the order of preference.
func Algorithms() []cose.Algorithm { return slices.Clone(algorithms) }

// credential is a key pair for one RP. What is exported is stored.
type credential struct {
	ID          []byte            `cbor:"1,keyasint"`
	RPID        string            `cbor:"2,keyasint,omitempty"` // of discoverable ones
	Alg         cose.Algorithm    `cbor:"3,keyasint"`
	Private     []byte            `cbor:"4,keyasint"` // scalar, seed, or the primes of RSA
	CredProtect ctap2.CredProtect `cbor:"5,keyasint,omitempty"`
	HMACSecret  bool              `cbor:"6,keyasint,omitempty"`
	User        ctap2.User        `cbor:"7,keyasint"`
	Created     uint64            `cbor:"8,keyasint,omitempty"` // larger is younger

	rpIDHash     [32]byte
	discoverable bool
	u2f          bool
	signer       crypto.Signer
}

// generate makes a key pair. It draws the private key from random, except for RSA.
func generate(alg cose.Algorithm, random io.Reader) (private []byte, signer crypto.Signer, err error) {
	switch alg {
	case cose.ES256, cose.ES384:
		private = make([]byte, 32)
		if alg == cose.ES384 {
			private = make([]byte, 48)
		}
		// A number that is 0 or not below the order is drawn again.
		for range 64 {
			if _, err := io.ReadFull(random, private); err != nil {
				return nil, nil, err
			}
			if signer, err = parse(alg, private); err == nil {
				return private, signer, nil
			}
		}
		return nil, nil, errors.New("softkey: no valid private key in 64 tries")
	case cose.EdDSA:
		private = make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(random, private); err != nil {
			return nil, nil, err
		}
		return private, ed25519.NewKeyFromSeed(private), nil
	case cose.RS256:
		key, err := rsa.GenerateKey(crand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		private = make([]byte, 256)
		key.Primes[0].FillBytes(private[:128])
		key.Primes[1].FillBytes(private[128:])
		return private, key, nil
	}
	return nil, nil, ctap2.ErrUnsupportedAlgorithm
}

// parse makes a signer of what generate gave.
func parse(alg cose.Algorithm, private []byte) (crypto.Signer, error) {
	switch alg {
	case cose.ES256:
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
	case cose.ES384:
		return ecdsa.ParseRawPrivateKey(elliptic.P384(), private)
	case cose.EdDSA:
		if len(private) != ed25519.SeedSize {
			return nil, errors.New("softkey: Ed25519 seed of wrong length")
		}
		return ed25519.NewKeyFromSeed(private), nil
	case cose.RS256:
		if len(private) != 256 {
			return nil, errors.New("softkey: RSA primes of wrong length")
		}
		p, q := new(big.Int).SetBytes(private[:128]), new(big.Int).SetBytes(private[128:])
		one := big.NewInt(1)
		e := big.NewInt(65537)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
			D:         new(big.Int),
			Primes:    []*big.Int{p, q},
		}
		if key.D.ModInverse(e, phi) == nil {
			return nil, errors.New("softkey: not an RSA key")
		}
		key.Precompute()
		return key, key.Validate()
	}
	return nil, ctap2.ErrUnsupportedAlgorithm
}

// sign signs the concatenation of parts, as the algorithm of the credential wants.
func (c *credential) sign(parts ...[]byte) ([]byte, error) {
	return sign(c.signer, c.Alg, parts...)
}

func sign(signer crypto.Signer, alg cose.Algorithm, parts ...[]byte) ([]byte, error) {
	switch key := signer.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, slices.Concat(parts...)), nil
	case *ecdsa.PrivateKey:
		hash := sha256.New()
		if alg == cose.ES384 {
			hash = sha512.New384()
		}
		for _, part := range parts {
			hash.Write(part)
		}
		var digest [48]byte
		return ecdsa.SignASN1(crand.Reader, key, hash.Sum(digest[:0]))
	case *rsa.PrivateKey:
		hash := sha256.New()
		for _, part := range parts {
			hash.Write(part)
		}
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, hash.Sum(nil))
	}
	return nil, ctap2.ErrUnsupportedAlgorithm
}

// The plain text of the id of a credential that is not discoverable. The RP ID hash
// is bound to it as additional data.
const (
	idFlagHMACSecret = 0x01
	idFlagU2F        = 0x02
)

// sealID makes the id that holds the whole of a credential, so that nothing has to be
// stored (WebAuthn Level 3, section 4, "Credential ID", choice 2).
func (a *Authenticator) sealID(c *credential) ([]byte, error) {
	at := slices.Index(algorithms, c.Alg)
	if at < 0 {
		return nil, ctap2.ErrUnsupportedAlgorithm
	}
	flags := byte(0)
	if c.HMACSecret {
		flags |= idFlagHMACSecret
	}
	if c.u2f {
		flags |= idFlagU2F
	}
	aead := a.state.aead
	id := make([]byte, aead.NonceSize(), aead.NonceSize()+3+len(c.Private)+aead.Overhead())
	if _, err := io.ReadFull(a.rand, id); err != nil {
		return nil, err
	}
	plain := append([]byte{byte(at), byte(c.CredProtect), flags}, c.Private...)
	defer clear(plain)
	return aead.Seal(id, id, plain, c.rpIDHash[:]), nil
}

// openID returns the credential in an id, or nil if it is not this key's or this RP's.
// The caller finds the credential cached the next time.
func (a *Authenticator) openID(id []byte, rpIDHash [32]byte) *credential {
	if c := a.keys.get(id); c != nil {
		if c.rpIDHash != rpIDHash {
			return nil
		}
		return c
	}
	aead := a.state.aead
	if len(id) < aead.NonceSize() {
		return nil
	}
	plain, err := aead.Open(nil, id[:aead.NonceSize()], id[aead.NonceSize():], rpIDHash[:])
	if err != nil || len(plain) < 3 || int(plain[0]) >= len(algorithms) {
		return nil
	}
	c := &credential{
		ID:          slices.Clone(id),
		Alg:         algorithms[plain[0]],
		CredProtect: ctap2.CredProtect(plain[1]),
		HMACSecret:  plain[2]&idFlagHMACSecret != 0,
		Private:     plain[3:],
		rpIDHash:    rpIDHash,
		u2f:         plain[2]&idFlagU2F != 0,
	}
	if c.signer, err = parse(c.Alg, c.Private); err != nil {
		return nil
	}
	a.keys.put(c)
	return c
}

// credRandom gives CredRandomWithUV or CredRandomWithoutUV (CTAP 2.2, section 12.7),
// derived from the key's secret and the credential's private key.
func (a *Authenticator) credRandom(c *credential, uv bool) []byte {
	mac := hmac.New(sha256.New, a.state.Master)
	if uv {
		mac.Write([]byte("CredRandomWithUV"))
	} else {
		mac.Write([]byte("CredRandomWithoutUV"))
	}
	mac.Write(c.Private)
	return mac.Sum(nil)
}

// keyCache keeps the parsed keys of credentials that live in their ids; the least
// recently added go first.
type keyCache struct {
	byID  map[string]*credential
	order []string
}

const keyCacheSize = 1024

func (k *keyCache) get(id []byte) *credential { return k.byID[string(id)] }

func (k *keyCache) put(c *credential) {
	if k.byID == nil {
		k.byID = make(map[string]*credential)
	}
	if len(k.order) >= keyCacheSize {
		delete(k.byID, k.order[0])
		k.order = k.order[1:]
	}
	k.byID[string(c.ID)] = c
	k.order = append(k.order, string(c.ID))
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
