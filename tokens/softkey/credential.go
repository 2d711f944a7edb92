package softkey

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

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

	CredBlob          []byte `cbor:"9,keyasint,omitempty"`
	LargeBlobKey      []byte `cbor:"10,keyasint,omitempty"` // 32 bytes, of discoverable ones
	ThirdPartyPayment bool   `cbor:"11,keyasint,omitempty"`
	LargeBlob         bool   `cbor:"12,keyasint,omitempty"` // there is room for a large blob
	Blob              []byte `cbor:"13,keyasint,omitempty"` // the large blob, compressed by the platform
	BlobSize          uint64 `cbor:"14,keyasint,omitempty"` // before the compression

	rpIDHash     [32]byte
	discoverable bool
	u2f          bool
	signer       crypto.Signer
}

// sign signs the concatenation of parts, as the algorithm of the credential wants.
func (c *credential) sign(parts ...[]byte) ([]byte, error) {
	signer, err := c.key()
	if err != nil {
		return nil, err
	}
	return sign(signer, c.Alg, parts...)
}

// The plain text of the id of a credential that is not discoverable: the place of the algorithm
// in [algorithms], the protection, flags, with idFlagCredBlob a length and a credBlob, and the
// private key. The RP ID hash is bound to it as additional data.
const (
	idFlagHMACSecret = 0x01
	idFlagU2F        = 0x02
	idFlagPayment    = 0x04
	idFlagCredBlob   = 0x08
)

// maxRSACredentialID is what the id of an RSA credential fits into with its two primes.
const maxRSACredentialID = 512

// sealID makes the id that holds the whole of a credential, so that nothing has to be
// stored (WebAuthn Level 3, section 4, "Credential ID", choice 2).
func (a *Authenticator) sealID(c *credential) ([]byte, error) {
	at := slices.Index(algorithms, c.Alg)
	if at < 0 || len(c.CredBlob) > 0xFF {
		return nil, ctap2.ErrUnsupportedAlgorithm
	}
	flags := byte(0)
	if c.HMACSecret {
		flags |= idFlagHMACSecret
	}
	if c.u2f {
		flags |= idFlagU2F
	}
	if c.ThirdPartyPayment {
		flags |= idFlagPayment
	}
	if len(c.CredBlob) > 0 {
		flags |= idFlagCredBlob
	}
	aead := a.state.aead
	size := 4 + len(c.CredBlob) + len(c.Private)
	id := make([]byte, aead.NonceSize(), aead.NonceSize()+size+aead.Overhead())
	if _, err := io.ReadFull(a.rand, id); err != nil {
		return nil, err
	}
	plain := append(make([]byte, 0, size), byte(at), byte(c.CredProtect), flags)
	if len(c.CredBlob) > 0 {
		plain = append(append(plain, byte(len(c.CredBlob))), c.CredBlob...)
	}
	plain = append(plain, c.Private...)
	defer clear(plain)
	return aead.Seal(id, id, plain, c.rpIDHash[:]), nil
}

// openID returns the credential in an id, or nil if it is not this key's or this RP's.
// The caller finds the credential cached the next time.
func (a *Authenticator) openID(id []byte, rpIDHash [32]byte) *credential {
	if c := a.state.imported[string(id)]; c != nil && c.rpIDHash == rpIDHash {
		return c
	}
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
		ID:                slices.Clone(id),
		Alg:               algorithms[plain[0]],
		CredProtect:       ctap2.CredProtect(plain[1]),
		HMACSecret:        plain[2]&idFlagHMACSecret != 0,
		ThirdPartyPayment: plain[2]&idFlagPayment != 0,
		rpIDHash:          rpIDHash,
		u2f:               plain[2]&idFlagU2F != 0,
	}
	rest := plain[3:]
	if plain[2]&idFlagCredBlob != 0 {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			return nil
		}
		n := 1 + int(rest[0])
		c.CredBlob, rest = rest[1:n:n], rest[n:]
	}
	c.Private = rest
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
