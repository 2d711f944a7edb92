package softkey_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestCredentialsInAnyOrder adds, replaces, changes and takes away, and compares with a plain list.
func TestCredentialsInAnyOrder(t *testing.T) {
	store := &flaky{left: -1}
	cfg := softkey.Config{Store: store, Algorithms: []cose.Algorithm{cose.EdDSA}, Attestation: softkey.AttestationSelf}
	m := manage(t, cfg, 0)
	type entry struct {
		rp, user, name string
		id             []byte
	}
	var want []entry
	check := func(what string) {
		t.Helper()
		got := m.a.Credentials()
		if len(got) != len(want) || m.a.CredentialCount() != len(want) {
			t.Fatalf("%s: %d credentials, want %d", what, len(got), len(want))
		}
		for i, c := range got {
			if w := want[i]; c.RPID != w.rp || string(c.User.ID) != w.user || c.User.Name != w.name || !bytes.Equal(c.ID, w.id) {
				t.Fatalf("%s: credential %d is %+v, want %+v", what, i, c, w)
			}
		}
	}
	add := func(rp, user string) {
		t.Helper()
		want = slices.DeleteFunc(want, func(e entry) bool { return e.rp == rp && e.user == user })
		made := register(t, m.c, func(r *ctap2.MakeCredentialRequest) {
			resident(r)
			r.RP.ID, r.User, r.PubKeyCredParams[0].Alg = rp, ctap2.User{ID: []byte(user), Name: user}, cose.EdDSA
			if m.token != nil {
				r.Authorize(tokenFor(t, m.c, ctap2.TokenRequest{Permissions: ctap2.PermissionMakeCredential, RPID: rp}))
				m.allow(ctap2.PermissionCredentialManagement)
			}
		})
		want = append(want, entry{rp, user, user, credentialID(t, made)})
	}
	for i := range 30 {
		add(fmt.Sprintf("%d.example", i%7), fmt.Sprint("user", i%11))
		if i%3 == 0 {
			add(fmt.Sprintf("%d.example", i%5), fmt.Sprint("user", i%4))
		}
		check("made")
	}
	m.protect(ctap2.PermissionCredentialManagement)
	for i := 0; len(want) > 0; i++ {
		at := i * 5 % len(want)
		switch {
		case i%4 == 3:
			want[at].name = fmt.Sprint("name", i)
			if err := m.update(want[at].id, ctap2.User{ID: []byte(want[at].user), Name: want[at].name}); err != nil {
				t.Fatal(err)
			}
		default:
			if err := m.delete(want[at].id); err != nil {
				t.Fatal(err)
			}
			want = slices.Delete(want, at, at+1)
		}
		check("changed")
		if i%7 == 0 {
			m.a, m.c = newKey(t, cfg)
			m.allow(ctap2.PermissionCredentialManagement)
			check("loaded")
			for _, w := range want {
				if _, err := m.c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
					RPID: w.rp, ClientDataHash: clientDataHash[:], AllowList: []ctap2.CredentialDescriptor{*descriptor(w.id)},
				}); err != nil {
					t.Fatalf("%+v: %v", w, err)
				}
			}
		}
	}
}

// TestDeletedCredentialLeavesTheStore looks for what is left of a credential, and of one that another
// took the place of, after the next load.
func TestDeletedCredentialLeavesTheStore(t *testing.T) {
	store := &flaky{left: -1}
	m := manage(t, softkey.Config{Store: store}, 0)
	replaced, deleted, kept := m.resident(rpID, "a"), m.resident(rpID, "b"), m.resident(rpID, "c")
	m.resident(rpID, "a")
	m.protect(ctap2.PermissionCredentialManagement)
	if err := m.delete(deleted); err != nil {
		t.Fatal(err)
	}
	m.a, m.c = newKey(t, softkey.Config{Store: store})
	all := bytes.Join(store.records, nil)
	if bytes.Contains(all, replaced) || bytes.Contains(all, deleted) {
		t.Error("a credential that is gone is left in the store")
	}
	if !bytes.Contains(all, kept) || m.a.CredentialCount() != 2 {
		t.Error("a credential is gone that was kept")
	}
	before := len(store.records)
	newKey(t, softkey.Config{Store: store})
	if len(store.records) != before {
		t.Error("the store was rewritten again")
	}
}

// seen is all of a key's state that can be looked at.
type seen struct {
	Credentials []softkey.Credential
	Fingers     []string
	Blobs       string
	Least       uint
	PIN, Force  bool
	Long        bool
	Policy      bool
	Options     map[string]bool
	Counter     uint
}

func (m *manager) seen() seen {
	m.t.Helper()
	info := m.a.Info()
	s := seen{
		Credentials: m.a.Credentials(), Fingers: m.a.Fingers(), Least: info.MinPINLength, PIN: info.Options[ctap2.OptionClientPIN],
		Force: set(info.ForcePINChange), Long: set(info.LongTouchForReset), Policy: set(info.PINComplexityPolicy), Options: info.Options,
	}
	if _, there := info.Options[ctap2.OptionLargeBlobs]; there {
		s.Blobs = string(m.blobs())
	}
	s.Counter, _, _ = m.c.PINRetries(m.t.Context())
	return s
}

// TestEverythingOutlivesALoadAndACompaction writes each kind of record and loads them, also after
// so many others that the store is rewritten.
func TestEverythingOutlivesALoadAndACompaction(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23Bio} {
		store := &flaky{left: -1}
		cfg := softkey.Config{Profile: profile, Store: store, SamplesPerFinger: 1}
		m := manage(t, cfg, 0)
		id := m.resident(rpID, "a")
		gone := m.resident(rpID, "b")
		m.resident("other.example", "c")
		m.protect(ctap2.PermissionCredentialManagement)
		if err := m.update(id, ctap2.User{ID: []byte("a"), Name: "Ann"}); err != nil {
			t.Fatal(err)
		}
		if err := m.delete(gone); err != nil {
			t.Fatal(err)
		}
		m.allow(ctap2.PermissionConfig)
		for sub, p := range map[ctap2.ConfigSubcommand]any{
			ctap2.SubEnableEnterpriseAttestation: nil,
			ctap2.SubToggleAlwaysUV:              nil,
			ctap2.SubSetMinPINLength:             &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(4)), MinPINLengthRPIDs: []string{rpID}},
		} {
			if err := m.configure(sub, p); err != nil {
				t.Fatal(err)
			}
		}
		var reads *ctap2.Token
		if profile == softkey.ProfileFIDO23Bio {
			if err := m.configure(ctap2.SubEnableLongTouchForReset, nil); err != nil {
				t.Fatal(err)
			}
			m.allow(ctap2.PermissionBioEnrollment)
			finger := m.enrol()
			other := m.enrol()
			if _, err := m.fingers(ctap2.SubSetFriendlyName, &ctap2.BioEnrollmentParams{TemplateID: finger, TemplateName: ref("thumb")}); err != nil {
				t.Fatal(err)
			}
			if _, err := m.fingers(ctap2.SubRemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: other}); err != nil {
				t.Fatal(err)
			}
			reads = tokenFor(t, m.c, ctap2.TokenRequest{Permissions: ctap2.PermissionCredentialRead})
		} else {
			m.allow(ctap2.PermissionLargeBlobWrite)
			if err := m.writeBlobs(array(500, 3), fragment); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("9999"), Permissions: ctap2.PermissionConfig})
		want := m.seen()
		few := 0
		for round := range 3 {
			if round == 1 { // superseded records, so that the next load rewrites the store
				record := store.records[len(store.records)-1] // the PIN's, which may come again
				for range 1100 {
					store.records = append(store.records, bytes.Clone(record))
				}
			}
			m.a, m.c = newKey(t, cfg)
			if got := m.seen(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, load %d:\n%+v\nwant\n%+v", profile, round, got, want)
			}
			if reads != nil {
				m.token = reads
				if got, err := m.credentials(ctap2.SubGetCredsMetadata, nil); err != nil || *got.ExistingCredentials != 2 {
					t.Errorf("%s, load %d, with the persistent token: %+v, %v", profile, round, got, err)
				}
			}
			if round == 1 {
				few = len(store.records)
			}
		}
		if few > 20 {
			t.Errorf("%d records are left after the rewrite", few)
		}
	}
}

// TestPowerLostAtEveryChange runs a script of changes and loses power at its Nth write, for every
// N: what was confirmed is there, and what was not is there or is not.
func TestPowerLostAtEveryChange(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23Bio} {
		for _, torn := range []bool{false, true} {
			for n := 0; ; n++ {
				store := &flaky{left: -1, torn: torn}
				cfg := softkey.Config{Profile: profile, Store: store, SamplesPerFinger: 1}
				m := manage(t, cfg, 0)
				ids := [][]byte{m.resident(rpID, "a"), m.resident(rpID, "b")}
				steps := []func() error{
					func() error { return m.configure(ctap2.SubEnableEnterpriseAttestation, nil) },
					func() error {
						return m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(5)), MinPINLengthRPIDs: []string{rpID}})
					},
					func() error { return m.c.SetPIN(t.Context(), 2, []byte(pin+"5")) },
					func() error {
						token, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin + "5"), Permissions: ctap2.PermissionCredentialManagement | ctap2.PermissionConfig})
						m.token = token
						return err
					},
					func() error { return m.update(ids[0], ctap2.User{ID: []byte("a"), Name: "Ann"}) },
					func() error { return m.delete(ids[1]) },
					func() error {
						return m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{ForceChangePIN: ref(true)})
					},
					func() error { return m.c.ChangePIN(t.Context(), 2, []byte(pin+"5"), []byte(pin+"6")) },
				}
				if profile == softkey.ProfileFIDO21 {
					steps = append([]func() error{func() error { return m.writeBlobs(array(100, 1), fragment) }}, steps...)
				}
				store.left = n
				var before, after seen
				failed := false
				for _, step := range steps {
					before = m.seen()
					if err := step(); err != nil {
						wantStatus(t, err, ctap2.ErrOther)
						failed = true
						break
					}
				}
				store.left = -1
				if !failed {
					if n < 8 {
						t.Fatalf("the script made %d writes, want more", n)
					}
					break
				}
				if got := m.seen(); !reflect.DeepEqual(settled(got), settled(before)) {
					t.Errorf("%s, write %d, torn %v: a change that failed is seen:\n%+v\nwant\n%+v", profile, n, torn, got, before)
				}
				m.a, m.c = newKey(t, cfg)
				after = m.seen()
				if !torn && !reflect.DeepEqual(settled(after), settled(before)) {
					t.Errorf("%s, write %d: after the load\n%+v\nwant\n%+v", profile, n, after, before)
				}
			}
		}
	}
}

// settled leaves out the retries, which a PIN costs before it is looked at.
func settled(s seen) seen {
	s.Counter = 0
	return s
}
