package softkey_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// The floors: what the operations of a key can't do without.

func BenchmarkFloorSign(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorGenerateAndSign(b *testing.B) {
	digest := sha256.Sum256([]byte("message"))
	attestation, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			b.Fatal(err)
		}
		if _, err := ecdsa.SignASN1(rand.Reader, attestation, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorAppendAndSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 60)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkAssertion(b *testing.B, cfg softkey.Config) {
	a, err := softkey.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	made := register(b, ctap2.NewClient(a, nil), nil)
	data, err := made.ParsedAuthData()
	if err != nil {
		b.Fatal(err)
	}
	request, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, &ctap2.GetAssertionRequest{
		RPID: rpID, ClientDataHash: clientDataHash[:],
		AllowList: []ctap2.CredentialDescriptor{{ID: data.CredentialID, Type: ctap2.TypePublicKey}},
	})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkCBOR(b, a, request)
}

func benchmarkCBOR(b *testing.B, a *softkey.Authenticator, request []byte) {
	b.ReportAllocs()
	for b.Loop() {
		response, err := a.CBOR(b.Context(), request, nil)
		if err != nil || response[0] != 0 {
			b.Fatalf("%x, %v", response[0], err)
		}
	}
}

func BenchmarkGetAssertion(b *testing.B) { benchmarkAssertion(b, softkey.Config{}) }

func BenchmarkGetAssertionFile(b *testing.B) {
	store, err := softkey.OpenFile(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkAssertion(b, softkey.Config{Store: store})
}

func BenchmarkMakeCredential(b *testing.B) {
	a, err := softkey.New(softkey.Config{})
	if err != nil {
		b.Fatal(err)
	}
	request, err := ctap2.MarshalRequest(ctap2.CmdMakeCredential, &ctap2.MakeCredentialRequest{
		ClientDataHash:   clientDataHash[:],
		RP:               ctap2.RP{ID: rpID},
		User:             ctap2.User{ID: []byte("alice"), Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.ES256, Type: ctap2.TypePublicKey}},
	})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkCBOR(b, a, request)
}
