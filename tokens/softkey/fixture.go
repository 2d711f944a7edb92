package softkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"filippo.io/mldsa"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// Fixture is a credential as tests bring it along, its private key included. Its form in
// JSON is that of WebDriver's virtual authenticators (WebAuthn Level 3, section 11.7), with members more.
type Fixture struct {
	// ID is chosen by the key when it is empty.
	ID   []byte
	RPID string
	User ctap2.User
	// Discoverable credentials are those of an empty allow list. Others are stored all the same.
	Discoverable bool
	// PrivateKey is PKCS #8 in DER (RFC 5958): P-256, P-384, P-521, Ed25519, RSA of 2048 bits with the
	// exponent 65537, or the seed of ML-DSA (RFC 9881).
	PrivateKey []byte
	// Algorithm is needed only where a key is good for several; 0 for ES256, ES384, ES512, EdDSA,
	// RS256 or ML-DSA, as the key is.
	Algorithm   cose.Algorithm
	CredProtect ctap2.CredProtect // 0 for none
	CredBlob    []byte
	// HMACSecret gives it the extension hmac-secret. Its secret comes from the key's own and the private key: in
	// another key there is another one.
	HMACSecret        bool
	ThirdPartyPayment bool
	// LargeBlobKey is of keys with the option largeBlobs: 32 bytes, or empty.
	LargeBlobKey []byte
	// LargeBlob is of keys with the extension largeBlob, compressed; LargeBlobSize is what it was before.
	LargeBlob     []byte
	LargeBlobSize uint64
	// SignCount lifts the key's signature counter, which all credentials share, to at least this.
	SignCount uint32
}

// MaxFixtures is how many credentials are imported at once.
const MaxFixtures = 100_000

const maxFixtureID = 1023

// Import stores credentials: all of them, or with an error none. One with the id of a stored one, or, if
// it is discoverable, with the RP and user of one, takes its place. The room for discoverable credentials is
// kept. It waits for the command that runs.
func (a *Authenticator) Import(list []Fixture) error {
	if len(list) > MaxFixtures {
		return fmt.Errorf("softkey: more than %d credentials to import", MaxFixtures)
	}
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	a.mu.Lock()
	defer a.mu.Unlock()
	made := make([]*credential, len(list))
	counter := a.state.Counter
	ids, users := map[string]bool{}, map[string]bool{}
	for i := range list {
		c, err := a.fromFixture(&list[i])
		if err != nil {
			return fmt.Errorf("softkey: credential %d to import: %w", i, err)
		}
		if ids[string(c.ID)] {
			return fmt.Errorf("softkey: credential %d to import: its id comes twice", i)
		}
		ids[string(c.ID)] = true
		if c.discoverable {
			key := userKey(sha256.Sum256([]byte(c.RPID)), c.User.ID)
			if users[key] {
				return fmt.Errorf("softkey: credential %d to import: its user comes twice", i)
			}
			users[key] = true
		}
		made[i], counter = c, max(counter, list[i].SignCount)
	}
	if len(list) == 0 {
		return nil
	}
	// What it will be is made beside what is, so that it can fail.
	to := &Authenticator{cfg: a.cfg}
	records, err := a.records()
	if err != nil {
		return err
	}
	for _, b := range records {
		var r record
		if err := ctap2.Unmarshal(b, &r); err != nil {
			return err
		}
		if err := to.apply(&r); err != nil {
			return err
		}
	}
	changes := make([]*record, 0, len(made)+1)
	for _, c := range made {
		if c.discoverable {
			c.Created = to.state.created + 1
			changes = append(changes, &record{Credential: c})
			to.state.created++
		} else {
			changes = append(changes, &record{Imported: c})
		}
	}
	if counter != a.state.Counter {
		changes = append(changes, &record{Counter: counter})
	}
	for _, r := range changes {
		if err := to.apply(r); err != nil {
			return err
		}
	}
	if to.state.discoverable.len() > max(a.cfg.MaxCredentials, a.state.discoverable.len()) {
		return fmt.Errorf("softkey: no room for %d credentials: %w", len(list), ctap2.ErrKeyStoreFull)
	}
	if records, err = to.records(); err != nil {
		return err
	}
	if err := a.rewrite(records); err != nil {
		return err
	}
	a.state = to.state
	for _, c := range made {
		a.seen.event(a, EventCreated, c)
	}
	return nil
}

func (a *Authenticator) fromFixture(f *Fixture) (*credential, error) {
	switch {
	case f.RPID == "":
		return nil, errors.New("no RP ID")
	case len(f.ID) > maxFixtureID:
		return nil, fmt.Errorf("its id is longer than %d bytes", maxFixtureID)
	case len(f.User.ID) > maxUserID:
		return nil, fmt.Errorf("its user's id is longer than %d bytes", maxUserID)
	case f.CredProtect > ctap2.CredProtectUVRequired:
		return nil, errors.New("its protection is not a level")
	case len(f.CredBlob) > 0xFF:
		return nil, errors.New("its credBlob is too long")
	case len(f.LargeBlobKey) != 0 && len(f.LargeBlobKey) != 32:
		return nil, errors.New("its large-blob key does not have 32 bytes")
	case len(f.LargeBlob) > MaxMsgSize:
		return nil, errors.New("its large blob is too long")
	}
	alg, private, err := fromPKCS8(f.PrivateKey, f.Algorithm)
	if err != nil {
		return nil, err
	}
	signer, err := parse(alg, private)
	if err != nil {
		return nil, err
	}
	c := &credential{
		ID: bytes.Clone(f.ID), RPID: f.RPID, Alg: alg, Private: private, CredProtect: f.CredProtect,
		HMACSecret: f.HMACSecret, ThirdPartyPayment: f.ThirdPartyPayment,
		User:         ctap2.User{ID: bytes.Clone(f.User.ID), Name: cut(f.User.Name), DisplayName: cut(f.User.DisplayName)},
		CredBlob:     bytes.Clone(f.CredBlob),
		LargeBlobKey: bytes.Clone(f.LargeBlobKey),
		LargeBlob:    len(f.LargeBlob) > 0, Blob: bytes.Clone(f.LargeBlob), BlobSize: f.LargeBlobSize,
		rpIDHash: sha256.Sum256([]byte(f.RPID)), discoverable: f.Discoverable, signer: signer,
	}
	if len(c.ID) == 0 {
		c.ID = make([]byte, 32)
		if _, err := io.ReadFull(a.rand, c.ID); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Export returns all stored credentials, the discoverable ones first, the oldest of them first. Those
// that live in their ids are not stored, and not among them.
func (a *Authenticator) Export() ([]Fixture, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Fixture, 0, a.state.discoverable.len()+len(a.state.imported))
	for _, c := range append(slices.Clone(a.state.discoverable.list), a.state.importedList()...) {
		// Not the key's own: an RSA key that was just made has another exponent than one that was loaded.
		signer, err := parse(c.Alg, c.Private)
		if err != nil {
			return nil, err
		}
		der, err := toPKCS8(signer, c.Alg, c.Private)
		if err != nil {
			return nil, fmt.Errorf("softkey: export: %w", err)
		}
		list = append(list, Fixture{
			ID: bytes.Clone(c.ID), RPID: c.RPID, User: ctap2.User{ID: bytes.Clone(c.User.ID), Name: c.User.Name, DisplayName: c.User.DisplayName},
			Discoverable: c.discoverable, PrivateKey: der, Algorithm: c.Alg,
			CredProtect: c.CredProtect, CredBlob: bytes.Clone(c.CredBlob), HMACSecret: c.HMACSecret, ThirdPartyPayment: c.ThirdPartyPayment,
			LargeBlobKey: bytes.Clone(c.LargeBlobKey), LargeBlob: bytes.Clone(c.Blob), LargeBlobSize: c.BlobSize,
			SignCount: a.state.Counter,
		})
	}
	return list, nil
}

// importedList are the imported credentials that are not discoverable, by id.
func (s *state) importedList() []*credential {
	var list []*credential
	for _, c := range s.imported {
		list = append(list, c)
	}
	slices.SortFunc(list, func(c, d *credential) int { return bytes.Compare(c.ID, d.ID) })
	return list
}

// putImported adds an imported credential that is not discoverable.
func (s *state) putImported(c *credential) {
	if s.imported == nil {
		s.imported = map[string]*credential{}
	}
	c.rpIDHash = sha256.Sum256([]byte(c.RPID))
	s.imported[string(c.ID)] = c
}

// private key of ML-DSA (RFC 9881, section 6): the seed alone, as [0].
type seedKey struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

var oidMLDSA = map[cose.Algorithm]asn1.ObjectIdentifier{
	cose.MLDSA44: {2, 16, 840, 1, 101, 3, 4, 3, 17},
	cose.MLDSA65: {2, 16, 840, 1, 101, 3, 4, 3, 18},
	cose.MLDSA87: {2, 16, 840, 1, 101, 3, 4, 3, 19},
}

func toPKCS8(signer crypto.Signer, alg cose.Algorithm, private []byte) ([]byte, error) {
	if oid, ok := oidMLDSA[alg]; ok {
		return asn1.Marshal(seedKey{0, pkix.AlgorithmIdentifier{Algorithm: oid}, append([]byte{0x80, byte(len(private))}, private...)})
	}
	return x509.MarshalPKCS8PrivateKey(signer)
}

// fromPKCS8 gives the algorithm and what a credential holds of a key; asked is 0 or the algorithm that it is to be.
func fromPKCS8(der []byte, asked cose.Algorithm) (cose.Algorithm, []byte, error) {
	var able []cose.Algorithm
	var private []byte
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		key = nil // crypto/x509 does not know ML-DSA
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if private, err = key.Bytes(); err != nil {
			return 0, nil, err
		}
		for _, alg := range []cose.Algorithm{cose.ES256, cose.ES384, cose.ES512, cose.ESP256, cose.ESP384, cose.ESP512} {
			if curveOf(alg) == key.Curve {
				able = append(able, alg)
			}
		}
	case ed25519.PrivateKey:
		able, private = []cose.Algorithm{cose.EdDSA, cose.Ed25519}, key.Seed()
	case *rsa.PrivateKey:
		if len(key.Primes) != 2 || key.E != 65537 || key.N.BitLen() != 2048 || tooLong(key.Primes) {
			return 0, nil, errors.New("its RSA key is not of 2048 bits, two primes and the exponent 65537")
		}
		able, private = []cose.Algorithm{cose.RS256}, make([]byte, 256)
		key.Primes[0].FillBytes(private[:128])
		key.Primes[1].FillBytes(private[128:])
	default:
		var k seedKey
		if rest, bad := asn1.Unmarshal(der, &k); bad != nil || len(rest) > 0 || len(k.PrivateKey) != 2+mldsa.PrivateKeySize ||
			k.PrivateKey[0] != 0x80 || int(k.PrivateKey[1]) != mldsa.PrivateKeySize {
			return 0, nil, errors.New("its private key is not PKCS #8 of a kind that this key has")
		}
		for alg, oid := range oidMLDSA {
			if oid.Equal(k.Algorithm.Algorithm) {
				able, private = []cose.Algorithm{alg}, k.PrivateKey[2:]
			}
		}
	}
	switch {
	case len(able) == 0:
		return 0, nil, errors.New("its private key is of no kind that this key has")
	case asked == 0:
		return able[0], private, nil
	case !slices.Contains(able, asked):
		return 0, nil, fmt.Errorf("its private key is not one of %v", asked)
	}
	return asked, private, nil
}

// tooLong says whether a prime is too long for its place.
func tooLong(primes []*big.Int) bool {
	return slices.ContainsFunc(primes, func(p *big.Int) bool { return p.BitLen() > 1024 })
}

// fixtureJSON is a [Fixture] as WebDriver writes it, in base64url.
type fixtureJSON struct {
	CredentialID         base64url `json:"credentialId"`
	IsResidentCredential bool      `json:"isResidentCredential"`
	RPID                 string    `json:"rpId"`
	PrivateKey           base64url `json:"privateKey"`
	UserHandle           base64url `json:"userHandle,omitempty"`
	SignCount            uint32    `json:"signCount"`
	LargeBlob            base64url `json:"largeBlob,omitempty"`
	UserName             string    `json:"userName,omitempty"`
	UserDisplayName      string    `json:"userDisplayName,omitempty"`

	Algorithm         cose.Algorithm    `json:"algorithm,omitempty"`
	CredProtect       ctap2.CredProtect `json:"credProtect,omitempty"`
	CredBlob          base64url         `json:"credBlob,omitempty"`
	HMACSecret        bool              `json:"hmacSecret,omitempty"`
	ThirdPartyPayment bool              `json:"thirdPartyPayment,omitempty"`
	LargeBlobKey      base64url         `json:"largeBlobKey,omitempty"`
	LargeBlobSize     uint64            `json:"largeBlobSize,omitempty"`
}

// base64url is without padding; with it is read too.
type base64url []byte

func (b base64url) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

func (b *base64url) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(string(text), "="))
	return err
}

// MarshalJSON implements [json.Marshaler]. The icon of the user is left out.
func (f Fixture) MarshalJSON() ([]byte, error) {
	return json.Marshal(fixtureJSON{
		CredentialID: f.ID, IsResidentCredential: f.Discoverable, RPID: f.RPID, PrivateKey: f.PrivateKey, UserHandle: f.User.ID,
		SignCount: f.SignCount, LargeBlob: f.LargeBlob, UserName: f.User.Name, UserDisplayName: f.User.DisplayName,
		Algorithm: f.Algorithm, CredProtect: f.CredProtect, CredBlob: f.CredBlob, HMACSecret: f.HMACSecret,
		ThirdPartyPayment: f.ThirdPartyPayment, LargeBlobKey: f.LargeBlobKey, LargeBlobSize: f.LargeBlobSize,
	})
}

// UnmarshalJSON implements [json.Unmarshaler]. Members that are not known are ignored, as WebDriver may
// get more.
func (f *Fixture) UnmarshalJSON(data []byte) error {
	var j fixtureJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("softkey: credential: %w", err)
	}
	*f = Fixture{
		ID: j.CredentialID, RPID: j.RPID, User: ctap2.User{ID: j.UserHandle, Name: j.UserName, DisplayName: j.UserDisplayName},
		Discoverable: j.IsResidentCredential, PrivateKey: j.PrivateKey, Algorithm: j.Algorithm, CredProtect: j.CredProtect,
		CredBlob: j.CredBlob, HMACSecret: j.HMACSecret, ThirdPartyPayment: j.ThirdPartyPayment,
		LargeBlobKey: j.LargeBlobKey, LargeBlob: j.LargeBlob, LargeBlobSize: j.LargeBlobSize, SignCount: j.SignCount,
	}
	return nil
}
