package softkey_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f/apdu"
)

func uvWanted(r *ctap2.MakeCredentialRequest) {
	yes := true
	r.Options = &ctap2.Options{UV: &yes}
}

func uvAssertion(id []byte) *ctap2.GetAssertionRequest {
	yes := true
	r := assertion(id)
	r.Options = &ctap2.Options{UV: &yes}
	return r
}

// TestFailedVerificationSendsToThePIN is CTAP 2.2, section 6.1.2, step 11.2.3, and section 6.2.2,
// step 6.2.3.
func TestFailedVerificationSendsToThePIN(t *testing.T) {
	make := func(c *ctap2.Client) error {
		r := creation()
		uvWanted(r)
		_, err := c.MakeCredential(t.Context(), r)
		return err
	}
	get := func(c *ctap2.Client) error {
		_, err := c.GetAssertion(t.Context(), uvAssertion([]byte("another key's")))
		return err
	}
	for name, run := range map[string]func(*ctap2.Client) error{"makeCredential": make, "getAssertion": get} {
		a, c := newKey(t, softkey.Config{Verification: softkey.VerificationDeny})
		for n, want := range []ctap2.Status{ctap2.ErrOperationDenied, ctap2.ErrOperationDenied, ctap2.ErrPINBlocked, ctap2.ErrPINBlocked} {
			if err := run(c); !errors.Is(err, want) {
				t.Errorf("%s, finger number %d: %v, want %v", name, n+1, err, want)
			}
		}
		if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
			t.Fatal(err)
		}
		if err := run(c); !errors.Is(err, ctap2.ErrPUATRequired) {
			t.Errorf("%s with a PIN: %v, want PUAT_REQUIRED", name, err)
		}
		if err := a.SetPresence(softkey.PresenceDeny, 0); err != nil {
			t.Fatal(err)
		}
		if err := run(c); !errors.Is(err, ctap2.ErrPUATRequired) {
			t.Errorf("%s with a PIN, declined: %v, want PUAT_REQUIRED", name, err)
		}
	}
}

func TestVerificationThatNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newKey(t, softkey.Config{Verification: softkey.VerificationGrant, Presence: softkey.PresenceManual})
		r := creation()
		uvWanted(r)
		_, err := c.MakeCredential(t.Context(), r)
		wantStatus(t, err, ctap2.ErrUserActionTimeout)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.MakeCredential(ctx, r)
		wantStatus(t, err, ctap2.ErrKeepaliveCancel)
		if left, err := c.UVRetries(t.Context()); left != 3 || err != nil {
			t.Errorf("%d UV retries, %v: a finger that did not come must not cost one", left, err)
		}
	})
}

// TestAlwaysUV is CTAP 2.2, section 6.1.2, step 6, and section 6.2.2, step 5.
func TestAlwaysUV(t *testing.T) {
	wrong := make([]byte, 32)
	withParam := func(r *ctap2.MakeCredentialRequest) { r.PINUVAuthParam, r.PINUVAuthProtocol = &wrong, 2 }
	for name, test := range map[string]struct {
		uv     softkey.Verification
		pin    bool
		change func(*ctap2.MakeCredentialRequest)
		want   ctap2.Status
	}{
		"nothing set":            {change: func(*ctap2.MakeCredentialRequest) {}, want: ctap2.ErrPUATRequired},
		"nothing set, a param":   {change: withParam, want: ctap2.ErrPUATRequired},
		"a PIN":                  {pin: true, change: func(*ctap2.MakeCredentialRequest) {}, want: ctap2.ErrPUATRequired},
		"a PIN, a wrong param":   {pin: true, change: withParam, want: ctap2.ErrPINAuthInvalid},
		"a sensor":               {uv: softkey.VerificationGrant, change: func(*ctap2.MakeCredentialRequest) {}},
		"a sensor, a false one":  {uv: softkey.VerificationDeny, change: func(*ctap2.MakeCredentialRequest) {}, want: ctap2.ErrOperationDenied},
		"a sensor, wrong param":  {uv: softkey.VerificationGrant, change: withParam, want: ctap2.ErrPINAuthInvalid},
		"a sensor, option is on": {uv: softkey.VerificationGrant, change: uvWanted},
	} {
		_, c := newKey(t, softkey.Config{AlwaysUV: true, Verification: test.uv})
		if test.pin {
			if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
				t.Fatal(err)
			}
		}
		r := creation()
		test.change(r)
		made, err := c.MakeCredential(t.Context(), r)
		if test.want != 0 {
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
			ask := assertion([]byte("another key's"))
			ask.PINUVAuthParam, ask.PINUVAuthProtocol = r.PINUVAuthParam, r.PINUVAuthProtocol
			if _, err := c.GetAssertion(t.Context(), ask); !errors.Is(err, test.want) {
				t.Errorf("%s, getAssertion: %v, want %v", name, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if data, err := made.ParsedAuthData(); err != nil || data.Flags&ctap2.FlagUV == 0 {
			t.Errorf("%s: the credential was made without UV, %v", name, err)
		}
	}
}

func TestAlwaysUVSwitchesU2FOff(t *testing.T) {
	a, c := newKey(t, softkey.Config{AlwaysUV: true})
	if _, err := ctap2.NewU2FClient(a, nil).MakeCredential(t.Context(), creation()); !errors.Is(err, apdu.ErrCommandNotAllowed) {
		t.Errorf("U2F with alwaysUv: %v, want command not allowed", err)
	}
	info, err := c.GetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Supports("U2F_V2") || !info.Options["alwaysUv"] || info.Options["makeCredUvNotRqd"] {
		t.Errorf("the info is %+v", info)
	}
}

// TestParamOnAnUnprotectedKeySaysNothing is CTAP 2.2, section 6.1.2, step 11, and section 6.2.2,
// step 6: both begin with the key being protected.
func TestParamOnAnUnprotectedKeySaysNothing(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	param := make([]byte, 32)
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) { r.PINUVAuthParam, r.PINUVAuthProtocol = &param, 2 })
	r := assertion(credentialID(t, made))
	r.PINUVAuthParam, r.PINUVAuthProtocol = &param, 1
	got, err := c.GetAssertion(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, authData := range [][]byte{made.AuthData, got.AuthData} {
		if data, err := ctap2.ParseAuthData(authData); err != nil || data.Flags&ctap2.FlagUV != 0 {
			t.Errorf("the flags are %08b, %v: nobody was verified", data.Flags, err)
		}
	}
}

// TestExcludedWhateverThePersonDoes is CTAP 2.2, section 6.1.2, step 12.
func TestExcludedWhateverThePersonDoes(t *testing.T) {
	for presence, took := range map[softkey.Presence]time.Duration{
		softkey.PresenceGrant: 0, softkey.PresenceDeny: 0, softkey.PresenceManual: softkey.DefaultTouchTimeout,
	} {
		synctest.Test(t, func(t *testing.T) {
			a, c := newKey(t, softkey.Config{})
			id := credentialID(t, register(t, c, nil))
			if err := a.SetPresence(presence, 0); err != nil {
				t.Fatal(err)
			}
			r := creation()
			r.ExcludeList = []ctap2.CredentialDescriptor{{ID: id, Type: ctap2.TypePublicKey}}
			began := time.Now()
			_, err := c.MakeCredential(t.Context(), r)
			wantStatus(t, err, ctap2.ErrCredentialExcluded)
			if got := time.Since(began); got != took {
				t.Errorf("%s: it took %v, want %v", presence, got, took)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = c.MakeCredential(ctx, r)
			wantStatus(t, err, ctap2.ErrKeepaliveCancel)
		})
	}
}

// TestVerifiedTouchIsPresence is CTAP 2.2, section 6.2.2, step 8.
func TestVerifiedTouchIsPresence(t *testing.T) {
	_, c := newKey(t, softkey.Config{Verification: softkey.VerificationGrant})
	id := credentialID(t, register(t, c, nil))
	no := false
	for _, uv := range []bool{false, true} {
		r := assertion(id)
		r.Options = &ctap2.Options{UP: &no, UV: &uv}
		got, err := c.GetAssertion(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		data, err := got.ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		if up := data.Flags&ctap2.FlagUP != 0; up != uv {
			t.Errorf("up false, uv %v: UP is %v", uv, up)
		}
	}
}

// TestPresenceOfATokenEnds is CTAP 2.2, section 6.5.2.1: the touch of a sensor counts once, and for
// 30 seconds.
func TestPresenceOfATokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newKey(t, softkey.Config{Verification: softkey.VerificationGrant})
		id := credentialID(t, register(t, c, nil))
		no := false
		for _, late := range []bool{false, true} {
			if err := a.SetPresence(softkey.PresenceGrant, 0); err != nil {
				t.Fatal(err)
			}
			token, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.SetPresence(softkey.PresenceManual, 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			r := assertion(id)
			r.Options = &ctap2.Options{UP: &no} // a use that spends nothing
			r.Authorize(token)
			if _, err := c.GetAssertion(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if late {
				time.Sleep(11 * time.Second)
			}
			began := time.Now()
			err = assertWith(t, c, token, id, rpID)
			if late {
				wantStatus(t, err, ctap2.ErrUserActionTimeout)
			} else if err != nil || time.Since(began) != 0 {
				t.Errorf("%v after %v: the touch of the sensor does not count", err, time.Since(began))
			}
		}
	})
}

func TestU2FUsesWhatNeedsOnlyItsID(t *testing.T) {
	for level := ctap2.CredProtect(1); level <= 3; level++ {
		a, c := newKey(t, softkey.Config{})
		made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
			r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: level}
		})
		_, err := ctap2.NewU2FClient(a, nil).GetAssertion(t.Context(), assertion(credentialID(t, made)))
		if level == 3 && !errors.Is(err, ctap2.ErrNoCredentials) || level < 3 && err != nil {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

func TestAnyOtherCommandEndsTheAssertions(t *testing.T) {
	a, c := newKey(t, softkey.Config{})
	for _, user := range []string{"a", "b"} {
		register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.User.ID = []byte(user) })
	}
	for name, other := range map[string]func(){
		"getInfo":   func() { _, _ = c.GetInfo(t.Context()) },
		"unknown":   func() { _, _ = a.CBOR(t.Context(), []byte{0x55}, nil) },
		"malformed": func() { _, _ = a.CBOR(t.Context(), []byte{byte(ctap2.CmdGetAssertion), 0xFF}, nil) },
		"U2F":       func() { _, _ = a.MSG(t.Context(), []byte{0, 3, 0, 0, 0, 0, 0}, nil) },
		"power":     a.PowerCycle,
	} {
		if _, err := c.GetAssertion(t.Context(), assertion(nil)); err != nil {
			t.Fatal(err)
		}
		other()
		if _, err := c.GetNextAssertion(t.Context()); !errors.Is(err, ctap2.ErrNotAllowed) {
			t.Errorf("after %s: %v, want NOT_ALLOWED", name, err)
		}
	}
}

func TestCommandsThatAreNone(t *testing.T) {
	a, _ := newKey(t, softkey.Config{})
	old, _ := newKey(t, softkey.Config{CTAP1Only: true})
	long := make([]byte, softkey.MaxMsgSize+1)
	long[0] = byte(ctap2.CmdGetInfo)
	for name, test := range map[string]struct {
		key     *softkey.Authenticator
		request []byte
		want    ctap2.Status
	}{
		"empty":              {a, nil, ctap2.ErrInvalidCommand},
		"unknown":            {a, []byte{0x55}, ctap2.ErrInvalidCommand},
		"no CTAP2":           {old, []byte{byte(ctap2.CmdGetInfo)}, ctap2.ErrInvalidCommand},
		"too long":           {a, long, ctap2.ErrRequestTooLarge},
		"reset, and garbage": {a, []byte{byte(ctap2.CmdReset), 0x30}, ctap2.ErrCBORUnexpectedType},
		"reset, cut":         {a, []byte{byte(ctap2.CmdReset), 0xA1}, ctap2.ErrInvalidCBOR},
		"touch, unknown":     {a, []byte{byte(ctap2.CmdSelection), 0xA1, 0x18, 0x63, 1}, ctap2.StatusOK},
		"no parameters":      {a, []byte{byte(ctap2.CmdMakeCredential)}, ctap2.ErrMissingParameter},
		"cut":                {a, []byte{byte(ctap2.CmdMakeCredential), 0xA1}, ctap2.ErrInvalidCBOR},
		"unknown subcommand": {a, []byte{byte(ctap2.CmdClientPIN), 0xA1, 2, 0x18, 0x63}, ctap2.ErrInvalidSubcommand},
		"no sensor":          {a, []byte{byte(ctap2.CmdClientPIN), 0xA1, 2, byte(ctap2.SubGetUVRetries)}, ctap2.ErrInvalidSubcommand},
		"no protocol":        {a, []byte{byte(ctap2.CmdClientPIN), 0xA1, 2, byte(ctap2.SubGetKeyAgreement)}, ctap2.ErrMissingParameter},
		"unknown protocol":   {a, []byte{byte(ctap2.CmdClientPIN), 0xA2, 1, 3, 2, byte(ctap2.SubGetKeyAgreement)}, ctap2.ErrInvalidParameter},
	} {
		response, err := test.key.CBOR(t.Context(), test.request, nil)
		if err != nil || len(response) != 1 || ctap2.Status(response[0]) != test.want {
			t.Errorf("%s: %x, %v; want %v", name, response, err, test.want)
		}
	}
}

// TestClientPINReportsTheFirstError leaves out one mandatory parameter after the other; only then
// come the protocol, and the state of the PIN (CTAP 2.2, sections 6.5.5.5 to 6.5.5.7).
func TestClientPINReportsTheFirstError(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	agreement, err := c.KeyAgreement(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	permissions := ctap2.PermissionGetAssertion
	full := func(sub ctap2.ClientPINSubcommand) *ctap2.ClientPINRequest {
		r := &ctap2.ClientPINRequest{PINUVAuthProtocol: 2, Subcommand: sub, KeyAgreement: agreement}
		switch sub {
		case ctap2.SubSetPIN:
			r.NewPINEnc, r.PINUVAuthParam = make([]byte, 80), make([]byte, 32)
		case ctap2.SubChangePIN:
			r.NewPINEnc, r.PINUVAuthParam, r.PINHashEnc = make([]byte, 80), make([]byte, 32), make([]byte, 32)
		case ctap2.SubGetPINToken:
			r.PINHashEnc = make([]byte, 32)
		case ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions:
			r.PINHashEnc, r.Permissions, r.RPID = make([]byte, 32), &permissions, rpID
		case ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions:
			r.Permissions, r.RPID = &permissions, rpID
		}
		return r
	}
	for sub, complete := range map[ctap2.ClientPINSubcommand]ctap2.Status{
		ctap2.SubSetPIN:      ctap2.ErrPINAuthInvalid,
		ctap2.SubChangePIN:   ctap2.ErrPINNotSet,
		ctap2.SubGetPINToken: ctap2.ErrPINNotSet,
		ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions: ctap2.ErrPINNotSet,
		ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions:  ctap2.ErrNotAllowed,
	} {
		check := func(name string, r *ctap2.ClientPINRequest, want ctap2.Status) {
			t.Helper()
			if _, err := c.ClientPIN(t.Context(), r); !errors.Is(err, want) {
				t.Errorf("subcommand %d, %s: %v, want %v", sub, name, err, want)
			}
		}
		check("complete", full(sub), complete)
		for name, leave := range map[string]func(r *ctap2.ClientPINRequest) bool{
			"no protocol":  func(r *ctap2.ClientPINRequest) bool { r.PINUVAuthProtocol = 0; return true },
			"no agreement": func(r *ctap2.ClientPINRequest) bool { r.KeyAgreement = nil; return true },
			"no new PIN":   func(r *ctap2.ClientPINRequest) bool { was := r.NewPINEnc; r.NewPINEnc = nil; return was != nil },
			"no PIN hash":  func(r *ctap2.ClientPINRequest) bool { was := r.PINHashEnc; r.PINHashEnc = nil; return was != nil },
			"no param": func(r *ctap2.ClientPINRequest) bool {
				was := r.PINUVAuthParam
				r.PINUVAuthParam = nil
				return was != nil
			},
			"no permissions": func(r *ctap2.ClientPINRequest) bool { was := r.Permissions; r.Permissions = nil; return was != nil },
			"no RP":          func(r *ctap2.ClientPINRequest) bool { was := r.RPID; r.RPID = ""; return was != "" },
		} {
			r := full(sub)
			if !leave(r) {
				continue
			}
			if r.PINUVAuthProtocol != 0 {
				r.PINUVAuthProtocol = 7 // unknown: the later error
			}
			check(name, r, ctap2.ErrMissingParameter)
		}
		r := full(sub)
		r.PINUVAuthProtocol = 7
		check("unknown protocol", r, ctap2.ErrInvalidParameter)
	}
	r := full(ctap2.SubGetPINToken)
	r.Permissions = &permissions
	if _, err := c.ClientPIN(t.Context(), r); !errors.Is(err, ctap2.ErrInvalidParameter) {
		t.Errorf("getPinToken with permissions: %v, want INVALID_PARAMETER", err)
	}
}
