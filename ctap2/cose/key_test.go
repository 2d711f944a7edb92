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
	all = append(all, signer{cose.EdDSA, pub, func(m []byte) ([]byte, error) { return ed25519.Sign(priv, m), nil }})
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
	}{{cose.ES256, 1, 32}, {cose.ES384, 2, 48}, {cose.ES512, 3, 66}, {cose.ECDHESHKDF256, 1, 32}} {
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
