package ctap2_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// stateKey is HKDF-SHA-256 written out (RFC 5869): 16 bytes are part of the first block of output.
func stateKey(token []byte, info string) []byte {
	sum := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	return sum(sum(make([]byte, 32), token), []byte(info), []byte{1})[:16]
}

func encryptState(t *testing.T, key, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := append(repeat(0x1F, 16), plain...)
	cipher.NewCBCEncrypter(block, out[:16]).CryptBlocks(out[16:], out[16:])
	return out
}

func TestIdentifierAndState(t *testing.T) {
	secret := repeat(5, 32)
	identifier, state := repeat(0xA1, 16), repeat(0xB2, 16)
	info := &ctap2.Info{
		EncIdentifier:     encryptState(t, stateKey(secret, "encIdentifier"), identifier),
		EncCredStoreState: encryptState(t, stateKey(secret, "encCredStoreState"), state),
	}
	token := ctap2.NewToken(pinuv.Two, bytes.Clone(secret))
	if got, err := token.Identifier(info); err != nil || !bytes.Equal(got, identifier) {
		t.Errorf("Identifier = %x, %v", got, err)
	}
	if got, err := token.CredStoreState(info); err != nil || !bytes.Equal(got, state) {
		t.Errorf("CredStoreState = %x, %v", got, err)
	}
	// The key of one is not that of the other, nor is that of another token.
	swapped := &ctap2.Info{EncIdentifier: info.EncCredStoreState}
	if got, err := token.Identifier(swapped); err != nil || bytes.Equal(got, state) {
		t.Errorf("Identifier of the state = %x, %v", got, err)
	}
	if got, err := ctap2.NewToken(pinuv.Two, repeat(6, 32)).Identifier(info); err != nil || bytes.Equal(got, identifier) {
		t.Errorf("Identifier of another token = %x, %v", got, err)
	}
	if _, err := token.Identifier(&ctap2.Info{}); !errors.Is(err, ctap2.ErrNotSupported) {
		t.Errorf("without encIdentifier: %v", err)
	}
	for _, n := range []int{0, 16, 31, 33, 48} {
		if _, err := token.CredStoreState(&ctap2.Info{EncCredStoreState: make([]byte, n)}); !errors.Is(err, ctap2.ErrResponse) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// A token that was kept is the same one.
	kept := token.Secret()
	again := ctap2.NewToken(pinuv.Two, kept)
	if !bytes.Equal(again.Authenticate([]byte("m")), token.Authenticate([]byte("m"))) {
		t.Error("the token that was kept is another one")
	}
	token.Wipe()
	if bytes.Equal(kept, make([]byte, 32)) || token.Secret() != nil {
		t.Error("Secret shares memory with the token")
	}
	if _, err := token.Identifier(info); err == nil {
		t.Error("a wiped token decrypts")
	}
}

// TestIdentifierKnownAnswer has bytes that were computed with another program (OpenSSL's kdf and enc).
func TestIdentifierKnownAnswer(t *testing.T) {
	token := ctap2.NewToken(pinuv.Two, unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
	info := &ctap2.Info{EncIdentifier: unhex(t, "f0e0d0c0b0a090807060504030201000 0646ebd4c5e629eaf2a3943e3347ac7d"), EncCredStoreState: unhex(t, "f0e0d0c0b0a090807060504030201000 6e7ac1ea3a13af7773fa92dab53d11cf")}
	want := unhex(t, "00112233445566778899aabbccddeeff")
	if got, err := token.Identifier(info); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Identifier = %x, %v", got, err)
	}
	if got, err := token.CredStoreState(info); err != nil || !bytes.Equal(got, want) {
		t.Errorf("CredStoreState = %x, %v", got, err)
	}
}

func TestPersistentToken(t *testing.T) {
	key := newPINKey(t, 32)
	c := ctap2.NewClient(key, nil)
	if err := c.SetPIN(t.Context(), pinuv.Two, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	token, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: pinuv.Two, PIN: []byte("1234"), Permissions: ctap2.PermissionCredentialRead})
	if err != nil || key.granted != 0x40 || token.Permissions != ctap2.PermissionCredentialRead {
		t.Fatalf("asked for %#x: %v, %v", key.granted, token, err)
	}
	if !bytes.Equal(token.Secret(), key.token) {
		t.Error("not the key's token")
	}
}
