package softkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"io"
	"math/big"
	"slices"

	"filippo.io/mldsa"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// algorithms are all that a credential can have. An id holds the place of its algorithm here: a new
// one goes to the end.
var algorithms = []cose.Algorithm{
	cose.ES256, cose.EdDSA, cose.ES384, cose.RS256,
	cose.ES512, cose.Ed25519, cose.ESP256, cose.ESP384, cose.ESP512, cose.MLDSA44, cose.MLDSA65, cose.MLDSA87,
}

// classical are the algorithms of before post-quantum cryptography, in the order of preference.
var classical = []cose.Algorithm{
	cose.ES256, cose.EdDSA, cose.ES384, cose.RS256,
	cose.ES512, cose.Ed25519, cose.ESP256, cose.ESP384, cose.ESP512,
}

// postQuantum are the algorithms of ML-DSA (FIPS 204), the smallest first.
var postQuantum = []cose.Algorithm{cose.MLDSA44, cose.MLDSA65, cose.MLDSA87}

// Algorithms returns all algorithms that a [Config] may ask for, in the order of preference: those
// of ML-DSA come last.
func Algorithms() []cose.Algorithm { return slices.Concat(classical, postQuantum) }

// curveOf gives the curve of an ECDSA algorithm, nil for another one.
func curveOf(alg cose.Algorithm) elliptic.Curve {
	switch alg {
	case cose.ES256, cose.ESP256:
		return elliptic.P256()
	case cose.ES384, cose.ESP384:
		return elliptic.P384()
	case cose.ES512, cose.ESP512:
		return elliptic.P521()
	}
	return nil
}

// parametersOf gives the parameter set of an ML-DSA algorithm.
func parametersOf(alg cose.Algorithm) (p mldsa.Parameters, ok bool) {
	switch alg {
	case cose.MLDSA44:
		return mldsa.MLDSA44(), true
	case cose.MLDSA65:
		return mldsa.MLDSA65(), true
	case cose.MLDSA87:
		return mldsa.MLDSA87(), true
	}
	return mldsa.Parameters{}, false
}

// generate makes a key pair. It draws the private key from random, except for RSA.
func generate(alg cose.Algorithm, random io.Reader) (private []byte, signer crypto.Signer, err error) {
	if curve := curveOf(alg); curve != nil {
		bits := curve.Params().BitSize
		private = make([]byte, (bits+7)/8)
		// A number that is 0 or not below the order is drawn again.
		for range 64 {
			if _, err := io.ReadFull(random, private); err != nil {
				return nil, nil, err
			}
			if over := len(private)*8 - bits; over > 0 {
				private[0] &= 0xFF >> over
			}
			if signer, err = parse(alg, private); err == nil {
				return private, signer, nil
			}
		}
		return nil, nil, errors.New("softkey: no valid private key in 64 tries")
	}
	switch alg {
	case cose.EdDSA, cose.Ed25519:
		private = make([]byte, ed25519.SeedSize)
	case cose.MLDSA44, cose.MLDSA65, cose.MLDSA87:
		private = make([]byte, mldsa.PrivateKeySize)
	case cose.RS256:
		key, err := rsa.GenerateKey(crand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		private = make([]byte, 256)
		key.Primes[0].FillBytes(private[:128])
		key.Primes[1].FillBytes(private[128:])
		return private, key, nil
	default:
		return nil, nil, ctap2.ErrUnsupportedAlgorithm
	}
	if _, err := io.ReadFull(random, private); err != nil {
		return nil, nil, err
	}
	signer, err = parse(alg, private)
	return private, signer, err
}

// parse makes a signer of what generate gave.
func parse(alg cose.Algorithm, private []byte) (crypto.Signer, error) {
	if curve := curveOf(alg); curve != nil {
		return ecdsa.ParseRawPrivateKey(curve, private)
	}
	if parameters, ok := parametersOf(alg); ok {
		return mldsa.NewPrivateKey(parameters, private)
	}
	switch alg {
	case cose.EdDSA, cose.Ed25519:
		if len(private) != ed25519.SeedSize {
			return nil, errors.New("softkey: Ed25519 seed of wrong length")
		}
		return ed25519.NewKeyFromSeed(private), nil
	case cose.RS256:
		return parseRSA(private)
	}
	return nil, ctap2.ErrUnsupportedAlgorithm
}

// parseRSA makes a key of its two primes.
func parseRSA(private []byte) (crypto.Signer, error) {
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

// sign signs the concatenation of parts, as the algorithm wants (WebAuthn Level 3, section 6.5.5).
func sign(signer crypto.Signer, alg cose.Algorithm, parts ...[]byte) ([]byte, error) {
	switch key := signer.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, slices.Concat(parts...)), nil
	case *mldsa.PrivateKey:
		return key.Sign(nil, slices.Concat(parts...), nil)
	case *ecdsa.PrivateKey:
		return ecdsa.SignASN1(crand.Reader, key, digest(alg, parts))
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest(alg, parts))
	}
	return nil, ctap2.ErrUnsupportedAlgorithm
}

// digest is the hash of the concatenation of parts.
func digest(alg cose.Algorithm, parts [][]byte) []byte {
	var h hash.Hash
	switch alg {
	case cose.ES384, cose.ESP384:
		h = sha512.New384()
	case cose.ES512, cose.ESP512:
		h = sha512.New()
	default:
		h = sha256.New()
	}
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(make([]byte, 0, sha512.Size))
}

// publicKey gives the COSE_Key of a signer in canonical CBOR, labelled with alg.
func publicKey(signer crypto.Signer, alg cose.Algorithm) ([]byte, error) {
	key, err := cose.FromPublic(signer.Public(), alg)
	if err != nil {
		return nil, err
	}
	return key.AppendTo(make([]byte, 0, 80)), nil
}
