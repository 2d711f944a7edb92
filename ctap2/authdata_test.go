package ctap2_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

const rpHash = "cd0aa9856147b6c5b4ff2b7dfee5da20aa38253099ef1b4a64aced233c9afe29" // not of any RP

func TestAuthDataOnTheWire(t *testing.T) {
	hash := [32]byte(unhex(t, rpHash))
	aaguid := ctap2.AAGUID(repeat(0xAB, 16))
	key := agreementKey(t)
	key.Alg = cose.ES256
	keyWire := `a5 01 02 03 26 20 01
		21 5820 6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296
		22 5820 4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5`
	unknownKey := "a3 01 04 03 3863 20 4100" // a symmetric key, of all things
	for _, tt := range []struct {
		name string
		data ctap2.AuthData
		wire string
	}{
		{
			"assertion",
			ctap2.AuthData{RPIDHash: hash, Flags: ctap2.FlagUP, SignCount: 0x01020304},
			rpHash + "01 01020304",
		},
		{
			"assertion with extensions",
			ctap2.AuthData{RPIDHash: hash, Flags: ctap2.FlagUP | ctap2.FlagUV | ctap2.FlagED, Extensions: unhex(t, "a1 61 78 f5")},
			rpHash + "85 00000000 a1 61 78 f5",
		},
		{"credential", ctap2.AuthData{
			RPIDHash: hash, Flags: ctap2.FlagUP | ctap2.FlagAT, AAGUID: aaguid, CredentialID: []byte{1, 2, 3},
			PublicKey: key, PublicKeyRaw: unhex(t, keyWire),
		}, rpHash + "41 00000000 abababababababababababababababab 0003 010203" + keyWire},
		{"credential with extensions", ctap2.AuthData{
			RPIDHash: hash, Flags: ctap2.FlagUP | ctap2.FlagBE | ctap2.FlagBS | ctap2.FlagAT | ctap2.FlagED, AAGUID: aaguid, CredentialID: []byte{1},
			PublicKey: key, PublicKeyRaw: unhex(t, keyWire), Extensions: unhex(t, "a0"),
		}, rpHash + "d9 00000000 abababababababababababababababab 0001 01" + keyWire + "a0"},
		{"credential with a key of another kind", ctap2.AuthData{
			RPIDHash: hash, Flags: ctap2.FlagAT, AAGUID: aaguid, CredentialID: []byte{1}, PublicKeyRaw: unhex(t, unknownKey),
		}, rpHash + "40 00000000 abababababababababababababababab 0001 01" + unknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tt.wire)
			got, err := tt.data.Marshal()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("Marshal: %v\n got %x\nwant %x", err, got, want)
			}
			withoutRaw := tt.data
			withoutRaw.PublicKeyRaw = nil
			if !withoutRaw.PublicKey.IsZero() {
				if got, err := withoutRaw.AppendTo([]byte{9}); err != nil || !bytes.Equal(got[1:], want) {
					t.Errorf("AppendTo: %v\n got %x\nwant 09%x", err, got, want)
				}
			}
			back, err := ctap2.ParseAuthData(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.data, back); diff != "" {
				t.Errorf("ParseAuthData (-want +got):\n%s", diff)
			}
			for n := range want {
				if _, err := ctap2.ParseAuthData(want[:n]); !errors.Is(err, ctap2.ErrAuthData) {
					t.Errorf("the first %d bytes: %v, want %v", n, err, ctap2.ErrAuthData)
				}
			}
			if _, err := ctap2.ParseAuthData(append(want[:len(want):len(want)], 0)); !errors.Is(err, ctap2.ErrAuthData) {
				t.Errorf("one byte more: %v, want %v", err, ctap2.ErrAuthData)
			}
		})
	}
}

func TestAuthDataRefused(t *testing.T) {
	for name, a := range map[string]ctap2.AuthData{
		"no key":        {Flags: ctap2.FlagAT},
		"half a key":    {Flags: ctap2.FlagAT, PublicKey: cose.Key{KeyType: 2, Curve: 1, X: make([]byte, 32)}},
		"no extensions": {Flags: ctap2.FlagED},
		"id too long":   {Flags: ctap2.FlagAT, CredentialID: make([]byte, 1<<16), PublicKey: agreementKey(t)},
	} {
		if _, err := a.Marshal(); !errors.Is(err, ctap2.ErrAuthData) {
			t.Errorf("%s: %v, want %v", name, err, ctap2.ErrAuthData)
		}
	}
	head := rpHash + "41 00000000 abababababababababababababababab 0001 01"
	for name, wire := range map[string]string{
		"key is no map":                head + "80",
		"key of wrong length":          head + "a4 0101 0327 2006 2141 00",
		"extensions are no map":        rpHash + "81 00000000 80",
		"extensions without flag":      rpHash + "01 00000000 a0",
		"credential id beyond the end": rpHash + "41 00000000 abababababababababababababababab ffff 01",
		"key beyond the end":           head + "a1 01 5b ffffffffffffffff",
	} {
		if _, err := ctap2.ParseAuthData(unhex(t, wire)); !errors.Is(err, ctap2.ErrAuthData) {
			t.Errorf("%s: %v, want %v", name, err, ctap2.ErrAuthData)
		}
	}
	if _, err := ctap2.ParseAuthData(make([]byte, ctap2.MaxMessageSize+1)); !errors.Is(err, ctap2.ErrAuthData) {
		t.Errorf("too much: %v", err)
	}
}

func TestFlagsAreWhatTheyAre(t *testing.T) {
	// WebAuthn Level 3, section 6.1: bits 0, 2, 3, 4, 6, 7.
	if got := []ctap2.Flags{ctap2.FlagUP, ctap2.FlagUV, ctap2.FlagBE, ctap2.FlagBS, ctap2.FlagAT, ctap2.FlagED}; !cmp.Equal(got, []ctap2.Flags{1, 4, 8, 16, 64, 128}) {
		t.Errorf("flags %v", got)
	}
	if sha256.Size != len(ctap2.AuthData{}.RPIDHash) {
		t.Error("the RP ID hash is not SHA-256")
	}
}
