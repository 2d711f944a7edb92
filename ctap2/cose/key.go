package cose

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"

	"filippo.io/mldsa"
)

// Key is a COSE_Key with a public key in it. Its CBOR form is the canonical one of
// CTAP 2.2, section 8. The zero value holds no key.
type Key struct {
	KeyType int64     // kty: 1 OKP, 2 EC2, 3 RSA, 7 AKP
	Alg     Algorithm // alg, 0 when absent; AKP needs it
	Curve   int64     // crv: 1 P-256, 2 P-384, 3 P-521, 6 Ed25519
	X, Y    []byte    // EC2 coordinates of full length; OKP has X only
	N, E    []byte    // RSA modulus and exponent, big-endian
	Pub     []byte    // AKP: the ML-DSA public key (FIPS 204, algorithm 22)
}

// Limits for RSA moduli in bytes: below nobody should trust them, above nobody sends them.
const (
	minModulus = 1024 / 8
	maxModulus = 4096 / 8
)

// FromPublic makes a Key of an *ecdsa.PublicKey, an *ecdh.PublicKey (P-256 only), an
// ed25519.PublicKey, an *rsa.PublicKey or an *mldsa.PublicKey, labelled with alg. The Key owns its bytes. The error is
// [ErrUnsupported] when alg does not go with the key, [ErrKey] when the key is not valid.
func FromPublic(pub crypto.PublicKey, alg Algorithm) (Key, error) {
	k := Key{Alg: alg}
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		curve, err := curveOf(pub.Curve)
		if err != nil {
			return Key{}, err
		}
		point, err := pub.Bytes()
		if err != nil {
			return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		k.setPoint(curve, point)
	case *ecdh.PublicKey:
		if pub.Curve() != ecdh.P256() {
			return Key{}, fmt.Errorf("%w: key agreement is on P-256 only", ErrUnsupported)
		}
		k.setPoint(CurveP256, pub.Bytes())
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(pub))
		}
		k.KeyType, k.Curve, k.X = KeyTypeOKP, CurveEd25519, append([]byte(nil), pub...)
	case *rsa.PublicKey:
		if pub.N == nil || pub.E < 2 {
			return Key{}, fmt.Errorf("%w: incomplete RSA key", ErrKey)
		}
		k.KeyType, k.N, k.E = KeyTypeRSA, pub.N.Bytes(), big.NewInt(int64(pub.E)).Bytes()
	case *mldsa.PublicKey:
		if params, ok := mldsaParameters(alg); !ok || pub.Parameters() != params {
			return Key{}, fmt.Errorf("%w: %v with a key for %v", ErrUnsupported, alg, pub.Parameters())
		}
		k.KeyType, k.Pub = KeyTypeAKP, pub.Bytes()
	default:
		return Key{}, fmt.Errorf("%w: %T", ErrUnsupported, pub)
	}
	return k, k.Check()
}

// setPoint takes the uncompressed point 04 || X || Y.
func (k *Key) setPoint(curve int64, point []byte) {
	n := (len(point) - 1) / 2
	k.KeyType, k.Curve, k.X, k.Y = KeyTypeEC2, curve, point[1:1+n:1+n], point[1+n:]
}

// Public gives the Go form: *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey or
// *mldsa.PublicKey, and *ecdh.PublicKey for a key labelled [ECDHESHKDF256]. A point that is not on its curve is
// [ErrKey]; an unknown type or curve, and an algorithm that does not go with the key,
// are [ErrUnsupported]. An absent algorithm goes with every key.
func (k Key) Public() (crypto.PublicKey, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	switch {
	case k.KeyType == KeyTypeOKP:
		return append(ed25519.PublicKey(nil), k.X...), nil
	case k.KeyType == KeyTypeRSA:
		e := 0
		for _, b := range k.E {
			e = e<<8 | int(b)
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: e}, nil
	case k.KeyType == KeyTypeAKP:
		params, _ := mldsaParameters(k.Alg)
		pub, err := mldsa.NewPublicKey(params, k.Pub)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return pub, nil
	case k.Alg == ECDHESHKDF256:
		return k.ECDH()
	}
	curve, _ := curveByNumber(k.Curve)
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, k.point())
	if err != nil {
		return nil, fmt.Errorf("%w: point is not on %s", ErrKey, curve.Params().Name)
	}
	return pub, nil
}

// ECDH gives the key for a key agreement on P-256, whatever algorithm it is labelled with (not
// every authenticator writes the label of CTAP 2.2, section 6.5.6). A point that is not on
// the curve is [ErrKey], a key of another kind [ErrUnsupported].
func (k Key) ECDH() (*ecdh.PublicKey, error) {
	if k.KeyType != KeyTypeEC2 || k.Curve != CurveP256 {
		return nil, fmt.Errorf("%w: key agreement needs a point on P-256", ErrUnsupported)
	}
	if len(k.X) != 32 || len(k.Y) != 32 {
		return nil, fmt.Errorf("%w: coordinates of %d and %d bytes", ErrKey, len(k.X), len(k.Y))
	}
	pub, err := ecdh.P256().NewPublicKey(k.point())
	if err != nil {
		return nil, fmt.Errorf("%w: point is not on P-256", ErrKey)
	}
	return pub, nil
}

// Verify checks a signature as authenticators make them: ASN.1 DER for the ECDSA
// algorithms, raw for EdDSA and ML-DSA (with an empty context), PKCS #1 v1.5 for RS256 (WebAuthn
// Level 3, section 6.5.5).
// The error is [ErrSignature] when the signature is wrong.
func (k Key) Verify(message, sig []byte) error {
	pub, err := k.Public()
	if err != nil {
		return err
	}
	var ok bool
	switch k.Alg {
	case ES256, ESP256:
		sum := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), sum[:], sig)
	case ES384, ESP384:
		sum := sha512.Sum384(message)
		ok = ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), sum[:], sig)
	case ES512, ESP512:
		sum := sha512.Sum512(message)
		ok = ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), sum[:], sig)
	case EdDSA, Ed25519:
		ok = ed25519.Verify(pub.(ed25519.PublicKey), message, sig)
	case RS256:
		sum := sha256.Sum256(message)
		ok = rsa.VerifyPKCS1v15(pub.(*rsa.PublicKey), crypto.SHA256, sum[:], sig) == nil
	case MLDSA44, MLDSA65, MLDSA87:
		ok = mldsa.Verify(pub.(*mldsa.PublicKey), message, sig, nil) == nil
	default:
		return fmt.Errorf("%w: no signatures with %v", ErrUnsupported, k.Alg)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// IsZero reports whether k holds no key.
func (k Key) IsZero() bool { return k.KeyType == 0 }

// Check looks at everything but the curve equation: that the members of the key's type are
// there with their lengths, and that the algorithm goes with the key. The error is [ErrKey] or
// [ErrUnsupported]. It is cheap; [Key.Public] looks at the curve too.
func (k Key) Check() error {
	switch k.KeyType {
	case KeyTypeOKP:
		if k.Curve != CurveEd25519 || k.Alg != 0 && k.Alg != EdDSA && k.Alg != Ed25519 {
			return fmt.Errorf("%w: OKP with curve %d and %v", ErrUnsupported, k.Curve, k.Alg)
		}
		if len(k.X) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(k.X))
		}
	case KeyTypeEC2:
		curve, ok := curveByNumber(k.Curve)
		if !ok {
			return fmt.Errorf("%w: EC2 with curve %d", ErrUnsupported, k.Curve)
		}
		// WebAuthn Level 3, section 5.8.5: each of these algorithms has its one curve.
		goes := k.Alg == 0
		switch k.Curve {
		case CurveP256:
			goes = goes || k.Alg == ES256 || k.Alg == ESP256 || k.Alg == ECDHESHKDF256
		case CurveP384:
			goes = goes || k.Alg == ES384 || k.Alg == ESP384
		case CurveP521:
			goes = goes || k.Alg == ES512 || k.Alg == ESP512
		}
		if !goes {
			return fmt.Errorf("%w: %v on %s", ErrUnsupported, k.Alg, curve.Params().Name)
		}
		if n := coordinate(curve); len(k.X) != n || len(k.Y) != n {
			return fmt.Errorf("%w: coordinates of %d and %d bytes on %s", ErrKey, len(k.X), len(k.Y), curve.Params().Name)
		}
	case KeyTypeRSA:
		if k.Alg != 0 && k.Alg != RS256 {
			return fmt.Errorf("%w: RSA with %v", ErrUnsupported, k.Alg)
		}
		if len(k.N) < minModulus || len(k.N) > maxModulus || k.N[0] == 0 {
			return fmt.Errorf("%w: RSA modulus of %d bytes", ErrKey, len(k.N))
		}
		// crypto/rsa takes exponents of 31 bits at most. RFC 8230, section 4: no leading zeros.
		if len(k.E) == 0 || len(k.E) > 4 || k.E[0] == 0 || len(k.E) == 4 && k.E[0] > 0x7F || k.E[len(k.E)-1]&1 == 0 {
			return fmt.Errorf("%w: RSA exponent", ErrKey)
		}
	case KeyTypeAKP:
		params, ok := mldsaParameters(k.Alg)
		if !ok {
			return fmt.Errorf("%w: AKP with %v", ErrUnsupported, k.Alg)
		}
		if len(k.Pub) != params.PublicKeySize() {
			return fmt.Errorf("%w: %v key of %d bytes", ErrKey, k.Alg, len(k.Pub))
		}
	default:
		return fmt.Errorf("%w: key type %d", ErrUnsupported, k.KeyType)
	}
	return nil
}

func (k Key) point() []byte {
	p := make([]byte, 0, 1+len(k.X)+len(k.Y))
	p = append(p, 4)
	p = append(p, k.X...)
	return append(p, k.Y...)
}

func curveByNumber(n int64) (elliptic.Curve, bool) {
	switch n {
	case CurveP256:
		return elliptic.P256(), true
	case CurveP384:
		return elliptic.P384(), true
	case CurveP521:
		return elliptic.P521(), true
	}
	return nil, false
}

func curveOf(c elliptic.Curve) (int64, error) {
	switch c {
	case elliptic.P256():
		return CurveP256, nil
	case elliptic.P384():
		return CurveP384, nil
	case elliptic.P521():
		return CurveP521, nil
	}
	return 0, fmt.Errorf("%w: curve", ErrUnsupported)
}

func mldsaParameters(a Algorithm) (mldsa.Parameters, bool) {
	switch a {
	case MLDSA44:
		return mldsa.MLDSA44(), true
	case MLDSA65:
		return mldsa.MLDSA65(), true
	case MLDSA87:
		return mldsa.MLDSA87(), true
	}
	return mldsa.Parameters{}, false
}

func coordinate(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }
