package softkey_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// crowd makes a key with n discoverable credentials, each of an RP of its own or all of one.
func crowd(b testing.TB, cfg softkey.Config, n int, one bool) *manager {
	b.Helper()
	cfg.Attestation = softkey.AttestationSelf
	m := manage(b, cfg, 0)
	for i := range n {
		register(b, m.c, func(r *ctap2.MakeCredentialRequest) {
			resident(r)
			r.User = ctap2.User{ID: fmt.Appendf(nil, "user %d", i), Name: fmt.Sprint("user ", i), DisplayName: fmt.Sprint("User number ", i)}
			if !one {
				r.RP.ID = fmt.Sprintf("%d.example", i)
			}
			r.PubKeyCredParams[0].Alg = []cose.Algorithm{cose.ES256, cose.EdDSA}[i%2]
		})
	}
	return m
}

// BenchmarkCredentialList lists all credentials by the commands, as `fob credential list` does. The time
// per credential must not depend on how many there are.
func BenchmarkCredentialList(b *testing.B) {
	for _, one := range []bool{false, true} {
		for _, n := range []int{100, 1000} {
			b.Run(fmt.Sprintf("one RP %v/%d", one, n), func(b *testing.B) {
				m := crowd(b, softkey.Config{}, n, one)
				m.protect(ctap2.PermissionCredentialManagement)
				b.ReportAllocs()
				for b.Loop() {
					m.allow(ctap2.PermissionCredentialManagement)
					rps, err := m.rps()
					if err != nil {
						b.Fatal(err)
					}
					listed := 0
					for _, rp := range rps {
						list, err := m.of(rp)
						if err != nil {
							b.Fatal(err)
						}
						listed += len(list)
					}
					if listed != n {
						b.Fatalf("%d credentials, want %d", listed, n)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/credential")
			})
		}
	}
}

// BenchmarkReady loads a key from its file.
func BenchmarkReady(b *testing.B) {
	for _, n := range []int{0, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "state")
			open := func() *softkey.FileStore {
				store, err := softkey.OpenFile(path)
				if err != nil {
					b.Fatal(err)
				}
				store.FailWrites(func(f *os.File, p []byte, at int64) (int, error) { return f.WriteAt(p, at) }, func(*os.File) error { return nil })
				return store
			}
			m := crowd(b, softkey.Config{Store: open()}, n, false)
			if err := m.a.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				a, err := softkey.New(softkey.Config{Store: open()})
				if err != nil {
					b.Fatal(err)
				}
				if got := a.CredentialCount(); got != n {
					b.Fatalf("%d credentials, want %d", got, n)
				}
				if err := a.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDeleteAll takes away credentials of one RP, and makes them in the first place.
func BenchmarkDeleteAll(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				m := crowd(b, softkey.Config{}, n, true)
				m.protect(ctap2.PermissionCredentialManagement)
				hash := sha256.Sum256([]byte(rpID))
				for range n {
					got, err := m.credentials(ctap2.SubEnumerateCredentialsBegin, &ctap2.CredentialManagementParams{RPIDHash: hash[:]})
					if err != nil {
						b.Fatal(err)
					}
					if err := m.delete(got.CredentialID.ID); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/credential")
		})
	}
}
