package daemon_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

const testPIN = "1234"

// always is a person who gives the PIN whenever it is asked for.
func always() *person { return &person{pins: slices.Repeat([]string{testPIN}, 64)} }

// protected plugs in a key with a PIN.
func (l *lab) protected(cfg softkey.Config) *softkey.Authenticator {
	l.t.Helper()
	a := l.soft("k1", cfg)
	must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, always())
	return a
}

// managing are the profiles that manage their credentials.
var managing = []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23, softkey.ProfileFIDO23Bio}

func TestCredentials(t *testing.T) {
	for _, profile := range managing {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				a := l.protected(softkey.Config{Profile: profile})
				p := always()

				list := must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, p)
				if list.Existing != 0 || list.Remaining == 0 || len(list.Sites) != 0 || list.Sites == nil || list.Key.ID != "k1" {
					t.Errorf("got %+v, want nothing", list)
				}
				room := list.Remaining
				resident := `"residentKey":"required"`
				alice := l.registers(creation("alice", resident, `,"extensions":{"credentialProtectionPolicy":"userVerificationRequired"}`), p)
				l.registers(creation("bob", resident, ``), p)

				list = must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, p)
				if list.Existing != 2 || list.Remaining != room-2 || len(list.Sites) != 1 || len(list.Sites[0].Credentials) != 2 {
					t.Fatalf("got %+v, want two credentials of a site", list)
				}
				if s := list.Sites[0]; s.RPID != "example.org" || len(s.RPIDHash) != 32 {
					t.Errorf("got %+v", s)
				}
				for _, other := range []string{"example.com", "EXAMPLE.org"} {
					if got := must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{RPID: other}, p); len(got.Sites) != 0 || got.Existing != 2 {
						t.Errorf("%s: got %+v", other, got)
					}
				}

				id := alice.ID.String()
				for _, name := range []string{id, id[:12], "alice", id + "="} {
					got := must[api.CredentialResult](l, api.OpCredentialShow, api.CredentialRequest{Credential: name, RPID: "example.org"}, p)
					c := got.Credential
					if c.ID.String() != id || c.UserName != "alice" || string(c.UserID) != "alice" || c.Algorithm != "ES256" ||
						c.CredProtect != "userVerificationRequired" || len(c.PublicKey) == 0 || got.RPID != "example.org" {
						t.Errorf("%s: got %+v", name, got)
					}
				}
				l.fails(api.OpCredentialShow, api.CredentialRequest{Credential: "carol"}, p, api.CodeNotFound)
				l.fails(api.OpCredentialShow, api.CredentialRequest{}, p, api.CodeInvalidRequest)
				l.fails(api.OpCredentialShow, api.CredentialRequest{Credential: "alice", RPID: "example.com"}, p, api.CodeNotFound)

				// Two of the same name.
				other := strings.Replace(string(creation("alice2", resident, ``)), `"name":"alice2"`, `"name":"alice"`, 1)
				l.registers([]byte(other), p)
				e := l.fails(api.OpCredentialShow, api.CredentialRequest{Credential: "alice"}, p, api.CodeInvalidRequest)
				if !strings.Contains(e.Message, id) || !strings.Contains(e.Message, "alice for example.org") {
					t.Errorf("the candidates are not named: %s", e.Message)
				}

				name, empty := "Alice B.", ""
				got := must[api.CredentialResult](l, api.OpCredentialRename, api.CredentialRenameRequest{Credential: id, UserName: &name, DisplayName: &empty}, p)
				if got.Credential.UserName != name || got.Credential.DisplayName != "" {
					t.Errorf("got %+v", got)
				}
				got = must[api.CredentialResult](l, api.OpCredentialShow, api.CredentialRequest{Credential: name}, p)
				if got.Credential.ID.String() != id || string(got.Credential.UserID) != "alice" {
					t.Errorf("got %+v", got)
				}
				l.fails(api.OpCredentialRename, api.CredentialRenameRequest{Credential: id}, p, api.CodeInvalidRequest)

				p.refuses = true
				l.fails(api.OpCredentialDelete, api.CredentialRequest{Credential: id}, p, api.CodeDenied)
				if n := a.CredentialCount(); n != 3 {
					t.Errorf("%d credentials are left after a no, want 3", n)
				}
				p.refuses = false
				must[api.CredentialResult](l, api.OpCredentialDelete, api.CredentialRequest{Credential: id}, p)
				asked := p.seen[len(p.seen)-1]
				if asked.Kind != api.PromptConfirm || !strings.Contains(asked.Message, "Alice B. for example.org") || !strings.Contains(asked.Message, "Key k1") ||
					!strings.Contains(asked.Message, "browser") || asked.RPID != "example.org" {
					t.Errorf("asked %+v", asked)
				}
				if n := a.CredentialCount(); n != 2 {
					t.Errorf("%d credentials are left, want 2", n)
				}
				l.fails(api.OpCredentialDelete, api.CredentialRequest{Credential: id}, p, api.CodeNotFound)
			})
		})
	}
}

func TestCredentialsOfKeysThatDoNotTell(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileU2F, softkey.ProfileMinimal, softkey.ProfileFIDO20} {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.soft("k1", softkey.Config{Profile: profile, CTAP1Only: profile == softkey.ProfileU2F})
				name := "x"
				for op, r := range map[string]any{
					api.OpCredentialList:   api.CredentialListRequest{},
					api.OpCredentialShow:   api.CredentialRequest{Credential: name},
					api.OpCredentialDelete: api.CredentialRequest{Credential: name},
					api.OpCredentialRename: api.CredentialRenameRequest{Credential: name, UserName: &name},
					api.OpBlobList:         api.BlobListRequest{},
					api.OpBlobGet:          api.BlobRequest{Credential: name},
					api.OpFingerprintList:  api.FingerprintListRequest{},
					api.OpConfigIdentify:   api.ConfigIdentifyRequest{},
					api.OpConfigAlwaysUV:   api.ConfigAlwaysUVRequest{On: true},
				} {
					p := always()
					if e := l.fails(op, r, p, api.CodeUnsupported); e.Hint == "" || e.Key != "k1" {
						t.Errorf("%s: got %+v", op, e)
					}
					if len(p.seen) != 0 {
						t.Errorf("%s: asked %+v for nothing", op, p.seen)
					}
				}
			})
		})
	}
}

func TestCredentialsWantThePIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		l.fails(api.OpCredentialList, api.CredentialListRequest{}, always(), api.CodePINNotSet)
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, always())
		l.fails(api.OpCredentialList, api.CredentialListRequest{}, nil, api.CodePINRequired)
		// The person is asked again after a wrong one.
		p := &person{pins: []string{"4321", testPIN}}
		must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, p)
		if len(p.pins) != 0 {
			t.Error("asked once")
		}
	})
}

// benchKey is an emulated key with a PIN and credentials, and the person with it.
func benchKey(b *testing.B, credentials int) (*lab, *person, []*registered) {
	b.Helper()
	l := newLab(b)
	must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{}, nil)
	p := &person{pins: slices.Repeat([]string{testPIN}, credentials+1)}
	must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
	var list []*registered
	for i := range credentials {
		list = append(list, l.registers(creation(fmt.Sprintf("user%d", i), `"residentKey":"required"`, ``), p))
	}
	return l, p, list
}

// BenchmarkCredentialList shows that the time grows with the number of credentials, no faster.
func BenchmarkCredentialList(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, p, _ := benchKey(b, n)
			b.ReportAllocs()
			for b.Loop() {
				p.pins = []string{testPIN}
				list := must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, p)
				if list.Existing != uint(n) || len(list.Sites[0].Credentials) != n {
					b.Fatal(list.Existing)
				}
			}
		})
	}
}

// BenchmarkAllowList is an assertion whose allow list has one credential of the key, the last one.
func BenchmarkAllowList(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, p, list := benchKey(b, 1)
			var all []*registered
			for i := range n - 1 {
				id := make(api.Bytes, len(list[0].ID))
				copy(id, fmt.Sprint("a credential of another key ", i))
				all = append(all, &registered{ID: id})
			}
			options := request("discouraged", append(all, list[0])...)
			b.ReportAllocs()
			for b.Loop() {
				l.asserts(options, p, list[0])
			}
		})
	}
}
