package softkey_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// against runs floor and op in turns, so that both meet the same noise, and reports the medians
// and their ratio. allocs/op are those of both together.
func against(b *testing.B, floor, op func()) {
	var floors, ops []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		floor()
		between := time.Now()
		op()
		ops = append(ops, time.Since(between))
		floors = append(floors, between.Sub(start))
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2])
	}
	b.ReportMetric(median(floors), "floor-ns")
	b.ReportMetric(median(ops), "op-ns")
	b.ReportMetric(median(ops)/median(floors), "ratio")
}

func newECDSA(b *testing.B) *ecdsa.PrivateKey {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func signer(b *testing.B) func() {
	key := newECDSA(b)
	digest := sha256.Sum256([]byte("message"))
	return func() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// call returns a func that has a key answer a request.
func call(b *testing.B, a *softkey.Authenticator, request []byte) func() {
	return func() {
		response, err := a.CBOR(b.Context(), request, nil)
		if err != nil || response[0] != 0 {
			b.Fatalf("%x, %v", response[0], err)
		}
	}
}

// asserter returns a func that has a key sign with a credential that is not discoverable.
func asserter(b *testing.B, cfg softkey.Config) func() {
	a, err := softkey.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	id := credentialID(b, register(b, ctap2.NewClient(a, nil), nil))
	request, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, assertion(id))
	if err != nil {
		b.Fatal(err)
	}
	return call(b, a, request)
}

// The floor of an assertion is its signature.
func BenchmarkGetAssertion(b *testing.B) { against(b, signer(b), asserter(b, softkey.Config{})) }

// The floor of an assertion whose counter is stored is the signature, a write and an fsync.
func BenchmarkGetAssertionWithStateFile(b *testing.B) {
	store, err := softkey.OpenFile(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 56)
	sign := signer(b)
	against(b, func() {
		sign()
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}, asserter(b, softkey.Config{Store: store}))
}

// The floor of a registration is a new key pair and a signature.
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
	sign := signer(b)
	against(b, func() {
		newECDSA(b)
		sign()
	}, call(b, a, request))
}

// The floor of a registration that is stored is that of one that is not, a write and an fsync. Ten
// users take turns, so that most of them replace a credential; the file only grows.
func BenchmarkMakeCredentialWithStateFile(b *testing.B) {
	store, err := softkey.OpenFile(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	a, err := softkey.New(softkey.Config{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	var calls [10]func()
	for i := range calls {
		r := creation()
		resident(r)
		r.User.ID = []byte{byte(i)}
		request, err := ctap2.MarshalRequest(ctap2.CmdMakeCredential, r)
		if err != nil {
			b.Fatal(err)
		}
		calls[i] = call(b, a, request)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 200)
	sign, n := signer(b), 0
	against(b, func() {
		newECDSA(b)
		sign()
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}, func() {
		calls[n%len(calls)]()
		n++
	})
}
