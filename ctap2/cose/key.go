package cose

// Key is a COSE_Key with a public key in it. Its CBOR form is the canonical one of
// CTAP 2.2, section 8. The zero value holds no key.
type Key struct {
	KeyType int64     // kty: 1 OKP, 2 EC2, 3 RSA
	Alg     Algorithm // alg, 0 when absent
	Curve   int64     // crv: 1 P-256, 2 P-384, 3 P-521, 6 Ed25519
	X, Y    []byte    // EC2 coordinates of full length; OKP has X only
	N, E    []byte    // RSA modulus and exponent, big-endian
}
