package softkey_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestSeededKeyNeverRepeatsAcrossLoads looks for the danger of a seed: a key that is loaded again
// must not draw the numbers of the last time, for those are private keys and nonces.
func TestSeededKeyNeverRepeatsAcrossLoads(t *testing.T) {
	store := &flaky{left: -1}
	publics, nonces := map[string]int{}, map[string]int{}
	for load := range 4 {
		_, c := newKey(t, softkey.Config{Seed: []byte("seed"), Store: store})
		if load > 0 { // nor does a reset begin again
			for range 2 {
				if err := c.Reset(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		data, err := register(t, c, nil).ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		public, nonce := string(data.PublicKeyRaw), string(data.CredentialID[:12])
		if before, ok := publics[public]; ok {
			t.Errorf("loads %d and %d made the same key pair", before, load)
		}
		if before, ok := nonces[nonce]; ok {
			t.Errorf("loads %d and %d used the same nonce", before, load)
		}
		publics[public], nonces[nonce] = load, load
	}
}

func TestSupersededRecordsGoAtLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	store, err := softkey.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	store.FailWrites(func(f *os.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at) }, func(*os.File) error { return nil })
	a, c := newKey(t, softkey.Config{Store: store})
	if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	token := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionMakeCredential, RPID: rpID})
	id := credentialID(t, register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.Authorize(token) }))
	var last uint32
	for range 1100 {
		last = counter(t, c, id)
	}
	closeKey(t, a)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	a, _ = openKey(t, path) // rewrites the file
	closeKey(t, a)
	for range 2 {
		a, c = openKey(t, path)
		if after := size(); after > before/20 {
			t.Errorf("the file went from %d to %d bytes", before, after)
		}
		if next := counter(t, c, id); next != last+1 {
			t.Errorf("the counter went from %d to %d", last, next)
		}
		last++
		pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
		closeKey(t, a)
	}
}

func TestResetKeepsTheCounter(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	before := counter(t, c, credentialID(t, register(t, c, nil)))
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := counter(t, c, credentialID(t, register(t, c, nil))); after <= before {
		t.Errorf("the counter went from %d to %d over a reset", before, after)
	}
}

func TestOneUserIDAtTwoRPsIsTwoUsers(t *testing.T) {
	a, c := newKey(t, softkey.Config{})
	for _, rp := range []string{"example.org", "example.com", "example.org"} {
		register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.RP.ID = rp })
	}
	if list := a.Credentials(); len(list) != 2 || list[0].RPID != "example.com" || list[1].RPID != "example.org" {
		t.Errorf("the credentials are %+v", list)
	}
}

func TestNamesAreCutAtACharacter(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 63) + "é", strings.Repeat("€", 30), strings.Repeat("x", 61) + "\U0001F511"} {
		a, c := newKey(t, softkey.Config{})
		register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.User.DisplayName = name })
		got := a.Credentials()[0].User.DisplayName
		if len(got) > 64 || len(got) < 61 && len(name) > 64 || !utf8.ValidString(got) || !strings.HasPrefix(name, got) {
			t.Errorf("%q became %q", name, got)
		}
	}
}

func TestUserNamesOnlyAfterVerification(t *testing.T) {
	_, c := pinKey(t, softkey.Config{})
	token := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionMakeCredential, RPID: rpID})
	register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.Authorize(token) })
	for _, verified := range []bool{false, true} {
		r := assertion(nil)
		if verified {
			r.Authorize(pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID}))
		}
		got, err := c.GetAssertion(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.User.ID, []byte("alice")) || (got.User.Name != "" || got.User.DisplayName != "") != verified {
			t.Errorf("verified %v: the user is %+v", verified, got.User)
		}
	}
}

func TestConfigThatMakesNoKey(t *testing.T) {
	for name, cfg := range map[string]softkey.Config{
		"no protocol":  {CTAP1Only: true, CTAP2Only: true},
		"attestation":  {Attestation: "sealing wax"},
		"algorithm":    {Algorithms: []cose.Algorithm{-47}},
		"presence":     {Presence: "sometimes"},
		"delay":        {Presence: softkey.PresenceDelay},
		"verification": {Verification: "perhaps"},
		"long PIN":     {MinPINLength: 64},
		"short PIN":    {MinPINLength: 3},
	} {
		if a, err := softkey.New(cfg); a != nil || err == nil || !strings.HasPrefix(err.Error(), "softkey: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInfoFollowsTheKey(t *testing.T) {
	a, c := newKey(t, softkey.Config{MinPINLength: 6, Transports: []string{"usb", "nfc"}, MaxCredentials: 2, FirmwareVersion: 7})
	info, err := c.GetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Options["clientPin"] || !info.Options["makeCredUvNotRqd"] || info.MinPINLength != 6 || fmt.Sprint(info.Transports) != "[usb nfc]" || *info.RemainingDiscoverableCredentials != 2 || info.FirmwareVersion != 7 {
		t.Errorf("the info is %+v", info)
	}
	if _, ok := info.Options["uv"]; ok {
		t.Error("a key without a sensor tells of the option uv")
	}
	wantStatus(t, c.SetPIN(t.Context(), 2, []byte("12345")), ctap2.ErrPINPolicyViolation)
	register(t, c, resident)
	if err := c.SetPIN(t.Context(), 2, []byte("123456")); err != nil {
		t.Fatal(err)
	}
	if err := a.SetVerification(softkey.VerificationDeny); err != nil {
		t.Fatal(err)
	}
	if info, err = c.GetInfo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !info.Options["clientPin"] || !info.Options["uv"] || *info.RemainingDiscoverableCredentials != 1 {
		t.Errorf("the info is %+v", info)
	}
}

// FuzzStateRecords gives a key records that no key has written, which the seal of a state file keeps away
// from it otherwise. It is refused, or is a key that works and can be loaded again.
func FuzzStateRecords(f *testing.F) {
	store := &flaky{left: -1}
	a, c := newKey(f, softkey.Config{Store: store, Seed: []byte("records")})
	if err := c.SetPIN(f.Context(), 2, []byte("1234")); err != nil {
		f.Fatal(err)
	}
	a.Close()
	a, c = newKey(f, softkey.Config{Store: store, Seed: []byte("records"), Verification: softkey.VerificationGrant})
	for _, alg := range []cose.Algorithm{cose.ES256, cose.EdDSA} {
		yes := true
		register(f, c, func(r *ctap2.MakeCredentialRequest) {
			r.Options, r.PubKeyCredParams[0].Alg = &ctap2.Options{RK: &yes, UV: &yes}, alg
		})
	}
	counter(f, c, nil)
	a.Close()
	root := store.records[0]
	for _, r := range store.records {
		f.Add(r, []byte(nil))
		f.Add([]byte(nil), r)
		f.Add(r, r)
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		store := &flaky{left: -1, records: [][]byte{root}}
		for _, r := range [][]byte{one, two} {
			if r != nil {
				store.records = append(store.records, r)
			}
		}
		for range 2 {
			a, err := softkey.New(softkey.Config{Store: store})
			if err != nil {
				return
			}
			c := ctap2.NewClient(a, nil)
			if left, _, err := c.PINRetries(t.Context()); left > 8 || err != nil {
				t.Fatalf("%d retries, %v", left, err)
			}
			for _, credential := range a.Credentials() {
				r := assertion(credential.ID)
				r.RPID = credential.RPID
				_, _ = c.GetAssertion(t.Context(), r)
			}
			register(t, c, nil)
		}
	})
}
