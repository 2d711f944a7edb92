package softkey_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/tokens/softkey"
)

// setRaw sends a new PIN that the client would not: padded to 64 bytes here.
func setRaw(t *testing.T, c *ctap2.Client, p ctap2.PINUVProtocol, padded []byte) error {
	t.Helper()
	agreement, err := c.KeyAgreement(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	platform, secret, err := p.Encapsulate(agreement)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := p.Encrypt(secret, padded)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ClientPIN(t.Context(), &ctap2.ClientPINRequest{
		PINUVAuthProtocol: p, Subcommand: ctap2.SubSetPIN, KeyAgreement: platform, NewPINEnc: enc, PINUVAuthParam: p.Authenticate(secret, enc),
	})
	return err
}

// TestPINLength is CTAP 2.3, section 6.5.1: code points at least, bytes at most.
func TestPINLength(t *testing.T) {
	for name, test := range map[string]struct {
		pin  string
		cfg  softkey.Config
		want ctap2.Status
	}{
		"3":                      {pin: "abd", want: ctap2.ErrPINPolicyViolation},
		"4":                      {pin: "abdc"},
		"63":                     {pin: strings.Repeat("abc", 21)},
		"64":                     {pin: strings.Repeat("abcd", 16), want: ctap2.ErrPINPolicyViolation},
		"3 code points, 6 bytes": {pin: "äöü", want: ctap2.ErrPINPolicyViolation},
		"4 code points, 8 bytes": {pin: "äöüß"},
		"32 of them, 64 bytes":   {pin: strings.Repeat("ä", 32), want: ctap2.ErrPINPolicyViolation},
		"not UTF-8":              {pin: "ab\xFFcd", want: ctap2.ErrPINPolicyViolation},
		"5 where 6 are wanted":   {pin: "abdce", cfg: softkey.Config{MinPINLength: 6}, want: ctap2.ErrPINPolicyViolation},
		"6 where 6 are wanted":   {pin: "abdcef", cfg: softkey.Config{MinPINLength: 6}},
		"simple":                 {pin: "4321", cfg: softkey.Config{PINComplexity: true}, want: ctap2.ErrPINPolicyViolation},
		"one character":          {pin: "7777", cfg: softkey.Config{PINComplexity: true}, want: ctap2.ErrPINPolicyViolation},
		"up":                     {pin: "abcdef", cfg: softkey.Config{PINComplexity: true}, want: ctap2.ErrPINPolicyViolation},
		"not simple":             {pin: "1235", cfg: softkey.Config{PINComplexity: true}},
	} {
		for _, p := range []ctap2.PINUVProtocol{1, 2} {
			_, c := newKey(t, test.cfg)
			padded := make([]byte, 64)
			copy(padded, test.pin)
			err := setRaw(t, c, p, padded)
			if test.want == 0 && err != nil || test.want != 0 && !errors.Is(err, test.want) {
				t.Errorf("%s, protocol %v: %v, want %v", name, p, err, test.want)
			}
		}
	}
	for _, n := range []int{48, 80, 128} {
		_, c := newKey(t, softkey.Config{})
		padded := make([]byte, n)
		copy(padded, pin)
		if err := setRaw(t, c, 2, padded); !errors.Is(err, ctap2.ErrInvalidParameter) {
			t.Errorf("padded to %d bytes: %v, want INVALID_PARAMETER", n, err)
		}
	}
}

// TestPINThatMustBeChanged is CTAP 2.3, section 6.4, forcePINChange.
func TestPINThatMustBeChanged(t *testing.T) {
	m := manage(t, softkey.Config{}, ctap2.PermissionConfig)
	least, yes := uint(6), true
	if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: &least, ForceChangePIN: &yes}); err != nil {
		t.Fatal(err)
	}
	info := m.a.Info()
	if info.ForcePINChange == nil || !*info.ForcePINChange || info.MinPINLength != 6 {
		t.Errorf("forcePINChange %v, minPINLength %d", info.ForcePINChange, info.MinPINLength)
	}
	token := func(pin string, legacy bool) error {
		_, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: ctap2.PermissionGetAssertion, RPID: rpID, Legacy: legacy})
		return err
	}
	wantStatus(t, token(pin, false), ctap2.ErrPINPolicyViolation)
	wantStatus(t, token(pin, true), ctap2.ErrPINInvalid)
	if left, _, err := m.c.PINRetries(t.Context()); left != 8 || err != nil {
		t.Errorf("%d retries, %v: the right PIN must not cost one", left, err)
	}
	wantStatus(t, token("9999", false), ctap2.ErrPINInvalid)
	change := func(old, new string) error { return m.c.ChangePIN(t.Context(), 2, []byte(old), []byte(new)) }
	wantStatus(t, change(pin, "12345"), ctap2.ErrPINPolicyViolation)
	if err := change(pin, "123457"); err != nil {
		t.Fatal(err)
	}
	if err := token("123457", false); err != nil {
		t.Errorf("the new PIN: %v", err)
	}
	if info := m.a.Info(); *info.ForcePINChange {
		t.Error("forcePINChange is still true")
	}
	// The same PIN is taken again, but not where it has to change.
	if err := change("123457", "123457"); err != nil {
		t.Errorf("the same PIN: %v", err)
	}
	m.token = nil
	got, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("123457"), Permissions: ctap2.PermissionConfig})
	if err != nil {
		t.Fatal(err)
	}
	m.token = got
	if err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{ForceChangePIN: &yes}); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, change("123457", "123457"), ctap2.ErrPINPolicyViolation)
	if err := change("123457", "123458"); err != nil {
		t.Error(err)
	}
}

// TestPermissionsOfEachProfile is the table of CTAP 2.3, section 6.5.5.7.2, step 4.
func TestPermissionsOfEachProfile(t *testing.T) {
	const all = ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion | ctap2.PermissionCredentialManagement |
		ctap2.PermissionBioEnrollment | ctap2.PermissionLargeBlobWrite | ctap2.PermissionConfig | ctap2.PermissionCredentialRead
	for name, test := range map[string]struct {
		cfg     softkey.Config
		without ctap2.Permission
	}{
		"2.1":          {softkey.Config{Profile: softkey.ProfileFIDO21}, ctap2.PermissionBioEnrollment | ctap2.PermissionCredentialRead},
		"2.3":          {softkey.Config{Profile: softkey.ProfileFIDO23}, ctap2.PermissionBioEnrollment | ctap2.PermissionLargeBlobWrite},
		"2.3, sensor":  {softkey.Config{Profile: softkey.ProfileFIDO23Bio}, ctap2.PermissionLargeBlobWrite},
		"noMcGa":       {softkey.Config{Profile: softkey.ProfileFIDO23Bio, NoMcGaWithPIN: true}, ctap2.PermissionLargeBlobWrite | ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion},
		"2.3, the old": {softkey.Config{Verification: softkey.VerificationGrant}, ctap2.PermissionBioEnrollment | ctap2.PermissionLargeBlobWrite},
	} {
		_, c := pinKey(t, test.cfg)
		for p := ctap2.PermissionMakeCredential; p <= ctap2.PermissionCredentialRead; p <<= 1 {
			_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: p, RPID: rpID})
			refused := errors.Is(err, ctap2.ErrUnauthorizedPermission)
			if want := test.without&p != 0; refused != want || !want && err != nil {
				t.Errorf("%s, permission %#02x: %v", name, p, err)
			}
		}
		_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: all &^ test.without, RPID: rpID})
		if together := test.without&ctap2.PermissionCredentialRead == 0; errors.Is(err, ctap2.ErrUnauthorizedPermission) != together {
			t.Errorf("%s, all at once: %v; pcmr must come alone", name, err)
		}
	}
}

// decrypted opens a member of getInfo with the persistent token (CTAP 2.3, section 6.4).
func decrypted(t *testing.T, token []byte, name string, enc []byte) string {
	t.Helper()
	if len(enc) != 32 {
		t.Fatalf("%s has %d bytes, want 32", name, len(enc))
	}
	key, err := hkdf.Key(sha256.New, token, make([]byte, 32), name, 16)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 16)
	cipher.NewCBCDecrypter(block, enc[:16]).CryptBlocks(out, enc[16:])
	return string(out)
}

// persistent gets the persistent token in plain.
func persistent(t *testing.T, c *ctap2.Client, pin string) []byte {
	t.Helper()
	agreement, err := c.KeyAgreement(t.Context(), pinuv.Two)
	if err != nil {
		t.Fatal(err)
	}
	platform, secret, err := pinuv.Two.Encapsulate(agreement)
	if err != nil {
		t.Fatal(err)
	}
	hash := pinuv.PINHash([]byte(pin))
	enc, err := pinuv.Two.Encrypt(secret, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	permission := ctap2.PermissionCredentialRead
	got, err := c.ClientPIN(t.Context(), &ctap2.ClientPINRequest{
		PINUVAuthProtocol: pinuv.Two, Subcommand: ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions,
		KeyAgreement: platform, PINHashEnc: enc, Permissions: &permission,
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := pinuv.Two.Decrypt(secret, got.PINUVAuthToken)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestPersistentToken is CTAP 2.3, section 6.5.5.7: it outlives the power, but not the PIN; getInfo tells who
// holds it which key it is and whether its credentials have changed (section 6.4).
func TestPersistentToken(t *testing.T) {
	a, c := pinKey(t, softkey.Config{})
	if info := a.Info(); info.EncIdentifier != nil || info.EncCredStoreState != nil {
		t.Errorf("before there is a token: %x, %x", info.EncIdentifier, info.EncCredStoreState)
	}
	token := persistent(t, c, pin)
	if len(token) != 32 {
		t.Fatalf("the token has %d bytes", len(token))
	}
	read := func(token []byte) (identifier, state string) {
		t.Helper()
		info := a.Info()
		return decrypted(t, token, "encIdentifier", info.EncIdentifier), decrypted(t, token, "encCredStoreState", info.EncCredStoreState)
	}
	identifier, state := read(token)
	one, two := a.Info(), a.Info()
	if bytes.Equal(one.EncIdentifier, two.EncIdentifier) || bytes.Equal(one.EncCredStoreState, two.EncCredStoreState) {
		t.Error("the same bytes twice tell the key to everybody")
	}
	a.PowerCycle()
	if again := persistent(t, c, pin); !bytes.Equal(again, token) {
		t.Error("another token after a power cycle")
	}
	if i, s := read(token); i != identifier || s != state {
		t.Error("identifier or state changed by themselves")
	}
	mc := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionMakeCredential, RPID: rpID})
	register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.Authorize(mc) })
	if i, s := read(token); i != identifier || s == state {
		t.Error("a new credential must change the state, and nothing else")
	}
	if err := c.ChangePIN(t.Context(), 2, []byte(pin), []byte("5678")); err != nil {
		t.Fatal(err)
	}
	if info := a.Info(); info.EncIdentifier != nil {
		t.Error("the token outlives its PIN")
	}
	after := persistent(t, c, "5678")
	if bytes.Equal(after, token) {
		t.Error("the same token after the PIN was changed")
	}
	if i, _ := read(after); i != identifier {
		t.Error("the identifier changed with the PIN")
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.SetPIN(t.Context(), 2, []byte(pin)); err != nil {
		t.Fatal(err)
	}
	if i, _ := read(persistent(t, c, pin)); i == identifier {
		t.Error("the identifier outlives a reset")
	}
}

// TestPersistentTokenIsNoOtherToken uses it for what it may not do.
func TestPersistentTokenIsNoOtherToken(t *testing.T) {
	m := manage(t, softkey.Config{}, ctap2.PermissionCredentialRead)
	if _, err := m.credentials(ctap2.SubGetCredsMetadata, nil); err != nil {
		t.Errorf("metadata: %v", err)
	}
	m.a.PowerCycle()
	if _, err := m.credentials(ctap2.SubGetCredsMetadata, nil); err != nil {
		t.Errorf("metadata after a power cycle: %v", err)
	}
	wantStatus(t, m.delete([]byte("id")), ctap2.ErrPINAuthInvalid)
	wantStatus(t, m.configure(ctap2.SubToggleAlwaysUV, nil), ctap2.ErrPINAuthInvalid)
	wantStatus(t, assertWith(t, m.c, m.token, []byte("id"), rpID), ctap2.ErrPINAuthInvalid)
}

// TestNoMcGaWithPIN is CTAP 2.3, section 6.4, noMcGaPermissionsWithClientPin: only the sensor will do.
func TestNoMcGaWithPIN(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  softkey.Config
		want ctap2.Status
	}{
		"with":    {softkey.Config{Profile: softkey.ProfileFIDO23Bio, NoMcGaWithPIN: true}, ctap2.ErrOperationDenied},
		"without": {softkey.Config{Profile: softkey.ProfileFIDO23Bio}, ctap2.ErrPUATRequired},
	} {
		a, c := pinKey(t, test.cfg)
		if _, there := a.Info().Options[ctap2.OptionNoMcGaWithPIN]; there != test.cfg.NoMcGaWithPIN {
			t.Errorf("%s: the option is there: %v", name, there)
		}
		r := creation()
		resident(r)
		if _, err := c.MakeCredential(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	_, c := pinKey(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio, NoMcGaWithPIN: true})
	_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Legacy: true})
	wantStatus(t, err, ctap2.ErrUnauthorizedPermission)
}

// TestPINRetriesCountDown is CTAP 2.3, section 6.5.5.6: 8 to 0, three in a row until the power goes.
func TestPINRetriesCountDown(t *testing.T) {
	a, c := pinKey(t, softkey.Config{})
	for left := uint(8); left > 0; left-- {
		n, cycle, err := c.PINRetries(t.Context())
		if n != left || cycle || err != nil {
			t.Errorf("%d retries, power cycle %v, %v; want %d", n, cycle, err, left)
		}
		want := ctap2.ErrPINInvalid
		switch {
		case left == 1:
			want = ctap2.ErrPINBlocked
		case left == 6 || left == 3:
			want = ctap2.ErrPINAuthBlocked
		}
		_, err = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("9999"), Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
		if !errors.Is(err, want) {
			t.Errorf("with %d left: %v, want %v", left, err, want)
		}
		if want == ctap2.ErrPINAuthBlocked {
			if _, cycle, _ := c.PINRetries(t.Context()); !cycle {
				t.Error("no power cycle is asked for")
			}
			a.PowerCycle()
		}
	}
	if n, _, _ := c.PINRetries(t.Context()); n != 0 {
		t.Errorf("%d retries, want 0", n)
	}
}

// TestUVCount is uvCountSinceLastPinEntry (CTAP 2.2, section 6.4).
func TestUVCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manage(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio}, ctap2.PermissionBioEnrollment)
		m.enrol()
		count := func() uint { return *m.a.Info().UVCountSinceLastPINEntry }
		for want := range uint(3) {
			if got := count(); got != want {
				t.Errorf("the count is %d, want %d", got, want)
			}
			_, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		tokenFor(t, m.c, ctap2.TokenRequest{Permissions: ctap2.PermissionConfig})
		if got := count(); got != 0 {
			t.Errorf("the count is %d after the PIN, want 0", got)
		}
		if !slices.Equal(m.a.Fingers(), []string{""}) {
			t.Errorf("the fingers are %q", m.a.Fingers())
		}
	})
}
