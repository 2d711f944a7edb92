package pinuv_test

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The values below were computed from the primitives with Python's cryptography 48.0 (OpenSSL),
// for the private keys 0x1111…11 (ours) and 0x2222…22 (the peer's).
const (
	peerX = "d65a93977caa3d1b081852ff57a79e465f1660577304baead505dd3a48589cf3"
	peerY = "50185e895372df6221ea3a137557e473fddb6755f05bd507c3c533fce9c91285"
	ownX  = "0217e617f0b6443928278f96999e69a23a4f2c152bdf6d6cdf66e5b80282d4ed"
	ownY  = "194a7debcb97712d2dda3ca85aa8765a56f45fc758599652f2897c65306e5794"
)

var known = []struct {
	protocol        pinuv.Protocol
	secret          string
	iv, ciphertext  string // of the bytes 00 to 1f
	mac             string // of "message" under the secret
	token, tokenMAC string // of "message" under a token
}{
	{
		protocol:   pinuv.One,
		secret:     "98f5bf15dbc72627acd9a8ab61ce21349ea3496d79136adf08ad381cc9c0fa25",
		ciphertext: "3a6fce1f2c0517ade8dc3b3f9f6dbb4b735732c052d19aafbcf85f336946cd07",
		mac:        "6d75b5bba87dd047f9c7897424f3be6a",
		token:      "3333333333333333333333333333333333333333333333333333333333333333",
		tokenMAC:   "c3c19a5bedf7a176d2d240c255858f40",
	},
	{
		protocol: pinuv.Two,
		secret: "abc3809533cb07b6ae481ea05b28ac708ffed9777147a09aabc8ab58e167ba0e" +
			"aecad75245932defecf4cd0d93420fcd05d99403d09a49655fed76fa64c2cf82",
		ciphertext: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff" +
			"7e88245055c089d9e9c13347bdc1573f31a48309e57363b1582576245cbf69df",
		mac:      "400ed27245666d9da974c13d1dbb898613ac4e39f2e8749fad2ff591c2fd455c",
		token:    "3333333333333333333333333333333333333333333333333333333333333333",
		tokenMAC: "c3c19a5bedf7a176d2d240c255858f4072a5f45b5b5f295758e073db22487c23",
	},
}

func ownKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	priv, err := ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{0x11}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return priv
}

func peerKey(t testing.TB) *cose.Key {
	return &cose.Key{KeyType: 2, Alg: cose.ECDHESHKDF256, Curve: 1, X: unhex(t, peerX), Y: unhex(t, peerY)}
}

func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestKnownAnswers(t *testing.T) {
	for _, k := range known {
		t.Run(k.protocol.String(), func(t *testing.T) {
			secret, err := k.protocol.Decapsulate(ownKey(t), peerKey(t))
			if err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, k.secret); !bytes.Equal(secret, want) {
				t.Errorf("Decapsulate = %x, want %x", secret, want)
			}
			plain, err := k.protocol.Decrypt(secret, unhex(t, k.ciphertext))
			if want := sequence(32); err != nil || !bytes.Equal(plain, want) {
				t.Errorf("Decrypt = %x, %v, want %x", plain, err, want)
			}
			if got := k.protocol.Authenticate(secret, []byte("message")); !bytes.Equal(got, unhex(t, k.mac)) {
				t.Errorf("Authenticate = %x, want %s", got, k.mac)
			}
			if got := k.protocol.Authenticate(unhex(t, k.token), []byte("message")); !bytes.Equal(got, unhex(t, k.tokenMAC)) {
				t.Errorf("Authenticate with a token = %x, want %s", got, k.tokenMAC)
			}
		})
	}
	// Protocol one has tokens of 16 bytes too.
	got := pinuv.One.Authenticate(bytes.Repeat([]byte{0x33}, 16), []byte("message"))
	if want := unhex(t, "6099faccdf1b7af1b2aedb2534883a93"); !bytes.Equal(got, want) {
		t.Errorf("Authenticate with a token of 16 bytes = %x, want %x", got, want)
	}
}

func TestEncrypt(t *testing.T) {
	// Protocol one has no randomness, so its ciphertext is known.
	one := known[0]
	got, err := pinuv.One.Encrypt(unhex(t, one.secret), sequence(32))
	if err != nil || !bytes.Equal(got, unhex(t, one.ciphertext)) {
		t.Errorf("Encrypt = %x, %v, want %s", got, err, one.ciphertext)
	}
	// Protocol two has a new IV every time.
	secret := unhex(t, known[1].secret)
	a, err := pinuv.Two.Encrypt(secret, sequence(32))
	if err != nil {
		t.Fatal(err)
	}
	b, err := pinuv.Two.Encrypt(secret, sequence(32))
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != 48 || bytes.Equal(a[:16], b[:16]) || bytes.Equal(a[16:], b[16:]) {
		t.Errorf("two encryptions are %x and %x, want 48 bytes each with different IVs", a, b)
	}
	for _, c := range [][]byte{a, b} {
		if plain, err := pinuv.Two.Decrypt(secret, c); err != nil || !bytes.Equal(plain, sequence(32)) {
			t.Errorf("Decrypt(%x) = %x, %v", c, plain, err)
		}
	}
}

func TestBothSidesAgree(t *testing.T) {
	for _, p := range []pinuv.Protocol{pinuv.One, pinuv.Two} {
		authenticator := ownKey(t)
		platform, secret, err := p.Encapsulate(pinuv.PublicKey(authenticator))
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Decapsulate(authenticator, platform)
		if err != nil || !bytes.Equal(got, secret) {
			t.Errorf("protocol %v: the authenticator has %x (%v), the platform %x", p, got, err, secret)
		}
		again, _, err := p.Encapsulate(pinuv.PublicKey(authenticator))
		if err != nil || bytes.Equal(again.X, platform.X) {
			t.Errorf("protocol %v: the platform's key is used twice (%v)", p, err)
		}
	}
}

func TestPublicKey(t *testing.T) {
	got := pinuv.PublicKey(ownKey(t))
	if got.KeyType != 2 || got.Alg != -25 || got.Curve != 1 || hex.EncodeToString(got.X) != ownX || hex.EncodeToString(got.Y) != ownY {
		t.Errorf("PublicKey = %+v", got)
	}
}

func TestPeerIsChecked(t *testing.T) {
	good := peerKey(t)
	flipped := append([]byte(nil), good.Y...)
	flipped[31] ^= 1
	for name, peer := range map[string]*cose.Key{
		"nil":            nil,
		"zero":           {},
		"off the curve":  {KeyType: 2, Alg: -25, Curve: 1, X: good.X, Y: flipped},
		"origin":         {KeyType: 2, Alg: -25, Curve: 1, X: make([]byte, 32), Y: make([]byte, 32)},
		"short":          {KeyType: 2, Alg: -25, Curve: 1, X: good.X[:31], Y: good.Y},
		"shifted":        {KeyType: 2, Alg: -25, Curve: 1, X: good.X[:31], Y: append([]byte{1}, good.Y...)},
		"no y":           {KeyType: 2, Alg: -25, Curve: 1, X: good.X},
		"another curve":  {KeyType: 2, Alg: -25, Curve: 2, X: good.X, Y: good.Y},
		"another type":   {KeyType: 1, Alg: -8, Curve: 6, X: good.X},
		"beyond the end": {KeyType: 2, Alg: -25, Curve: 1, X: bytes.Repeat([]byte{0xFF}, 32), Y: good.Y},
	} {
		for _, p := range []pinuv.Protocol{pinuv.One, pinuv.Two} {
			if _, err := p.Decapsulate(ownKey(t), peer); !errors.Is(err, pinuv.ErrPeer) {
				t.Errorf("%s: Decapsulate: %v, want %v", name, err, pinuv.ErrPeer)
			}
			if _, _, err := p.Encapsulate(peer); !errors.Is(err, pinuv.ErrPeer) {
				t.Errorf("%s: Encapsulate: %v, want %v", name, err, pinuv.ErrPeer)
			}
		}
	}
	// Keys that carry another label are met in the wild.
	unlabelled := *good
	unlabelled.Alg = 0
	if _, err := pinuv.One.Decapsulate(ownKey(t), &unlabelled); err != nil {
		t.Errorf("a key without alg: %v", err)
	}
}

func TestUnknownProtocol(t *testing.T) {
	for _, p := range []pinuv.Protocol{0, 3} {
		key := make([]byte, 64)
		_, _, err := p.Encapsulate(peerKey(t))
		_, err2 := p.Decapsulate(ownKey(t), peerKey(t))
		_, err3 := p.Encrypt(key, nil)
		_, err4 := p.Decrypt(key, nil)
		for _, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, pinuv.ErrProtocol) {
				t.Errorf("protocol %v: error %v, want %v", p, err, pinuv.ErrProtocol)
			}
		}
		if mac := p.Authenticate(key, nil); mac != nil {
			t.Errorf("protocol %v: Authenticate = %x", p, mac)
		}
		if p.Verify(key, nil, nil) || p.Valid() || p.TokenSize() != 0 || p.ValidTokenSize(32) {
			t.Errorf("protocol %v passes for a known one", p)
		}
	}
}

func TestLengths(t *testing.T) {
	keys := map[pinuv.Protocol][]byte{pinuv.One: make([]byte, 32), pinuv.Two: make([]byte, 64)}
	for p, key := range keys {
		for _, n := range []int{1, 15, 17, 33} {
			if _, err := p.Encrypt(key, make([]byte, n)); !errors.Is(err, pinuv.ErrLength) {
				t.Errorf("protocol %v: Encrypt of %d bytes: %v", p, n, err)
			}
			if _, err := p.Decrypt(key, make([]byte, n)); !errors.Is(err, pinuv.ErrLength) {
				t.Errorf("protocol %v: Decrypt of %d bytes: %v", p, n, err)
			}
		}
		for _, n := range []int{0, 16, 31, 33, 63, 65} {
			if _, err := p.Encrypt(make([]byte, n), nil); !errors.Is(err, pinuv.ErrKey) {
				t.Errorf("protocol %v: Encrypt with a key of %d bytes: %v", p, n, err)
			}
		}
	}
	if _, err := pinuv.Two.Decrypt(keys[pinuv.Two], nil); !errors.Is(err, pinuv.ErrLength) {
		t.Errorf("Decrypt without an IV: %v", err)
	}
	for _, tt := range []struct {
		p    pinuv.Protocol
		n    int
		want bool
	}{{1, 16, true}, {1, 32, true}, {1, 0, false}, {1, 48, false}, {2, 16, false}, {2, 32, true}, {2, 64, false}} {
		if got := tt.p.ValidTokenSize(tt.n); got != tt.want {
			t.Errorf("protocol %v: ValidTokenSize(%d) = %v", tt.p, tt.n, got)
		}
	}
}

func TestVerify(t *testing.T) {
	for _, k := range known {
		key, mac := unhex(t, k.secret), unhex(t, k.mac)
		if !k.protocol.Verify(key, []byte("message"), mac) {
			t.Errorf("protocol %v: the right signature is refused", k.protocol)
		}
		wrong := append([]byte(nil), mac...)
		wrong[len(wrong)-1] ^= 1
		for name, sig := range map[string][]byte{"wrong": wrong, "nil": nil, "cut": mac[:len(mac)-1], "longer": append(mac[:len(mac):len(mac)], 0)} {
			if k.protocol.Verify(key, []byte("message"), sig) {
				t.Errorf("protocol %v: a %s signature is accepted", k.protocol, name)
			}
		}
		if k.protocol.Verify(key, []byte("massage"), mac) {
			t.Errorf("protocol %v: the signature of another message is accepted", k.protocol)
		}
		if k.protocol.Verify(nil, []byte("message"), nil) {
			t.Errorf("protocol %v: nothing verifies with no key", k.protocol)
		}
	}
	// Protocol two takes nothing that was cut to protocol one's length.
	if pinuv.Two.Verify(unhex(t, known[1].secret), []byte("message"), unhex(t, known[1].mac)[:16]) {
		t.Error("protocol two accepts half a signature")
	}
}

func TestPIN(t *testing.T) {
	if got := pinuv.PINHash([]byte("1234")); hex.EncodeToString(got[:]) != "03ac674216f3e15c761ee1a5e255f067" {
		t.Errorf("PINHash = %x", got)
	}
	for _, tt := range []struct {
		pin  string
		want error
	}{
		{"1234", nil},
		{"", pinuv.ErrPINTooShort},
		{"123", pinuv.ErrPINTooShort},
		{"äöü", pinuv.ErrPINTooShort}, // six bytes, three code points
		{"äöüß", nil},
		{strings.Repeat("x", 63), nil},
		{strings.Repeat("x", 64), pinuv.ErrPINTooLong},
		{strings.Repeat("ä", 32), pinuv.ErrPINTooLong},
		{"1234\x00", pinuv.ErrPINInvalid},
		{"123\xff", pinuv.ErrPINInvalid},
	} {
		padded, err := pinuv.PadPIN([]byte(tt.pin))
		if !errors.Is(err, tt.want) {
			t.Errorf("PadPIN(%q): %v, want %v", tt.pin, err, tt.want)
			continue
		}
		if tt.want != nil {
			continue
		}
		if len(padded) != 64 || strings.TrimRight(string(padded), "\x00") != tt.pin {
			t.Errorf("PadPIN(%q) = %q", tt.pin, padded)
		}
		if pin, err := pinuv.UnpadPIN(padded); err != nil || string(pin) != tt.pin {
			t.Errorf("UnpadPIN(%q) = %q, %v", padded, pin, err)
		}
	}
	for _, n := range []int{0, 63, 65, 128} {
		if _, err := pinuv.UnpadPIN(make([]byte, n)); !errors.Is(err, pinuv.ErrLength) {
			t.Errorf("UnpadPIN of %d bytes: %v", n, err)
		}
	}
}

func TestWipe(t *testing.T) {
	a, b := []byte{1, 2}, []byte{3}
	pinuv.Wipe(a, nil, b)
	if !bytes.Equal(a, []byte{0, 0}) || b[0] != 0 {
		t.Errorf("after Wipe: %v %v", a, b)
	}
}

func FuzzDecrypt(f *testing.F) {
	for _, k := range known {
		f.Add(uint(k.protocol), unhex(f, k.secret), unhex(f, k.ciphertext))
	}
	f.Fuzz(func(t *testing.T, p uint, key, ciphertext []byte) {
		protocol := pinuv.Protocol(p)
		plain, err := protocol.Decrypt(key, ciphertext)
		if err != nil {
			return
		}
		again, err := protocol.Encrypt(key, plain)
		if err != nil || len(again) != len(ciphertext) {
			t.Fatalf("Encrypt of what was decrypted: %d bytes, %v, want %d", len(again), err, len(ciphertext))
		}
		if back, err := protocol.Decrypt(key, again); err != nil || !bytes.Equal(back, plain) {
			t.Fatalf("back: %x, %v, want %x", back, err, plain)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, k := range known {
		b.Run(k.protocol.String(), func(b *testing.B) {
			key, mac, hash := unhex(b, k.token), unhex(b, k.tokenMAC), []byte("message")
			b.ReportAllocs()
			for b.Loop() {
				if !k.protocol.Verify(key, hash, mac) {
					b.Fatal("refused")
				}
			}
		})
	}
}
