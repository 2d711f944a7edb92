package softkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

func ref[T any](v T) *T { return &v }

// TestOrderOfConfig is CTAP 2.3, section 6.11. Each row has faults that a later step finds, too.
func TestOrderOfConfig(t *testing.T) {
	m := manage(t, softkey.Config{}, ctap2.PermissionCredentialManagement) // not the permission that it needs
	wrong := make([]byte, 32)
	below := params(t, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(1))})
	for sub := ctap2.ConfigSubcommand(1); sub <= ctap2.SubEnableLongTouchForReset; sub++ {
		right, _ := m.sign(bytes.Repeat([]byte{0xFF}, 32), []byte{0x0D, byte(sub)}, below)
		for name, test := range map[string]struct {
			r    ctap2.ConfigRequest
			want ctap2.Status
		}{
			"no param":         {ctap2.ConfigRequest{PINUVAuthProtocol: 9}, ctap2.ErrPUATRequired},
			"no protocol":      {ctap2.ConfigRequest{PINUVAuthParam: wrong}, ctap2.ErrMissingParameter},
			"unknown protocol": {ctap2.ConfigRequest{PINUVAuthParam: wrong, PINUVAuthProtocol: 9}, ctap2.ErrInvalidParameter},
			"wrong param":      {ctap2.ConfigRequest{PINUVAuthParam: wrong, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
			"no permission":    {ctap2.ConfigRequest{PINUVAuthParam: right, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
		} {
			test.r.Subcommand, test.r.SubcommandParams = sub, below
			if err := exchange(t, m.a, ctap2.CmdConfig, &test.r, nil); !errors.Is(err, test.want) {
				t.Errorf("subcommand %d, %s: %v, want %v", sub, name, err, test.want)
			}
		}
	}
	for _, sub := range []ctap2.ConfigSubcommand{5, 0x7F, ctap2.SubVendorPrototype} {
		wantStatus(t, exchange(t, m.a, ctap2.CmdConfig, &ctap2.ConfigRequest{Subcommand: sub}, nil), ctap2.ErrInvalidSubcommand)
	}
	wantStatus(t, exchange(t, m.a, ctap2.CmdConfig, map[int]int{}, nil), ctap2.ErrMissingParameter)
	info := m.a.Info()
	if info.Options[ctap2.OptionEnterprise] || info.Options[ctap2.OptionAlwaysUV] || info.MinPINLength != 4 || set(info.LongTouchForReset) {
		t.Errorf("a refused request changed the key: %+v", info)
	}
}

func set(b *bool) bool { return b != nil && *b }

// TestSubcommandsOfTheProfile refuses those that a key of CTAP 2.1 does not know, and all of a key
// without authenticatorConfig.
func TestSubcommandsOfTheProfile(t *testing.T) {
	m := manage(t, softkey.Config{Profile: softkey.ProfileFIDO21}, 0)
	wantStatus(t, m.configure(ctap2.SubEnableLongTouchForReset, nil), ctap2.ErrInvalidSubcommand)
	for _, profile := range []softkey.Profile{softkey.ProfileU2F, softkey.ProfileMinimal, softkey.ProfileFIDO20} {
		m := manage(t, softkey.Config{Profile: profile}, 0)
		wantStatus(t, m.configure(ctap2.SubToggleAlwaysUV, nil), ctap2.ErrInvalidCommand)
	}
}

// TestConfigOfAFreshKeyNeedsNoToken is CTAP 2.3, section 6.11, step 4: it is neither protected, nor is
// alwaysUv on.
func TestConfigOfAFreshKeyNeedsNoToken(t *testing.T) {
	m := manage(t, softkey.Config{}, 0)
	junk := &ctap2.ConfigRequest{Subcommand: ctap2.SubEnableEnterpriseAttestation, PINUVAuthParam: []byte("junk"), PINUVAuthProtocol: 9}
	if err := exchange(t, m.a, ctap2.CmdConfig, junk, nil); err != nil {
		t.Error(err)
	}
	if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(8))}); err != nil {
		t.Error(err)
	}
	if err := m.configure(ctap2.SubEnableLongTouchForReset, nil); err != nil {
		t.Error(err)
	}
	if err := m.configure(ctap2.SubToggleAlwaysUV, nil); err != nil {
		t.Error(err)
	}
	// With alwaysUv all but switching it off needs one.
	wantStatus(t, m.configure(ctap2.SubEnableEnterpriseAttestation, nil), ctap2.ErrPUATRequired)
	wantStatus(t, m.configure(ctap2.SubSetMinPINLength, nil), ctap2.ErrPUATRequired)
	if err := m.configure(ctap2.SubToggleAlwaysUV, nil); err != nil {
		t.Error(err)
	}
	if info := m.a.Info(); info.Options[ctap2.OptionAlwaysUV] || !info.Options[ctap2.OptionEnterprise] || info.MinPINLength != 8 || !set(info.LongTouchForReset) {
		t.Errorf("the info is %+v", info)
	}
}

func TestToggleAlwaysUV(t *testing.T) {
	for _, factory := range []bool{false, true} {
		store := &flaky{left: -1}
		cfg := softkey.Config{AlwaysUV: factory, Store: store}
		m := manage(t, cfg, ctap2.PermissionConfig)
		want := factory
		for range 3 {
			info := m.a.Info()
			if info.Options[ctap2.OptionAlwaysUV] != want || info.Options[ctap2.OptionMakeCredUVNotRqd] == want || info.Supports(ctap2.VersionU2F) == want {
				t.Errorf("factory %v: alwaysUv is %v, and the info is %+v", factory, want, info)
			}
			_, err := m.a.MSG(t.Context(), []byte{0, 3, 0, 0, 0, 0, 0}, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.c.MakeCredential(t.Context(), creation())
			if want && !errors.Is(err, ctap2.ErrPUATRequired) || !want && err != nil {
				t.Errorf("factory %v, alwaysUv %v: makeCredential: %v", factory, want, err)
			}
			token := m.token
			m.token = nil
			wantStatus(t, m.configure(ctap2.SubToggleAlwaysUV, nil), ctap2.ErrPUATRequired)
			m.token = token
			if err := m.configure(ctap2.SubToggleAlwaysUV, nil); err != nil {
				t.Fatal(err)
			}
			want = !want
			m.a, m.c = newKey(t, cfg) // loaded again
			m.allow(ctap2.PermissionConfig)
		}
		if err := m.c.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := m.a.Info().Options[ctap2.OptionAlwaysUV]; got != factory {
			t.Errorf("alwaysUv is %v after a reset, want %v", got, factory)
		}
	}
}

func TestAlwaysUVThatStays(t *testing.T) {
	m := manage(t, softkey.Config{LockAlwaysUV: true}, ctap2.PermissionConfig)
	if err := m.configure(ctap2.SubToggleAlwaysUV, nil); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, m.configure(ctap2.SubToggleAlwaysUV, nil), ctap2.ErrOperationDenied)
	if !m.a.Info().Options[ctap2.OptionAlwaysUV] {
		t.Error("alwaysUv is off")
	}
}

func TestConfigLastsUntilReset(t *testing.T) {
	store := &flaky{left: -1}
	cfg := softkey.Config{Store: store, ResetWindow: -1}
	m := manage(t, cfg, ctap2.PermissionConfig)
	for range 2 { // again is no error
		for _, sub := range []ctap2.ConfigSubcommand{ctap2.SubEnableEnterpriseAttestation, ctap2.SubEnableLongTouchForReset} {
			if err := m.configure(sub, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(4)), PINComplexityPolicy: ref(false)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(6)), PINComplexityPolicy: ref(true)}); err != nil {
		t.Fatal(err)
	}
	for _, load := range []bool{false, true} {
		if load {
			m.a, m.c = newKey(t, cfg)
		}
		info := m.a.Info()
		if !info.Options[ctap2.OptionEnterprise] || info.MinPINLength != 6 || !set(info.LongTouchForReset) || !set(info.ForcePINChange) || !set(info.PINComplexityPolicy) {
			t.Errorf("load %v: the info is %+v", load, info)
		}
	}
	if err := m.a.SetPresence(softkey.PresenceGrant, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, load := range []bool{false, true} {
		if load {
			m.a, m.c = newKey(t, cfg)
		}
		info := m.a.Info()
		if info.Options[ctap2.OptionEnterprise] || info.MinPINLength != 4 || set(info.LongTouchForReset) || set(info.ForcePINChange) || set(info.PINComplexityPolicy) {
			t.Errorf("after a reset, load %v: the info is %+v", load, info)
		}
	}
}

// TestSetMinPINLength is CTAP 2.3, section 6.11.4.
func TestSetMinPINLength(t *testing.T) {
	var ids []string
	for i := range 9 {
		ids = append(ids, fmt.Sprintf("%d.example", i))
	}
	type step struct {
		p     ctap2.SetMinPINLengthParams
		want  ctap2.Status
		least uint // afterwards
		force bool
	}
	for name, steps := range map[string][]step{
		"nothing":     {{least: 4}},
		"the same":    {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(4))}, least: 4}},
		"longer":      {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(5))}, least: 5, force: true}},
		"longest":     {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(63))}, least: 63, force: true}},
		"too long":    {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(64))}, want: ctap2.ErrPINPolicyViolation, least: 4}},
		"shorter":     {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(3))}, want: ctap2.ErrPINPolicyViolation, least: 4}},
		"force":       {{p: ctap2.SetMinPINLengthParams{ForceChangePIN: ref(true)}, least: 4, force: true}},
		"no force":    {{p: ctap2.SetMinPINLengthParams{ForceChangePIN: ref(false)}, least: 4}},
		"policy":      {{p: ctap2.SetMinPINLengthParams{PINComplexityPolicy: ref(true)}, least: 4, force: true}},
		"no policy":   {{p: ctap2.SetMinPINLengthParams{PINComplexityPolicy: ref(false)}, least: 4}},
		"no RP":       {{p: ctap2.SetMinPINLengthParams{MinPINLengthRPIDs: []string{}}, least: 4}},
		"most RPs":    {{p: ctap2.SetMinPINLengthParams{MinPINLengthRPIDs: ids[:8]}, least: 4}},
		"too many":    {{p: ctap2.SetMinPINLengthParams{MinPINLengthRPIDs: ids, NewMinPINLength: ref(uint(8)), ForceChangePIN: ref(true)}, want: ctap2.ErrKeyStoreFull, least: 4}},
		"never back":  {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(4)), ForceChangePIN: ref(false)}, least: 4}, {p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(3)), ForceChangePIN: ref(true)}, want: ctap2.ErrPINPolicyViolation, least: 4}},
		"all at once": {{p: ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(6)), MinPINLengthRPIDs: ids[:2], ForceChangePIN: ref(true), PINComplexityPolicy: ref(true)}, least: 6, force: true}},
	} {
		m := manage(t, softkey.Config{}, ctap2.PermissionConfig)
		for i, s := range steps {
			err := m.configure(ctap2.SubSetMinPINLength, &s.p)
			if s.want != 0 && !errors.Is(err, s.want) || s.want == 0 && err != nil {
				t.Errorf("%s, step %d: %v, want %v", name, i, err, s.want)
			}
			info := m.a.Info()
			if info.MinPINLength != s.least || set(info.ForcePINChange) != s.force {
				t.Errorf("%s, step %d: the minimum is %d, force %v; want %d, %v", name, i, info.MinPINLength, set(info.ForcePINChange), s.least, s.force)
			}
		}
	}
	m := manage(t, softkey.Config{}, 0)
	wantStatus(t, m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{ForceChangePIN: ref(true)}), ctap2.ErrPINNotSet)
	if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(5)), PINComplexityPolicy: ref(true)}); err != nil {
		t.Error(err)
	}
	if set(m.a.Info().ForcePINChange) {
		t.Error("a key without a PIN wants it changed")
	}
	wantStatus(t, m.c.SetPIN(t.Context(), 2, []byte(pin)), ctap2.ErrPINPolicyViolation)
}

// TestForcedPINChange ends all tokens, and is over when the PIN was changed.
func TestForcedPINChange(t *testing.T) {
	store := &flaky{left: -1}
	m := manage(t, softkey.Config{Store: store}, ctap2.PermissionConfig)
	if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: ref(uint(6))}); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, m.configure(ctap2.SubToggleAlwaysUV, nil), ctap2.ErrPINAuthInvalid)
	if _, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: ctap2.PermissionConfig}); err == nil {
		t.Error("a token for a PIN that must be changed")
	}
	m.a, m.c = newKey(t, softkey.Config{Store: store})
	wantStatus(t, m.c.ChangePIN(t.Context(), 2, []byte(pin), []byte("12345")), ctap2.ErrPINPolicyViolation)
	if err := m.c.ChangePIN(t.Context(), 2, []byte(pin), []byte("123456")); err != nil {
		t.Fatal(err)
	}
	for _, load := range []bool{false, true} {
		if load {
			m.a, m.c = newKey(t, softkey.Config{Store: store})
		}
		if info := m.a.Info(); set(info.ForcePINChange) || info.MinPINLength != 6 {
			t.Errorf("load %v: the info is %+v", load, info)
		}
	}
	if _, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("123456"), Permissions: ctap2.PermissionConfig}); err != nil {
		t.Error(err)
	}
}

func TestVendorPrototype(t *testing.T) {
	var got [][]byte
	m := manage(t, softkey.Config{VendorCommands: map[uint64]func([]byte) error{
		0x1234567890ABCDEF: func(data []byte) error { got = append(got, bytes.Clone(data)); return nil },
		7:                  func([]byte) error { return ctap2.ErrInvalidLength },
	}}, ctap2.PermissionConfig)
	if err := m.configure(ctap2.SubVendorPrototype, &ctap2.VendorPrototypeParams{VendorCommandID: 0x1234567890ABCDEF, Data: params(t, "hello")}); err != nil {
		t.Error(err)
	}
	if err := m.configure(ctap2.SubVendorPrototype, &ctap2.VendorPrototypeParams{VendorCommandID: 0x1234567890ABCDEF}); err != nil {
		t.Error(err)
	}
	if !slices.EqualFunc(got, [][]byte{params(t, "hello"), nil}, bytes.Equal) {
		t.Errorf("the command got %x", got)
	}
	wantStatus(t, m.configure(ctap2.SubVendorPrototype, &ctap2.VendorPrototypeParams{VendorCommandID: 7}), ctap2.ErrInvalidLength)
	wantStatus(t, m.configure(ctap2.SubVendorPrototype, &ctap2.VendorPrototypeParams{VendorCommandID: 8}), ctap2.ErrInvalidParameter)
	wantStatus(t, m.configure(ctap2.SubVendorPrototype, nil), ctap2.ErrMissingParameter)
	wantStatus(t, m.configure(ctap2.SubVendorPrototype, map[int]int{}), ctap2.ErrMissingParameter)
	m.token = nil
	wantStatus(t, m.configure(ctap2.SubVendorPrototype, &ctap2.VendorPrototypeParams{VendorCommandID: 7}), ctap2.ErrPUATRequired)
}
