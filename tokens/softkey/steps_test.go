package softkey_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestStepsOfMakeCredential has two things wrong in each request, of steps that follow one another in CTAP
// 2.3, section 6.1.2; the status is that of the earlier one.
func TestStepsOfMakeCredential(t *testing.T) {
	yes, no, empty, wrong := true, false, []byte{}, make([]byte, 32)
	exclude := func(r *ctap2.MakeCredentialRequest, id []byte) {
		r.ExcludeList = []ctap2.CredentialDescriptor{*descriptor(id)}
	}
	badLevel := &ctap2.MakeCredentialExtensions{CredProtect: 9}
	full := softkey.Config{MaxCredentials: 1}
	for name, test := range map[string]struct {
		cfg    softkey.Config
		pin    bool
		deny   bool
		change func(r *ctap2.MakeCredentialRequest, id []byte)
		want   ctap2.Status
	}{
		"the form of an extension, selection": {change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlob: &ctap2.LargeBlobCreateInput{Support: "x"}}
			r.PINUVAuthParam = &empty
		}, want: ctap2.ErrInvalidCBOR},
		"hash, selection": {change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.ClientDataHash, r.PINUVAuthParam = wrong[:31], &empty
		}, want: ctap2.ErrInvalidLength},
		"uv, rk": {cfg: softkey.Config{CTAP2Only: true}, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.Options = &ctap2.Options{UV: &yes, RK: &yes, UP: &no}
		}, want: ctap2.ErrInvalidOption},
		"rk, up": {cfg: softkey.Config{Profile: softkey.ProfileMinimal}, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.Options = &ctap2.Options{RK: &yes, UP: &no}
		}, want: ctap2.ErrUnsupportedOption},
		"up, alwaysUv": {cfg: softkey.Config{AlwaysUV: true}, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.Options = &ctap2.Options{UP: &no}
		}, want: ctap2.ErrInvalidOption},
		"alwaysUv, enterprise": {cfg: softkey.Config{AlwaysUV: true}, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.EnterpriseAttestation = 1
		}, want: ctap2.ErrPUATRequired},
		"no makeCredUvNotRqd, enterprise": {cfg: softkey.Config{Profile: softkey.ProfileFIDO20}, pin: true, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.EnterpriseAttestation = 1
		}, want: ctap2.ErrPUATRequired},
		"authorization, exclude list": {pin: true, change: func(r *ctap2.MakeCredentialRequest, id []byte) {
			r.PINUVAuthParam, r.PINUVAuthProtocol = &wrong, 2
			exclude(r, id)
		}, want: ctap2.ErrPINAuthInvalid},
		"exclude list, presence": {deny: true, change: exclude, want: ctap2.ErrCredentialExcluded},
		"exclude list, extension": {change: func(r *ctap2.MakeCredentialRequest, id []byte) {
			exclude(r, id)
			r.Extensions = badLevel
		}, want: ctap2.ErrCredentialExcluded},
		"presence, extension": {deny: true, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			r.Extensions = badLevel
		}, want: ctap2.ErrOperationDenied},
		"extension, room": {cfg: full, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			resident(r)
			r.User.ID, r.Extensions = []byte("another"), badLevel
		}, want: ctap2.ErrInvalidOption},
		"room": {cfg: full, change: func(r *ctap2.MakeCredentialRequest, _ []byte) {
			resident(r)
			r.User.ID = []byte("another")
		}, want: ctap2.ErrKeyStoreFull},
	} {
		a, c := newKey(t, test.cfg)
		var id []byte
		if !test.cfg.AlwaysUV {
			id = credentialID(t, register(t, c, func(r *ctap2.MakeCredentialRequest) {
				if test.cfg.MaxCredentials == 1 {
					resident(r)
				}
			}))
		}
		if test.pin {
			if err := c.SetPIN(t.Context(), a.Info().Protocol(), []byte(pin)); err != nil {
				t.Fatal(err)
			}
		}
		if test.deny {
			if err := a.SetPresence(softkey.PresenceDeny, 0); err != nil {
				t.Fatal(err)
			}
		}
		r := creation()
		test.change(r, id)
		if err := exchange(t, a, ctap2.CmdMakeCredential, r, nil); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestStepsOfGetAssertion is the same for CTAP 2.3, section 6.2.2.
func TestStepsOfGetAssertion(t *testing.T) {
	yes, no, empty := true, false, []byte{}
	stranger := []byte("another key's")
	notTrue := &ctap2.GetAssertionExtensions{LargeBlobKey: &no}
	for name, test := range map[string]struct {
		cfg    softkey.Config
		deny   bool
		change func(r *ctap2.GetAssertionRequest)
		want   ctap2.Status
	}{
		"list, selection": {change: func(r *ctap2.GetAssertionRequest) {
			r.AllowList, r.PINUVAuthParam = make([]ctap2.CredentialDescriptor, 65), &empty
			for i := range r.AllowList {
				r.AllowList[i] = *descriptor(stranger)
			}
		}, want: ctap2.ErrLimitExceeded},
		"the form of an extension, option": {change: func(r *ctap2.GetAssertionRequest) {
			r.Extensions = &ctap2.GetAssertionExtensions{LargeBlob: &ctap2.LargeBlobInput{}}
			r.Options = &ctap2.Options{RK: &yes}
		}, want: ctap2.ErrInvalidCBOR},
		"uv, rk": {change: func(r *ctap2.GetAssertionRequest) { r.Options = &ctap2.Options{UV: &yes, RK: &yes} }, want: ctap2.ErrInvalidOption},
		"rk of 2019": {cfg: softkey.Config{Profile: softkey.ProfileFIDO20}, change: func(r *ctap2.GetAssertionRequest) {
			r.Options = &ctap2.Options{RK: &yes}
		}, want: ctap2.ErrInvalidOption},
		"option, alwaysUv": {cfg: softkey.Config{AlwaysUV: true}, change: func(r *ctap2.GetAssertionRequest) {
			r.Options = &ctap2.Options{RK: &yes}
		}, want: ctap2.ErrUnsupportedOption},
		"alwaysUv, credentials": {cfg: softkey.Config{AlwaysUV: true}, change: func(r *ctap2.GetAssertionRequest) {
			r.AllowList[0].ID = stranger
		}, want: ctap2.ErrPUATRequired},
		"credentials, presence": {deny: true, change: func(r *ctap2.GetAssertionRequest) { r.AllowList[0].ID = stranger }, want: ctap2.ErrNoCredentials},
		"credentials, extension": {cfg: softkey.Config{Profile: softkey.ProfileFIDO21}, change: func(r *ctap2.GetAssertionRequest) {
			r.AllowList[0].ID, r.Extensions = stranger, notTrue
		}, want: ctap2.ErrNoCredentials},
		"presence, extension": {cfg: softkey.Config{Profile: softkey.ProfileFIDO21}, deny: true, change: func(r *ctap2.GetAssertionRequest) {
			r.Extensions = notTrue
		}, want: ctap2.ErrOperationDenied},
	} {
		a, c := newKey(t, test.cfg)
		r := assertion(stranger)
		if !test.cfg.AlwaysUV {
			r = assertion(credentialID(t, register(t, c, nil)))
		}
		if test.deny {
			if err := a.SetPresence(softkey.PresenceDeny, 0); err != nil {
				t.Fatal(err)
			}
		}
		test.change(r)
		if err := exchange(t, a, ctap2.CmdGetAssertion, r, nil); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// pinRequest is a request of clientPIN as the platform builds it, with what may be wrong in it.
type pinRequest struct {
	sub         ctap2.ClientPINSubcommand
	old, new    string
	badParam    bool
	permissions ctap2.Permission
}

func (p pinRequest) send(t *testing.T, a *softkey.Authenticator, c *ctap2.Client) error {
	t.Helper()
	agreement, err := c.KeyAgreement(t.Context(), pinuv.Two)
	if err != nil {
		t.Fatal(err)
	}
	platform, secret, err := pinuv.Two.Encapsulate(agreement)
	if err != nil {
		t.Fatal(err)
	}
	encrypt := func(b []byte) []byte {
		enc, err := pinuv.Two.Encrypt(secret, b)
		if err != nil {
			t.Fatal(err)
		}
		return enc
	}
	r := &ctap2.ClientPINRequest{PINUVAuthProtocol: pinuv.Two, Subcommand: p.sub, KeyAgreement: platform}
	if p.old != "" {
		hash := pinuv.PINHash([]byte(p.old))
		r.PINHashEnc = encrypt(hash[:])
	}
	if p.new != "" {
		padded := make([]byte, 64)
		copy(padded, p.new)
		r.NewPINEnc = encrypt(padded)
		r.PINUVAuthParam = pinuv.Two.Authenticate(secret, append(append([]byte{}, r.NewPINEnc...), r.PINHashEnc...))
		if p.badParam {
			r.PINUVAuthParam[0] ^= 1
		}
	}
	if p.permissions != 0 {
		r.Permissions, r.RPID = &p.permissions, rpID
	}
	return exchange(t, a, ctap2.CmdClientPIN, r, new(ctap2.ClientPINResponse))
}

// TestStepsOfClientPIN is the same for CTAP 2.3, sections 6.5.5.5 to 6.5.5.7.3.
func TestStepsOfClientPIN(t *testing.T) {
	const (
		withPIN = ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions
		withUV  = ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions
	)
	for name, test := range map[string]struct {
		cfg     softkey.Config
		pin     bool
		wrong   int // PINs tried before, with power cycles if more than three
		request pinRequest
		want    ctap2.Status
		left    uint // retries afterwards
	}{
		"set: there is one, param":      {pin: true, request: pinRequest{sub: ctap2.SubSetPIN, new: "12", badParam: true}, want: ctap2.ErrPINAuthInvalid, left: 8},
		"set: param, policy":            {request: pinRequest{sub: ctap2.SubSetPIN, new: "12", badParam: true}, want: ctap2.ErrPINAuthInvalid, left: 8},
		"set: policy":                   {request: pinRequest{sub: ctap2.SubSetPIN, new: "12"}, want: ctap2.ErrPINPolicyViolation, left: 8},
		"change: none, param":           {request: pinRequest{sub: ctap2.SubChangePIN, old: "1", new: "2", badParam: true}, want: ctap2.ErrPINNotSet, left: 8},
		"change: param, PIN":            {pin: true, request: pinRequest{sub: ctap2.SubChangePIN, old: "9999", new: "12", badParam: true}, want: ctap2.ErrPINAuthInvalid, left: 8},
		"change: PIN, policy":           {pin: true, request: pinRequest{sub: ctap2.SubChangePIN, old: "9999", new: "12"}, want: ctap2.ErrPINInvalid, left: 7},
		"change: policy":                {pin: true, request: pinRequest{sub: ctap2.SubChangePIN, old: pin, new: "12"}, want: ctap2.ErrPINPolicyViolation, left: 8},
		"change: power cycle, param":    {pin: true, wrong: 3, request: pinRequest{sub: ctap2.SubChangePIN, old: pin, new: "5678", badParam: true}, want: ctap2.ErrPINAuthBlocked, left: 5},
		"change: blocked, param":        {pin: true, wrong: 8, request: pinRequest{sub: ctap2.SubChangePIN, old: pin, new: "5678", badParam: true}, want: ctap2.ErrPINBlocked, left: 0},
		"token: permission, none":       {request: pinRequest{sub: withPIN, old: pin, permissions: ctap2.PermissionBioEnrollment}, want: ctap2.ErrUnauthorizedPermission, left: 8},
		"token: none":                   {request: pinRequest{sub: withPIN, old: pin, permissions: ctap2.PermissionGetAssertion}, want: ctap2.ErrPINNotSet, left: 8},
		"token: permission, PIN":        {pin: true, request: pinRequest{sub: withPIN, old: "9999", permissions: ctap2.PermissionBioEnrollment}, want: ctap2.ErrUnauthorizedPermission, left: 8},
		"token: power cycle":            {pin: true, wrong: 3, request: pinRequest{sub: withPIN, old: pin, permissions: ctap2.PermissionGetAssertion}, want: ctap2.ErrPINAuthBlocked, left: 5},
		"token: blocked":                {pin: true, wrong: 8, request: pinRequest{sub: withPIN, old: pin, permissions: ctap2.PermissionGetAssertion}, want: ctap2.ErrPINBlocked, left: 0},
		"UV: permission, no sensor":     {request: pinRequest{sub: withUV, permissions: ctap2.PermissionBioEnrollment}, want: ctap2.ErrUnauthorizedPermission, left: 8},
		"UV: no sensor":                 {request: pinRequest{sub: withUV, permissions: ctap2.PermissionGetAssertion}, want: ctap2.ErrNotAllowed, left: 8},
		"UV: no finger yet":             {cfg: softkey.Config{Profile: softkey.ProfileFIDO23Bio}, request: pinRequest{sub: withUV, permissions: ctap2.PermissionGetAssertion}, want: ctap2.ErrNotAllowed, left: 8},
		"UV: configuration, no uvAcfg":  {cfg: softkey.Config{Verification: softkey.VerificationGrant}, request: pinRequest{sub: withUV, permissions: ctap2.PermissionConfig}, want: ctap2.ErrUnauthorizedPermission, left: 8},
		"UV: the sensor does not know":  {cfg: softkey.Config{Verification: softkey.VerificationDeny}, request: pinRequest{sub: withUV, permissions: ctap2.PermissionGetAssertion}, want: ctap2.ErrUVInvalid, left: 8},
		"UV: it knows, noMcGa with PIN": {cfg: softkey.Config{Verification: softkey.VerificationGrant, NoMcGaWithPIN: true}, request: pinRequest{sub: withUV, permissions: ctap2.PermissionGetAssertion}, left: 8},
	} {
		a, c := newKey(t, test.cfg)
		if test.pin {
			if err := c.SetPIN(t.Context(), 2, []byte(pin)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range test.wrong {
			if n%3 == 0 {
				a.PowerCycle()
			}
			_ = pinRequest{sub: withPIN, old: "9999", permissions: ctap2.PermissionGetAssertion}.send(t, a, c)
		}
		if err := test.request.send(t, a, c); test.want == 0 && err != nil || test.want != 0 && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if left, _, err := c.PINRetries(t.Context()); left != test.left || err != nil {
			t.Errorf("%s: %d retries left, %v; want %d", name, left, err, test.left)
		}
	}
}

// TestUVRetries is CTAP 2.3, section 6.5.2.3: three fingers, then the PIN, which gives three more.
func TestUVRetries(t *testing.T) {
	a, c := newKey(t, softkey.Config{Verification: softkey.VerificationDeny})
	if err := c.SetPIN(t.Context(), 2, []byte(pin)); err != nil {
		t.Fatal(err)
	}
	ask := pinRequest{sub: ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions, permissions: ctap2.PermissionGetAssertion}
	for i, want := range []ctap2.Status{ctap2.ErrUVInvalid, ctap2.ErrUVInvalid, ctap2.ErrUVBlocked, ctap2.ErrUVBlocked} {
		if left, err := c.UVRetries(t.Context()); int(left) != max(0, 3-i) || err != nil {
			t.Errorf("%d UV retries, %v; want %d", left, err, max(0, 3-i))
		}
		if err := ask.send(t, a, c); !errors.Is(err, want) {
			t.Errorf("finger number %d: %v, want %v", i+1, err, want)
		}
	}
	a.PowerCycle()
	wantStatus(t, ask.send(t, a, c), ctap2.ErrUVBlocked)
	tokenFor(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
	if left, err := c.UVRetries(t.Context()); left != 3 || err != nil {
		t.Errorf("%d UV retries after the PIN, %v; want 3", left, err)
	}
}

// TestLengths are the limits of what a request names.
func TestLengths(t *testing.T) {
	a, _ := newKey(t, softkey.Config{})
	for _, test := range []struct {
		rp, user int
		want     ctap2.Status
	}{
		{1, 1, 0}, {255, 63, 0}, {256, 64, 0}, {1000, 64, 0}, {1, 65, ctap2.ErrInvalidLength}, {1, 0, 0}, {0, 1, ctap2.ErrMissingParameter},
	} {
		r := creation()
		resident(r)
		r.RP.ID, r.User.ID = strings.Repeat("r", test.rp), make([]byte, test.user)
		var made ctap2.MakeCredentialResponse
		err := exchange(t, a, ctap2.CmdMakeCredential, r, &made)
		if test.want == 0 && err != nil || test.want != 0 && !errors.Is(err, test.want) {
			t.Errorf("RP ID of %d, user id of %d bytes: %v, want %v", test.rp, test.user, err, test.want)
		}
		if test.want != 0 {
			continue
		}
		get := assertion(nil)
		get.RPID = r.RP.ID
		var got ctap2.GetAssertionResponse
		if err := exchange(t, a, ctap2.CmdGetAssertion, get, &got); err != nil || len(got.User.ID) != test.user {
			t.Errorf("RP ID of %d bytes: %v", test.rp, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		r := assertion(nil)
		r.ClientDataHash = make([]byte, n)
		if err := exchange(t, a, ctap2.CmdGetAssertion, r, nil); !errors.Is(err, ctap2.ErrInvalidLength) {
			t.Errorf("hash of %d bytes: %v", n, err)
		}
	}
}

// TestCredentialIDLength is maxCredentialIdLength: what this key made fits, what is longer is not its own.
func TestCredentialIDLength(t *testing.T) {
	for profile, cfg := range map[string]softkey.Config{
		"2.1":                     {Profile: softkey.ProfileFIDO21},
		"2.1 with an RSA of ours": {Profile: softkey.ProfileFIDO21, Algorithms: []cose.Algorithm{cose.ES256, cose.RS256}},
		"2.3":                     {Profile: softkey.ProfileFIDO23},
		"2.3, all":                {Algorithms: softkey.Algorithms()},
	} {
		a, _ := newKey(t, cfg)
		limit := int(a.Info().MaxCredentialIDLength)
		blob := make([]byte, a.Info().MaxCredBlobLength)
		for _, p := range a.Info().Algorithms {
			r := creation()
			r.PubKeyCredParams[0] = p
			r.Extensions = &ctap2.MakeCredentialExtensions{CredBlob: &blob}
			var made ctap2.MakeCredentialResponse
			if err := exchange(t, a, ctap2.CmdMakeCredential, r, &made); err != nil {
				t.Fatal(err)
			}
			if n := len(credentialID(t, &made)); n > limit {
				t.Errorf("%s, %v: an id of %d bytes, more than %d", profile, p.Alg, n, limit)
			}
			if err := exchange(t, a, ctap2.CmdGetAssertion, assertion(credentialID(t, &made)), new(ctap2.GetAssertionResponse)); err != nil {
				t.Errorf("%s, %v: %v", profile, p.Alg, err)
			}
		}
		for n := limit - 1; n <= limit+1; n++ {
			if err := exchange(t, a, ctap2.CmdGetAssertion, assertion(make([]byte, n)), nil); !errors.Is(err, ctap2.ErrNoCredentials) {
				t.Errorf("%s, id of %d bytes: %v", profile, n, err)
			}
		}
	}
}
