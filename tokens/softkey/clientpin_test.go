package softkey_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// pinKey has the PIN 1234.
func pinKey(t *testing.T, cfg softkey.Config) (*softkey.Authenticator, *ctap2.Client) {
	t.Helper()
	a, c := newKey(t, cfg)
	if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	return a, c
}

func pinToken(t *testing.T, c *ctap2.Client, r ctap2.TokenRequest) *ctap2.Token {
	t.Helper()
	if r.Protocol == 0 {
		r.Protocol = 2
	}
	r.PIN = []byte("1234")
	token, err := c.PINToken(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func assertWith(t *testing.T, c *ctap2.Client, token *ctap2.Token, id []byte, rp string) error {
	t.Helper()
	r := assertion(id)
	r.RPID = rp
	r.Authorize(token)
	got, err := c.GetAssertion(t.Context(), r)
	if err != nil {
		return err
	}
	data, err := got.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	if data.Flags&ctap2.FlagUV == 0 {
		t.Error("an assertion with a token has no UV flag")
	}
	return nil
}

func TestTokenVerifiesForBothProtocols(t *testing.T) {
	for _, protocol := range []ctap2.PINUVProtocol{1, 2} {
		for _, legacy := range []bool{false, true} {
			_, c := pinKey(t, softkey.Config{})
			id := credentialID(t, register(t, c, nil))
			r := ctap2.TokenRequest{Protocol: protocol, Legacy: legacy}
			if !legacy {
				r.Permissions, r.RPID = ctap2.PermissionGetAssertion, rpID
			}
			if err := assertWith(t, c, pinToken(t, c, r), id, rpID); err != nil {
				t.Errorf("protocol %v, legacy %v: %v", protocol, legacy, err)
			}
		}
	}
}

func TestTokenIsForItsPermissionAndRPOnly(t *testing.T) {
	_, c := pinKey(t, softkey.Config{})
	id := credentialID(t, register(t, c, nil))
	for name, r := range map[string]ctap2.TokenRequest{
		"another RP":         {Permissions: ctap2.PermissionGetAssertion, RPID: "example.com"},
		"another permission": {Permissions: ctap2.PermissionMakeCredential, RPID: rpID},
	} {
		if err := assertWith(t, c, pinToken(t, c, r), id, rpID); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
			t.Errorf("%s: %v, want PIN_AUTH_INVALID", name, err)
		}
	}
	// A legacy token belongs to the first RP that it is used for, and a use spends it.
	token := pinToken(t, c, ctap2.TokenRequest{Legacy: true})
	if err := assertWith(t, c, token, id, rpID); err != nil {
		t.Fatal(err)
	}
	if err := assertWith(t, c, token, id, rpID); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
		t.Errorf("a token that was spent: %v, want PIN_AUTH_INVALID", err)
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	_, c := pinKey(t, softkey.Config{})
	for name, test := range map[string]struct {
		permissions ctap2.Permission
		rp          string
		want        ctap2.Status
	}{
		"none":          {0, rpID, ctap2.ErrInvalidParameter},
		"no RP":         {ctap2.PermissionGetAssertion, "", ctap2.ErrMissingParameter},
		"not had":       {ctap2.PermissionLargeBlobWrite, rpID, ctap2.ErrUnauthorizedPermission},
		"one of them":   {ctap2.PermissionGetAssertion | ctap2.PermissionBioEnrollment, rpID, ctap2.ErrUnauthorizedPermission},
		"all undefined": {0x80, rpID, 0},
	} {
		agreement, err := c.KeyAgreement(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.ClientPIN(t.Context(), &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 2, Subcommand: ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions,
			KeyAgreement: agreement, PINHashEnc: make([]byte, 32), Permissions: &test.permissions, RPID: test.rp,
		})
		if test.want != 0 && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if left, _, err := c.PINRetries(t.Context()); err != nil || left < 7 {
		t.Errorf("%d retries left, %v: a refused request must not cost one", left, err)
	}
}

func TestTokenTimers(t *testing.T) {
	for name, test := range map[string]struct {
		wait time.Duration
		want ctap2.Status
	}{
		"just in time":      {29 * time.Second, 0},
		"never used":        {31 * time.Second, ctap2.ErrPINAuthInvalid},
		"past the maximum":  {11 * time.Minute, ctap2.ErrPINAuthInvalid},
		"after power cycle": {-1, ctap2.ErrPINAuthInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, c := pinKey(t, softkey.Config{})
				id := credentialID(t, register(t, c, nil))
				token := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
				if test.wait < 0 {
					a.PowerCycle()
				} else {
					time.Sleep(test.wait)
				}
				err := assertWith(t, c, token, id, rpID)
				if test.want == 0 && err != nil || test.want != 0 && !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
			})
		})
	}
}

func TestPINRules(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	if err := c.ChangePIN(t.Context(), 2, []byte("1234"), []byte("5678")); !errors.Is(err, ctap2.ErrPINNotSet) {
		t.Errorf("change without a PIN: %v, want PIN_NOT_SET", err)
	}
	if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetPIN(t.Context(), 2, []byte("5678")); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
		t.Errorf("set with a PIN: %v, want PIN_AUTH_INVALID", err)
	}
	if err := c.ChangePIN(t.Context(), 2, []byte("0000"), []byte("5678")); !errors.Is(err, ctap2.ErrPINInvalid) {
		t.Errorf("change with a wrong PIN: %v, want PIN_INVALID", err)
	}
	token := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
	if err := c.ChangePIN(t.Context(), 1, []byte("1234"), []byte("éàüß")); err != nil {
		t.Errorf("change to four code points: %v", err)
	}
	id := credentialID(t, register(t, c, nil))
	if err := assertWith(t, c, token, id, rpID); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
		t.Errorf("a token from before the change: %v, want PIN_AUTH_INVALID", err)
	}
}

// TestFirstRPOfALegacyTokenIsItsOnlyOne uses it without spending it (CTAP 2.2, section 6.2.2, step 6.1).
func TestFirstRPOfALegacyTokenIsItsOnlyOne(t *testing.T) {
	_, c := pinKey(t, softkey.Config{})
	no := false
	ids := map[string][]byte{}
	for _, rp := range []string{"example.org", "example.com"} {
		ids[rp] = credentialID(t, register(t, c, func(r *ctap2.MakeCredentialRequest) { r.RP.ID = rp }))
	}
	token := pinToken(t, c, ctap2.TokenRequest{Legacy: true})
	for _, test := range []struct {
		rp   string
		want ctap2.Status
	}{{"example.org", 0}, {"example.com", ctap2.ErrPINAuthInvalid}, {"example.org", 0}} {
		r := assertion(ids[test.rp])
		r.RPID, r.Options = test.rp, &ctap2.Options{UP: &no}
		r.Authorize(token)
		if _, err := c.GetAssertion(t.Context(), r); test.want == 0 && err != nil || test.want != 0 && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.rp, err, test.want)
		}
	}
}

// TestNewTokenEndsThoseOfAllProtocols is CTAP 2.2, section 6.5.5.7.2, step 13.
func TestNewTokenEndsThoseOfAllProtocols(t *testing.T) {
	_, c := pinKey(t, softkey.Config{})
	id := credentialID(t, register(t, c, nil))
	r := ctap2.TokenRequest{Protocol: 1, Permissions: ctap2.PermissionGetAssertion, RPID: rpID}
	old := pinToken(t, c, r)
	r.Protocol = 2
	young := pinToken(t, c, r)
	wantStatus(t, assertWith(t, c, old, id, rpID), ctap2.ErrPINAuthInvalid)
	if err := assertWith(t, c, young, id, rpID); err != nil {
		t.Error(err)
	}
}

// TestWrongPINRenewsTheAgreement is CTAP 2.2, section 6.5.5.7.2, step 9.1.1.
func TestWrongPINRenewsTheAgreement(t *testing.T) {
	_, c := pinKey(t, softkey.Config{})
	var keys [2]string
	for i := range keys {
		key, err := c.KeyAgreement(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = string(key.X)
		_, err = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("9999"), Legacy: true})
		wantStatus(t, err, ctap2.ErrPINInvalid)
	}
	if keys[0] == keys[1] {
		t.Error("the key agreement key is the one of before the wrong PIN")
	}
}

func TestKnownFingerRestoresUVRetries(t *testing.T) {
	a, c := newKey(t, softkey.Config{Verification: softkey.VerificationDeny})
	request := ctap2.TokenRequest{Protocol: 2, Permissions: ctap2.PermissionGetAssertion, RPID: rpID}
	_, err := c.PINToken(t.Context(), request)
	wantStatus(t, err, ctap2.ErrUVInvalid)
	if left, err := c.UVRetries(t.Context()); left != 2 || err != nil {
		t.Errorf("%d UV retries, %v; want 2", left, err)
	}
	if err := a.SetVerification(softkey.VerificationGrant); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PINToken(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if left, err := c.UVRetries(t.Context()); left != 3 || err != nil {
		t.Errorf("%d UV retries, %v; want 3", left, err)
	}
}

func TestUVRetriesAndFallbackToPIN(t *testing.T) {
	a, c := pinKey(t, softkey.Config{Verification: softkey.VerificationDeny})
	request := ctap2.TokenRequest{Protocol: 2, Permissions: ctap2.PermissionGetAssertion, RPID: rpID}
	for n, want := range []ctap2.Status{ctap2.ErrUVInvalid, ctap2.ErrUVInvalid, ctap2.ErrUVBlocked, ctap2.ErrUVBlocked} {
		if _, err := c.PINToken(t.Context(), request); !errors.Is(err, want) {
			t.Errorf("finger number %d: %v, want %v", n+1, err, want)
		}
	}
	pinToken(t, c, request)
	if left, err := c.UVRetries(t.Context()); left != 3 || err != nil {
		t.Errorf("UV retries after the PIN: %d, %v; want 3", left, err)
	}
	if err := a.SetVerification(softkey.VerificationGrant); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PINToken(t.Context(), request); err != nil {
		t.Errorf("a known finger: %v", err)
	}
}
