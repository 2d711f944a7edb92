package cose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2/cose"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var lattices = map[cose.Algorithm]mldsa.Parameters{
	cose.MLDSA44: mldsa.MLDSA44(), cose.MLDSA65: mldsa.MLDSA65(), cose.MLDSA87: mldsa.MLDSA87(),
}

// signer is a key pair of one algorithm.
type signer struct {
	alg  cose.Algorithm
	pub  crypto.PublicKey
	sign func(message []byte) ([]byte, error)
}

func signers(t testing.TB) []signer {
	t.Helper()
	var all []signer
	for _, c := range []struct {
		alg   cose.Algorithm
		curve elliptic.Curve
		hash  func([]byte) []byte
	}{
		{cose.ES256, elliptic.P256(), func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
		{cose.ES384, elliptic.P384(), func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }},
		{cose.ES512, elliptic.P521(), func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }},
		{cose.ESP256, elliptic.P256(), func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
		{cose.ESP384, elliptic.P384(), func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }},
		{cose.ESP512, elliptic.P521(), func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }},
	} {
		priv, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, signer{c.alg, &priv.PublicKey, func(m []byte) ([]byte, error) {
			return ecdsa.SignASN1(rand.Reader, priv, c.hash(m))
		}})
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []cose.Algorithm{cose.EdDSA, cose.Ed25519} {
		all = append(all, signer{alg, pub, func(m []byte) ([]byte, error) { return ed25519.Sign(priv, m), nil }})
	}
	for alg, params := range lattices {
		priv, err := mldsa.GenerateKey(params)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, signer{alg, priv.PublicKey(), func(m []byte) ([]byte, error) { return priv.Sign(nil, m, nil) }})
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, signer{cose.RS256, &rsaKey.PublicKey, func(m []byte) ([]byte, error) {
		s := sha256.Sum256(m)
		return rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, s[:])
	}})
}

func TestSignatures(t *testing.T) {
	message := []byte("message")
	for _, s := range signers(t) {
		t.Run(s.alg.String(), func(t *testing.T) {
			k, err := cose.FromPublic(s.pub, s.alg)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := k.Public()
			if err != nil {
				t.Fatal(err)
			}
			if !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(s.pub) {
				t.Errorf("Public = %v, want %v", pub, s.pub)
			}
			wire, err := k.MarshalCBOR()
			if err != nil {
				t.Fatal(err)
			}
			var back cose.Key
			if err := back.UnmarshalCBOR(wire); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(k, back); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			sig, err := s.sign(message)
			if err != nil {
				t.Fatal(err)
			}
			if err := back.Verify(message, sig); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if err := back.Verify([]byte("massage"), sig); !errors.Is(err, cose.ErrSignature) {
				t.Errorf("Verify of another message: %v, want %v", err, cose.ErrSignature)
			}
			if err := back.Verify(message, nil); !errors.Is(err, cose.ErrSignature) {
				t.Errorf("Verify of no signature: %v, want %v", err, cose.ErrSignature)
			}
			if s.alg.PostQuantum() {
				return // go-webauthn has it from Go 1.27 on
			}
			// go-webauthn, whose code is not ours, reads the key and agrees about the signature.
			theirs, err := webauthncose.ParsePublicKey(wire)
			if err != nil {
				t.Fatalf("go-webauthn: %v", err)
			}
			if ok, err := webauthncose.VerifySignature(theirs, message, sig); !ok || err != nil {
				t.Errorf("go-webauthn: %v, %v", ok, err)
			}
		})
	}
}

// TestWire has keys as RFC 9053 and RFC 8230 number their members, in canonical order.
func TestWire(t *testing.T) {
	x, y := strings.Repeat("11", 32), strings.Repeat("22", 32)
	x48, y48 := strings.Repeat("11", 48), strings.Repeat("22", 48)
	x66, y66 := strings.Repeat("11", 66), strings.Repeat("22", 66)
	n := strings.Repeat("81", 256)
	for _, tt := range []struct {
		name string
		key  cose.Key
		wire string
	}{
		{
			"ES256",
			cose.Key{KeyType: 2, Alg: cose.ES256, Curve: 1, X: unhex(t, x), Y: unhex(t, y)},
			"a5 0102 0326 2001 215820" + x + "225820" + y,
		},
		{
			"ECDH",
			cose.Key{KeyType: 2, Alg: cose.ECDHESHKDF256, Curve: 1, X: unhex(t, x), Y: unhex(t, y)},
			"a5 0102 033818 2001 215820" + x + "225820" + y,
		},
		{
			"no algorithm",
			cose.Key{KeyType: 2, Curve: 1, X: unhex(t, x), Y: unhex(t, y)},
			"a4 0102 2001 215820" + x + "225820" + y,
		},
		{
			"ES384",
			cose.Key{KeyType: 2, Alg: cose.ES384, Curve: 2, X: unhex(t, x48), Y: unhex(t, y48)},
			"a5 0102 033822 2002 215830" + x48 + "225830" + y48,
		},
		{
			"ES512",
			cose.Key{KeyType: 2, Alg: cose.ES512, Curve: 3, X: unhex(t, x66), Y: unhex(t, y66)},
			"a5 0102 033823 2003 215842" + x66 + "225842" + y66,
		},
		{
			"EdDSA",
			cose.Key{KeyType: 1, Alg: cose.EdDSA, Curve: 6, X: unhex(t, x)},
			"a4 0101 0327 2006 215820" + x,
		},
		{
			"ESP256",
			cose.Key{KeyType: 2, Alg: cose.ESP256, Curve: 1, X: unhex(t, x), Y: unhex(t, y)},
			"a5 0102 0328 2001 215820" + x + "225820" + y,
		},
		{
			"ESP384",
			cose.Key{KeyType: 2, Alg: cose.ESP384, Curve: 2, X: unhex(t, x48), Y: unhex(t, y48)},
			"a5 0102 033832 2002 215830" + x48 + "225830" + y48,
		},
		{
			"ESP512",
			cose.Key{KeyType: 2, Alg: cose.ESP512, Curve: 3, X: unhex(t, x66), Y: unhex(t, y66)},
			"a5 0102 033833 2003 215842" + x66 + "225842" + y66,
		},
		{
			"Ed25519",
			cose.Key{KeyType: 1, Alg: cose.Ed25519, Curve: 6, X: unhex(t, x)},
			"a4 0101 0332 2006 215820" + x,
		},
		{
			"ML-DSA-44",
			cose.Key{KeyType: 7, Alg: cose.MLDSA44, Pub: bytes.Repeat([]byte{0x33}, 1312)},
			"a3 0107 03382f 20590520" + strings.Repeat("33", 1312),
		},
		{
			"ML-DSA-65",
			cose.Key{KeyType: 7, Alg: cose.MLDSA65, Pub: bytes.Repeat([]byte{0x33}, 1952)},
			"a3 0107 033830 205907a0" + strings.Repeat("33", 1952),
		},
		{
			"ML-DSA-87",
			cose.Key{KeyType: 7, Alg: cose.MLDSA87, Pub: bytes.Repeat([]byte{0x33}, 2592)},
			"a3 0107 033831 20590a20" + strings.Repeat("33", 2592),
		},
		{
			"RS256",
			cose.Key{KeyType: 3, Alg: cose.RS256, N: unhex(t, n), E: []byte{1, 0, 1}},
			"a4 0103 03390100 20590100" + n + "2143010001",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tt.wire)
			got, err := tt.key.MarshalCBOR()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("MarshalCBOR = %x, %v\nwant %x", got, err, want)
			}
			if got := tt.key.AppendTo([]byte{0xFF}); !bytes.Equal(got[1:], want) || got[0] != 0xFF {
				t.Errorf("AppendTo = %x", got)
			}
			var back cose.Key
			if err := back.UnmarshalCBOR(want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.key, back); diff != "" {
				t.Errorf("UnmarshalCBOR (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotAKey(t *testing.T) {
	x, y := "5820"+strings.Repeat("11", 32), "5820"+strings.Repeat("22", 32)
	var as32 strings.Builder // 32 numbers in an array are not 32 bytes
	as32.WriteString("9820" + strings.Repeat("01", 32))
	for _, tt := range []struct {
		name, wire string
		want       error
	}{
		{"nothing", "", cose.ErrKey},
		{"not a map", "80", cose.ErrKey},
		{"empty", "a0", cose.ErrUnsupported},
		{"trailing", "a4 0101 0327 2006 21" + x + "00", cose.ErrKey},
		{"twice", "a5 0101 0327 0327 2006 21" + x, cose.ErrKey},
		{"unknown type", "a2 0104 0326", cose.ErrUnsupported},
		{"unknown curve", "a5 0102 0326 2008 21" + x + "22" + y, cose.ErrUnsupported},
		{"secp256k1's algorithm", "a5 0102 03382e 2001 21" + x + "22" + y, cose.ErrUnsupported},
		{"algorithm of another curve", "a5 0102 033822 2001 21" + x + "22" + y, cose.ErrUnsupported},
		{"EdDSA on EC2", "a5 0102 0327 2001 21" + x + "22" + y, cose.ErrUnsupported},
		{"ES256 on OKP", "a4 0101 0326 2006 21" + x, cose.ErrUnsupported},
		{"X25519", "a4 0101 0327 2004 21" + x, cose.ErrUnsupported},
		{"no y", "a4 0102 0326 2001 21" + x, cose.ErrKey},
		{"compressed y", "a5 0102 0326 2001 21" + x + "22f5", cose.ErrKey},
		{"curve as text", "a5 0102 0326 20 6150 21" + x + "22" + y, cose.ErrKey},
		{"short x", "a5 0102 0326 2001 2141 11 22" + y, cose.ErrKey},
		{"x in an array", "a5 0102 0326 2001 21" + as32.String() + "22" + y, cose.ErrKey},
		{"long Ed25519", "a4 0101 0327 2006 215821" + strings.Repeat("11", 33), cose.ErrKey},
		{"short modulus", "a4 0103 03390100 2041 ff 2143010001", cose.ErrKey},
		{"leading zero", "a4 0103 03390100 20590100 00" + strings.Repeat("81", 255) + "2143010001", cose.ErrKey},
		{"huge modulus", "a4 0103 03390100 20590401" + strings.Repeat("81", 1025) + "2143010001", cose.ErrKey},
		{"exponent of 8 bytes", "a4 0103 03390100 20590100" + strings.Repeat("81", 256) + "2148 0101010101010101", cose.ErrKey},
		{"even exponent", "a4 0103 03390100 20590100" + strings.Repeat("81", 256) + "2143010000", cose.ErrKey},
		{"Ed25519 on EC2", "a5 0102 0332 2001 21" + x + "22" + y, cose.ErrUnsupported},
		{"ESP384 on P-256", "a5 0102 033832 2001 21" + x + "22" + y, cose.ErrUnsupported},
		{"ESP512 on P-256", "a5 0102 033833 2001 21" + x + "22" + y, cose.ErrUnsupported},
		{"Ed448", "a4 0101 033834 2007 21" + x, cose.ErrUnsupported},
		{"AKP without algorithm", "a2 0107 2041 11", cose.ErrUnsupported},
		{"AKP with ES256", "a3 0107 0326 20590520" + strings.Repeat("33", 1312), cose.ErrUnsupported},
		{"AKP without pub", "a2 0107 03382f", cose.ErrKey},
		{"AKP, a byte too few", "a3 0107 03382f 2059051f" + strings.Repeat("33", 1311), cose.ErrKey},
		{"AKP, a byte too many", "a3 0107 03382f 20590521" + strings.Repeat("33", 1313), cose.ErrKey},
		{"AKP, size of another", "a3 0107 033830 20590520" + strings.Repeat("33", 1312), cose.ErrKey},
		{"AKP, pub as text", "a3 0107 03382f 206131", cose.ErrKey},
		{"ML-DSA on OKP", "a4 0101 03382f 2006 21" + x, cose.ErrUnsupported},
		{"indefinite", "bf 0101 0327 2006 21" + x + "ff", cose.ErrKey},
	} {
		k := cose.Key{KeyType: 99}
		if err := k.UnmarshalCBOR(unhex(t, tt.wire)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if k.KeyType != 99 {
			t.Errorf("%s: the key was changed", tt.name)
		}
	}
	// Members that nobody knows are skipped.
	var k cose.Key
	if err := k.UnmarshalCBOR(unhex(t, "a6 0101 024105 0327 048102 2006 21"+x)); err != nil {
		t.Errorf("key with kid and key_ops: %v", err)
	}
}

func TestPointOffTheCurve(t *testing.T) {
	for _, c := range []struct {
		alg   cose.Algorithm
		curve int64
		size  int
	}{{cose.ES256, 1, 32}, {cose.ES384, 2, 48}, {cose.ES512, 3, 66}, {cose.ESP256, 1, 32}, {cose.ESP384, 2, 48}, {cose.ESP512, 3, 66}, {cose.ECDHESHKDF256, 1, 32}} {
		k := cose.Key{KeyType: 2, Alg: c.alg, Curve: c.curve, X: bytes.Repeat([]byte{0}, c.size), Y: bytes.Repeat([]byte{1}, c.size)}
		if _, err := k.Public(); !errors.Is(err, cose.ErrKey) {
			t.Errorf("%v: Public: %v, want %v", c.alg, err, cose.ErrKey)
		}
		if err := k.Verify(nil, nil); !errors.Is(err, cose.ErrKey) {
			t.Errorf("%v: Verify: %v, want %v", c.alg, err, cose.ErrKey)
		}
	}
}

func TestFromPublicRefuses(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	lattice, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		pub  crypto.PublicKey
		alg  cose.Algorithm
		want error
	}{
		{"nil", nil, cose.ES256, cose.ErrUnsupported},
		{"P-224", &p224.PublicKey, cose.ES256, cose.ErrUnsupported},
		{"wrong algorithm", &p256.PublicKey, cose.ES384, cose.ErrUnsupported},
		{"X25519", x25519.PublicKey(), cose.ECDHESHKDF256, cose.ErrUnsupported},
		{"short Ed25519", ed25519.PublicKey{1}, cose.EdDSA, cose.ErrKey},
		{"ML-DSA for another", lattice.PublicKey(), cose.MLDSA65, cose.ErrUnsupported},
		{"ML-DSA as ES256", lattice.PublicKey(), cose.ES256, cose.ErrUnsupported},
		{"empty RSA", &rsa.PublicKey{}, cose.RS256, cose.ErrKey},
		{"small RSA", &rsa.PublicKey{N: big.NewInt(77), E: 65537}, cose.RS256, cose.ErrKey},
	} {
		if _, err := cose.FromPublic(tt.pub, tt.alg); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	// A key agreement key stays one.
	priv, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := cose.FromPublic(priv.PublicKey(), cose.ECDHESHKDF256)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := k.Public()
	if got, ok := pub.(*ecdh.PublicKey); err != nil || !ok || !got.Equal(priv.PublicKey()) {
		t.Errorf("Public of a key agreement key = %T, %v", pub, err)
	}
	if err := k.Verify(nil, nil); !errors.Is(err, cose.ErrUnsupported) {
		t.Errorf("Verify with a key agreement key: %v", err)
	}
}

// TestLatticeKeyOfZeroSeed has the key that the examples of draft-ietf-cose-dilithium make of a seed of
// zeros: the ends of its COSE_Key as they stand there.
func TestLatticeKeyOfZeroSeed(t *testing.T) {
	for _, tt := range []struct {
		alg         cose.Algorithm
		head        string
		first, last string
	}{
		{cose.MLDSA44, "a3 0107 03382f 20590520", "ba71f9f64e11baeb58fa9c6fbb6e14e6", "4cfd3b7bb8045b3c3830546b9dd8db0d"},
		{cose.MLDSA65, "a3 0107 033830 205907a0", "424b2f267e58d5b3b44d71acfc6a656b", "4cac596b52189f66a7106fb325b526ea"},
		{cose.MLDSA87, "a3 0107 033831 20590a20", "e45ffc8cc73db885dc662e62a18cd8e3", "51dfb91e9b343d2b57b763439686d4a3"},
	} {
		priv, err := mldsa.NewPrivateKey(lattices[tt.alg], make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		k, err := cose.FromPublic(priv.PublicKey(), tt.alg)
		if err != nil {
			t.Fatal(err)
		}
		wire := k.AppendTo(nil)
		if !bytes.HasPrefix(wire, unhex(t, tt.head+tt.first)) || !bytes.HasSuffix(wire, unhex(t, tt.last)) {
			t.Errorf("%v: %x…%x", tt.alg, wire[:30], wire[len(wire)-16:])
		}
	}
}

func TestAlgorithms(t *testing.T) {
	for alg, want := range map[cose.Algorithm]string{
		-7: "ES256", -8: "EdDSA", -9: "ESP256", -19: "Ed25519", -25: "ECDH-ES+HKDF-256", -35: "ES384", -36: "ES512",
		-48: "ML-DSA-44", -49: "ML-DSA-65", -50: "ML-DSA-87", -51: "ESP384", -52: "ESP512", -257: "RS256", -53: "-53", 0: "0",
	} {
		if got := alg.String(); got != want {
			t.Errorf("%d is called %s, want %s", int64(alg), got, want)
		}
		if got, want := alg.PostQuantum(), strings.HasPrefix(want, "ML-DSA"); got != want {
			t.Errorf("%v: PostQuantum is %v", alg, got)
		}
	}
}

func TestZeroKey(t *testing.T) {
	var k cose.Key
	if !k.IsZero() {
		t.Error("the zero key is not zero")
	}
	if _, err := k.MarshalCBOR(); !errors.Is(err, cose.ErrUnsupported) {
		t.Errorf("MarshalCBOR: %v", err)
	}
	if _, err := k.Public(); !errors.Is(err, cose.ErrUnsupported) {
		t.Errorf("Public: %v", err)
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range signers(f) {
		k, err := cose.FromPublic(s.pub, s.alg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.AppendTo(nil))
	}
	f.Add([]byte{0xA0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var k cose.Key
		if k.UnmarshalCBOR(data) != nil {
			return
		}
		wire, err := k.MarshalCBOR()
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		var again cose.Key
		if err := again.UnmarshalCBOR(wire); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if diff := cmp.Diff(k, again); diff != "" {
			t.Fatalf("read again (-first +second):\n%s", diff)
		}
		_, _ = k.Public()
	})
}

func BenchmarkAppendTo(b *testing.B) {
	k, err := cose.FromPublic(signers(b)[0].pub, cose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = k.AppendTo(buf[:0])
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	k, err := cose.FromPublic(signers(b)[0].pub, cose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	wire := k.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := k.UnmarshalCBOR(wire); err != nil {
			b.Fatal(err)
		}
	}
}
