package softkey_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestCredentialsAreListed(t *testing.T) {
	m := manage(t, softkey.Config{}, 0)
	made := map[string][]byte{}
	for _, rp := range []string{"c.example", "a.example", "b.example"} {
		for _, user := range []string{"zoe", "bob"} {
			made[rp+user] = m.resident(rp, user)
		}
	}
	made["c.examplezoe"] = m.resident("c.example", "zoe") // again: replaced
	register(t, m.c, nil)                                 // is in its id only
	m.protect(ctap2.PermissionCredentialManagement)

	got, err := m.credentials(ctap2.SubGetCredsMetadata, nil)
	if err != nil || *got.ExistingCredentials != 6 || *got.RemainingCredentials != softkey.DefaultMaxCredentials-6 {
		t.Errorf("the metadata are %+v, %v; want 6 credentials", got, err)
	}
	rps, err := m.rps()
	if err != nil || !slices.Equal(rps, []string{"c.example", "a.example", "b.example"}) {
		t.Errorf("the RPs are %q, %v", rps, err)
	}
	for rp, users := range map[string][]string{"c.example": {"bob", "zoe"}, "a.example": {"zoe", "bob"}, "b.example": {"zoe", "bob"}} {
		list, err := m.of(rp)
		if err != nil || len(list) != 2 {
			t.Fatalf("%s: %d credentials, %v", rp, len(list), err)
		}
		for i, c := range list {
			want := ctap2.User{ID: []byte(users[i]), Name: users[i], DisplayName: "The " + users[i]}
			if !bytes.Equal(c.User.ID, want.ID) || c.User.Name != want.Name || c.User.DisplayName != want.DisplayName {
				t.Errorf("%s: user %d is %+v, want %+v", rp, i, c.User, want)
			}
			id := made[rp+users[i]]
			if !bytes.Equal(c.CredentialID.ID, id) || c.CredentialID.Type != ctap2.TypePublicKey {
				t.Errorf("%s: the id is %+v, want %x", rp, c.CredentialID, id)
			}
			if c.CredProtect != ctap2.CredProtectUVOptional {
				t.Errorf("%s: credProtect is %d, want the default, 1", rp, c.CredProtect)
			}
		}
	}
	if _, err := m.of("d.example"); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("an RP without credentials: %v, want NO_CREDENTIALS", err)
	}
}

// TestListedKeyIsTheCredentials compares what management tells with what makeCredential told.
func TestListedKeyIsTheCredentials(t *testing.T) {
	for profile, key := range map[softkey.Profile]bool{softkey.ProfileFIDO21: true, softkey.ProfileFIDO23: false} {
		m := manage(t, softkey.Config{Profile: profile}, 0)
		yes := true
		made := register(t, m.c, func(r *ctap2.MakeCredentialRequest) {
			resident(r)
			r.PubKeyCredParams[0].Alg = cose.EdDSA
			r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: ctap2.CredProtectUVRequired, ThirdPartyPayment: &yes}
			if key {
				r.Extensions.LargeBlobKey = &yes
			}
		})
		data, err := made.ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		m.protect(ctap2.PermissionCredentialManagement)
		list, err := m.of(rpID)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d credentials, %v", len(list), err)
		}
		got := list[0]
		want, err := ctap2.Marshal(&data.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		public, err := ctap2.Marshal(got.PublicKey)
		if err != nil || !bytes.Equal(public, want) {
			t.Errorf("%s: the public key is %x, %v, want %x", profile, public, err, want)
		}
		if got.CredProtect != ctap2.CredProtectUVRequired {
			t.Errorf("%s: credProtect is %d, want 3", profile, got.CredProtect)
		}
		if (len(got.LargeBlobKey) == ctap2.LargeBlobKeySize) != key || !bytes.Equal(got.LargeBlobKey, made.LargeBlobKey) {
			t.Errorf("%s: the largeBlobKey is %x, was %x", profile, got.LargeBlobKey, made.LargeBlobKey)
		}
		if payment := got.ThirdPartyPayment != nil && *got.ThirdPartyPayment; payment == key { // the newer profile has it
			t.Errorf("%s: thirdPartyPayment is %v", profile, got.ThirdPartyPayment)
		}
	}
}

func TestNoCredentialsToManage(t *testing.T) {
	m := manage(t, softkey.Config{}, ctap2.PermissionCredentialManagement)
	if got, err := m.credentials(ctap2.SubGetCredsMetadata, nil); err != nil || *got.ExistingCredentials != 0 {
		t.Errorf("the metadata are %+v, %v", got, err)
	}
	if _, err := m.rps(); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("the RPs: %v, want NO_CREDENTIALS", err)
	}
	wantStatus(t, m.delete([]byte("x")), ctap2.ErrNoCredentials)
	wantStatus(t, m.update([]byte("x"), ctap2.User{ID: []byte("x")}), ctap2.ErrNoCredentials)
}

// TestManagementOfAFreshKeyNeedsAPIN is CTAP 2.3, sections 6.7.4 and 6.8.2, each step 1: other than
// configuration and large blobs they are never free.
func TestManagementOfAFreshKeyNeedsAPIN(t *testing.T) {
	m := manage(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio}, 0)
	_, err := m.credentials(ctap2.SubGetCredsMetadata, nil)
	wantStatus(t, err, ctap2.ErrPUATRequired)
	wantStatus(t, m.delete([]byte("x")), ctap2.ErrPUATRequired)
	_, err = m.fingers(ctap2.SubEnrollBegin, nil)
	wantStatus(t, err, ctap2.ErrPUATRequired)
	_, err = m.fingers(ctap2.SubEnumerateEnrollments, nil)
	wantStatus(t, err, ctap2.ErrPUATRequired)
}

func TestDeletedCredentialIsGone(t *testing.T) {
	store := &flaky{left: -1}
	m := manage(t, softkey.Config{Store: store, MaxCredentials: 3}, 0)
	var ids [][]byte
	for _, user := range []string{"a", "b", "c"} {
		ids = append(ids, m.resident(rpID, user))
	}
	m.protect(ctap2.PermissionCredentialManagement)
	if err := m.delete(ids[1]); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, m.delete(ids[1]), ctap2.ErrNoCredentials)
	for range 2 {
		list, err := m.of(rpID)
		if err != nil || len(list) != 2 || !bytes.Equal(list[0].CredentialID.ID, ids[0]) || !bytes.Equal(list[1].CredentialID.ID, ids[2]) {
			t.Fatalf("the credentials are %+v, %v", list, err)
		}
		if n := *m.a.Info().RemainingDiscoverableCredentials; n != 1 {
			t.Errorf("room for %d, want 1", n)
		}
		_, err = m.c.GetAssertion(t.Context(), assertion(ids[1]))
		wantStatus(t, err, ctap2.ErrNoCredentials)
		counter(t, m.c, ids[2])
		m = &manager{t: t, cmds: m.cmds}
		m.a, m.c = newKey(t, softkey.Config{Store: store, MaxCredentials: 3}) // loaded again
		m.allow(ctap2.PermissionCredentialManagement)
	}
}

func TestUserIsUpdatedInPlace(t *testing.T) {
	store := &flaky{left: -1}
	m := manage(t, softkey.Config{Store: store}, 0)
	ids := [][]byte{m.resident(rpID, "a"), m.resident(rpID, "b"), m.resident(rpID, "c")}
	m.protect(ctap2.PermissionCredentialManagement)
	for _, test := range []struct {
		to, want ctap2.User
	}{
		{ctap2.User{ID: []byte("b"), Name: "Bea", DisplayName: "Beatrix"}, ctap2.User{Name: "Bea", DisplayName: "Beatrix"}},
		{ctap2.User{ID: []byte("b"), DisplayName: strings.Repeat("x", 65)}, ctap2.User{DisplayName: strings.Repeat("x", 64)}},
		{ctap2.User{ID: []byte("b"), Name: "Bea"}, ctap2.User{Name: "Bea"}},
		{ctap2.User{ID: []byte("b")}, ctap2.User{}},
	} {
		if err := m.update(ids[1], test.to); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			list, err := m.of(rpID)
			if err != nil || len(list) != 3 || !bytes.Equal(list[1].CredentialID.ID, ids[1]) {
				t.Fatalf("the credentials are %+v, %v: the order changed", list, err)
			}
			if got := list[1].User; got.Name != test.want.Name || got.DisplayName != test.want.DisplayName || string(got.ID) != "b" {
				t.Errorf("the user is %+v, want %+v", got, test.want)
			}
			m = &manager{t: t, cmds: m.cmds}
			m.a, m.c = newKey(t, softkey.Config{Store: store})
			m.allow(ctap2.PermissionCredentialManagement)
		}
		counter(t, m.c, ids[1])
	}
	wantStatus(t, m.update(ids[1], ctap2.User{ID: []byte("a"), Name: "Eve"}), ctap2.ErrInvalidParameter)
	if n := m.a.CredentialCount(); n != 3 {
		t.Errorf("%d credentials, want 3", n)
	}
}

// TestOrderOfCredentialManagement is CTAP 2.3, sections 6.8.2 to 6.8.6, each from step 1: each row has
// all the faults of those below it.
func TestOrderOfCredentialManagement(t *testing.T) {
	m := manage(t, softkey.Config{}, 0)
	id := m.resident(rpID, "a")
	hash := sha256.Sum256([]byte(rpID))
	m.protect(ctap2.PermissionConfig) // not the permission that it needs
	wrong := make([]byte, 32)
	for sub, p := range map[ctap2.CredentialManagementSubcommand]any{
		ctap2.SubGetCredsMetadata:          nil,
		ctap2.SubEnumerateRPsBegin:         nil,
		ctap2.SubEnumerateCredentialsBegin: &ctap2.CredentialManagementParams{RPIDHash: hash[:]},
		ctap2.SubDeleteCredential:          &ctap2.CredentialManagementParams{CredentialID: descriptor(id)},
		ctap2.SubUpdateUserInformation:     &ctap2.CredentialManagementParams{CredentialID: descriptor(id), User: &ctap2.User{ID: []byte("a")}},
	} {
		whole := params(t, p)
		right, _ := m.sign([]byte{byte(sub)}, whole)
		for name, test := range map[string]struct {
			r    ctap2.CredentialManagementRequest
			want ctap2.Status
		}{
			"no param":          {ctap2.CredentialManagementRequest{PINUVAuthProtocol: 9}, ctap2.ErrPUATRequired},
			"no protocol":       {ctap2.CredentialManagementRequest{PINUVAuthParam: wrong, SubcommandParams: whole}, ctap2.ErrMissingParameter},
			"unknown protocol":  {ctap2.CredentialManagementRequest{PINUVAuthParam: wrong, SubcommandParams: whole, PINUVAuthProtocol: 9}, ctap2.ErrInvalidParameter},
			"wrong param":       {ctap2.CredentialManagementRequest{PINUVAuthParam: wrong, SubcommandParams: whole, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
			"no permission":     {ctap2.CredentialManagementRequest{PINUVAuthParam: right, SubcommandParams: whole, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
			"another protocol":  {ctap2.CredentialManagementRequest{PINUVAuthParam: right, SubcommandParams: whole, PINUVAuthProtocol: 1}, ctap2.ErrPINAuthInvalid},
			"params of a text":  {ctap2.CredentialManagementRequest{PINUVAuthParam: wrong, SubcommandParams: params(t, "text"), PINUVAuthProtocol: 2}, ctap2.ErrCBORUnexpectedType},
			"params of another": {ctap2.CredentialManagementRequest{PINUVAuthParam: right, SubcommandParams: params(t, &ctap2.CredentialManagementParams{RPIDHash: wrong, CredentialID: descriptor(wrong), User: &ctap2.User{ID: wrong}}), PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
		} {
			test.r.Subcommand = sub
			if err := exchange(t, m.a, ctap2.CmdCredentialManagement, &test.r, nil); !errors.Is(err, test.want) {
				t.Errorf("subcommand %d, %s: %v, want %v", sub, name, err, test.want)
			}
		}
		if p == nil {
			continue
		}
		// What the subcommand needs is looked at before the protocol.
		for _, less := range []ctap2.RawMessage{nil, params(t, map[int]bool{})} {
			r := &ctap2.CredentialManagementRequest{Subcommand: sub, PINUVAuthParam: wrong, SubcommandParams: less, PINUVAuthProtocol: 9}
			if err := exchange(t, m.a, ctap2.CmdCredentialManagement, r, nil); !errors.Is(err, ctap2.ErrMissingParameter) {
				t.Errorf("subcommand %d with params %x: %v, want MISSING_PARAMETER", sub, less, err)
			}
		}
	}
	for _, sub := range []ctap2.CredentialManagementSubcommand{8, 0x7F} {
		err := exchange(t, m.a, ctap2.CmdCredentialManagement, &ctap2.CredentialManagementRequest{Subcommand: sub}, nil)
		wantStatus(t, err, ctap2.ErrInvalidSubcommand)
	}
	wantStatus(t, exchange(t, m.a, ctap2.CmdCredentialManagement, map[int]int{}, nil), ctap2.ErrMissingParameter)
	if m.a.CredentialCount() != 1 {
		t.Error("a refused request changed the key")
	}
}

// TestTokenOfOneRPManagesThatRP is CTAP 2.3, sections 6.8.2 to 6.8.6, step 6.
func TestTokenOfOneRPManagesThatRP(t *testing.T) {
	m := manage(t, softkey.Config{}, 0)
	ours, theirs := m.resident(rpID, "a"), m.resident("other.example", "b")
	m.protect(ctap2.PermissionCredentialManagement)
	m.token = tokenFor(t, m.c, ctap2.TokenRequest{Permissions: ctap2.PermissionCredentialManagement, RPID: rpID})
	_, err := m.credentials(ctap2.SubGetCredsMetadata, nil)
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
	_, err = m.rps()
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
	_, err = m.of("other.example")
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
	_, err = m.of("nobody.example")
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
	if list, err := m.of(rpID); err != nil || len(list) != 1 {
		t.Errorf("its own credentials: %d, %v", len(list), err)
	}
	wantStatus(t, m.delete(theirs), ctap2.ErrPINAuthInvalid)
	wantStatus(t, m.delete([]byte("nobody's")), ctap2.ErrPINAuthInvalid)
	wantStatus(t, m.update(theirs, ctap2.User{ID: []byte("b")}), ctap2.ErrPINAuthInvalid)
	if err := m.update(ours, ctap2.User{ID: []byte("a"), Name: "Ann"}); err != nil {
		t.Error(err)
	}
	if err := m.delete(ours); err != nil {
		t.Error(err)
	}
	if n := m.a.CredentialCount(); n != 1 {
		t.Errorf("%d credentials, want 1", n)
	}
}

// TestWhatEndsAnEnumeration is CTAP 2.3, section 6, stateful commands.
func TestWhatEndsAnEnumeration(t *testing.T) {
	hash := sha256.Sum256([]byte(rpID))
	lists := map[ctap2.CredentialManagementSubcommand]func(m *manager) error{
		ctap2.SubEnumerateRPsGetNextRP: func(m *manager) error {
			_, err := m.credentials(ctap2.SubEnumerateRPsBegin, nil)
			return err
		},
		ctap2.SubEnumerateCredentialsGetNext: func(m *manager) error {
			_, err := m.credentials(ctap2.SubEnumerateCredentialsBegin, &ctap2.CredentialManagementParams{RPIDHash: hash[:]})
			return err
		},
	}
	for next, begin := range lists {
		other := ctap2.SubEnumerateRPsGetNextRP + ctap2.SubEnumerateCredentialsGetNext - next
		for name, test := range map[string]struct {
			do   func(m *manager)
			ends bool
		}{
			"nothing":        {do: func(*manager) {}},
			"29 seconds":     {do: func(*manager) { time.Sleep(29 * time.Second) }},
			"31 seconds":     {do: func(*manager) { time.Sleep(31 * time.Second) }, ends: true},
			"getInfo":        {do: func(m *manager) { _, _ = m.c.GetInfo(m.t.Context()) }, ends: true},
			"unknown":        {do: func(m *manager) { _, _ = m.a.CBOR(m.t.Context(), []byte{0x55}, nil) }, ends: true},
			"U2F":            {do: func(m *manager) { _, _ = m.a.MSG(m.t.Context(), []byte{0, 3, 0, 0, 0, 0, 0}, nil) }, ends: true},
			"metadata":       {do: func(m *manager) { _, _ = m.credentials(ctap2.SubGetCredsMetadata, nil) }, ends: true},
			"refused":        {do: func(m *manager) { _ = m.delete([]byte("nobody's")) }, ends: true},
			"the other next": {do: func(m *manager) { _, _ = m.credentials(other, nil) }, ends: true},
			"power":          {do: func(m *manager) { m.a.PowerCycle() }, ends: true},
			"another token":  {do: func(m *manager) { m.allow(ctap2.PermissionCredentialManagement) }, ends: true},
		} {
			t.Run(fmt.Sprint(next, " ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := manage(t, softkey.Config{}, 0)
					for _, user := range []string{"a", "b", "c"} {
						m.resident(rpID, user)
						m.resident(user+".example", user)
					}
					m.protect(ctap2.PermissionCredentialManagement)
					_, err := m.credentials(next, nil)
					wantStatus(t, err, ctap2.ErrNotAllowed)
					if err := begin(m); err != nil {
						t.Fatal(err)
					}
					test.do(m)
					_, err = m.credentials(next, nil)
					if test.ends {
						wantStatus(t, err, ctap2.ErrNotAllowed)
						_, err = m.credentials(next, nil)
						wantStatus(t, err, ctap2.ErrNotAllowed)
					} else if err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestEnumerationEndsAfterTheLast(t *testing.T) {
	m := manage(t, softkey.Config{}, 0)
	m.resident(rpID, "a")
	m.resident(rpID, "b")
	m.protect(ctap2.PermissionCredentialManagement)
	if _, err := m.rps(); err != nil {
		t.Fatal(err)
	}
	_, err := m.credentials(ctap2.SubEnumerateRPsGetNextRP, nil)
	wantStatus(t, err, ctap2.ErrNotAllowed)
	if _, err := m.of(rpID); err != nil {
		t.Fatal(err)
	}
	_, err = m.credentials(ctap2.SubEnumerateCredentialsGetNext, nil)
	wantStatus(t, err, ctap2.ErrNotAllowed)
}

// TestPersistentTokenOnlyReads is CTAP 2.3, section 6.8: a token with the permission pcmr alone.
func TestPersistentTokenOnlyReads(t *testing.T) {
	store := &flaky{left: -1}
	m := manage(t, softkey.Config{Store: store}, 0)
	id := m.resident(rpID, "a")
	m.resident(rpID, "b")
	m.protect(ctap2.PermissionCredentialRead)
	for name, change := range map[string]func(){
		"power":  func() { m.a.PowerCycle() },
		"load":   func() { m.a, m.c = newKey(t, softkey.Config{Store: store}) },
		"others": func() { tokenFor(t, m.c, ctap2.TokenRequest{Permissions: ctap2.PermissionConfig}) },
	} {
		change()
		if got, err := m.credentials(ctap2.SubGetCredsMetadata, nil); err != nil || *got.ExistingCredentials != 2 {
			t.Errorf("%s: the metadata are %+v, %v", name, got, err)
		}
		if rps, err := m.rps(); err != nil || len(rps) != 1 {
			t.Errorf("%s: the RPs are %q, %v", name, rps, err)
		}
		if list, err := m.of(rpID); err != nil || len(list) != 2 {
			t.Errorf("%s: %d credentials, %v", name, len(list), err)
		}
		wantStatus(t, m.delete(id), ctap2.ErrPINAuthInvalid)
		wantStatus(t, m.update(id, ctap2.User{ID: []byte("a")}), ctap2.ErrPINAuthInvalid)
	}
	if err := m.c.ChangePIN(t.Context(), 2, []byte(pin), []byte("5678")); err != nil {
		t.Fatal(err)
	}
	_, err := m.credentials(ctap2.SubGetCredsMetadata, nil)
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
}

// TestPrototypeOfCredentialManagement is command 0x41 of before CTAP 2.1.
func TestPrototypeOfCredentialManagement(t *testing.T) {
	m := manage(t, softkey.Config{Profile: softkey.ProfileFIDO21}, 0)
	m.cmds.credentials = ctap2.CmdCredentialManagementPreview
	id := m.resident(rpID, "a")
	m.protect(ctap2.PermissionCredentialManagement)
	for range 2 {
		if rps, err := m.rps(); err != nil || !slices.Equal(rps, []string{rpID}) {
			t.Errorf("the RPs are %q, %v", rps, err)
		}
		m.token = tokenFor(t, m.c, ctap2.TokenRequest{Legacy: true})
	}
	// What libfido2 does: the prototype's command with a token of CTAP 2.1.
	m.allow(ctap2.PermissionCredentialManagement)
	if err := m.update(id, ctap2.User{ID: []byte("a"), Name: "Ann"}); err != nil || m.a.Credentials()[0].User.Name != "Ann" {
		t.Errorf("an update by the prototype: %v, %+v", err, m.a.Credentials())
	}
	// A token that is an RP's because it was asked for so is none of a prototype's platform.
	m.allow(ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion)
	wantStatus(t, m.delete(id), ctap2.ErrPINAuthInvalid)
	m.token = tokenFor(t, m.c, ctap2.TokenRequest{Legacy: true})
	if err := m.delete(id); err != nil {
		t.Error(err)
	}
	// The command of CTAP 2.1 wants its permission.
	m.cmds.credentials = ctap2.CmdCredentialManagement
	_, err := m.credentials(ctap2.SubGetCredsMetadata, nil)
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
}

func TestKeysWithoutCredentialManagement(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileU2F, softkey.ProfileMinimal, softkey.ProfileFIDO20} {
		a, _ := newKey(t, softkey.Config{Profile: profile})
		for _, cmd := range []ctap2.Cmd{ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview} {
			r := &ctap2.CredentialManagementRequest{Subcommand: ctap2.SubGetCredsMetadata}
			if err := exchange(t, a, cmd, r, nil); !errors.Is(err, ctap2.ErrInvalidCommand) {
				t.Errorf("%s, %v: %v, want INVALID_COMMAND", profile, cmd, err)
			}
		}
	}
}

// TestShortRPIDs is CTAP 2.3, section 6.8.7.
func TestShortRPIDs(t *testing.T) {
	for id, want := range map[string]string{
		"example.org":                              "example.org",
		"a.host.of.thirty-two-bytes.co.uk":         "a.host.of.thirty-two-bytes.co.uk",
		"a.host.of.thirty-three-bytes.c.uk":        "\u2026st.of.thirty-three-bytes.c.uk",
		"ssh:a.long.name.of.a.host.in.example.org": "ssh:\u2026.of.a.host.in.example.org",
		strings.Repeat("s", 31) + ":host":          strings.Repeat("s", 31) + ":",
		strings.Repeat("s", 40) + ":host":          strings.Repeat("s", 32),
		strings.Repeat("é", 20):                    "\u2026" + strings.Repeat("é", 14),
	} {
		for _, short := range []bool{false, true} {
			m := manage(t, softkey.Config{ShortRPIDs: short}, 0)
			m.resident(id, "a")
			m.protect(ctap2.PermissionCredentialManagement)
			got, err := m.credentials(ctap2.SubEnumerateRPsBegin, nil)
			if err != nil {
				t.Fatal(err)
			}
			wanted := id
			if short {
				wanted = want
			}
			if got.RP.ID != wanted {
				t.Errorf("the RP ID is %q, want %q", got.RP.ID, wanted)
			}
			if hash := sha256.Sum256([]byte(id)); !bytes.Equal(got.RPIDHash, hash[:]) {
				t.Errorf("the hash of %q is %x", id, got.RPIDHash)
			}
			if list := m.a.Credentials(); list[0].RPID != id {
				t.Errorf("the key keeps %q, want %q", list[0].RPID, id)
			}
		}
	}
}
