package softkey_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// ctap2Profiles are those that speak CTAP2.
func ctap2Profiles() []softkey.Profile {
	return slices.DeleteFunc(softkey.Profiles(), func(p softkey.Profile) bool { return p == softkey.ProfileU2F })
}

// TestProfilesTellWhatTheyAre lists what getInfo says of a fresh key of each kind.
func TestProfilesTellWhatTheyAre(t *testing.T) {
	for profile, want := range map[softkey.Profile]struct {
		versions, extensions, options string
		protocols                     []ctap2.PINUVProtocol
		msg, list, id                 uint
		algorithms                    int
	}{
		softkey.ProfileMinimal: {versions: "U2F_V2 FIDO_2_0", options: "-plat up"},
		softkey.ProfileFIDO20: {
			versions: "U2F_V2 FIDO_2_0", extensions: "hmac-secret", options: "-clientPin -plat rk up",
			protocols: []ctap2.PINUVProtocol{1}, msg: 1200,
		},
		softkey.ProfileFIDO21: {
			versions:   "U2F_V2 FIDO_2_0 FIDO_2_1_PRE FIDO_2_1",
			extensions: "credProtect hmac-secret largeBlobKey credBlob minPinLength",
			options: "-alwaysUv authnrCfg -clientPin credMgmt credentialMgmtPreview -ep largeBlobs makeCredUvNotRqd " +
				"pinUvAuthToken -plat rk setMinPINLength up",
			protocols: []ctap2.PINUVProtocol{2, 1}, msg: 1280, list: 8, id: 128, algorithms: 3,
		},
		softkey.ProfileFIDO23: {
			versions:   "U2F_V2 FIDO_2_0 FIDO_2_1_PRE FIDO_2_1 FIDO_2_2 FIDO_2_3",
			extensions: "credProtect hmac-secret hmac-secret-mc largeBlob credBlob minPinLength pinComplexityPolicy thirdPartyPayment",
			options: "-alwaysUv authnrCfg -clientPin credMgmt credentialMgmtPreview -ep makeCredUvNotRqd perCredMgmtRO pinUvAuthToken -plat rk " +
				"setMinPINLength up",
			protocols: []ctap2.PINUVProtocol{2, 1}, msg: 7609, list: 64, id: 512, algorithms: 9,
		},
		softkey.ProfileFIDO23Bio: {
			versions:   "U2F_V2 FIDO_2_0 FIDO_2_1_PRE FIDO_2_1 FIDO_2_2 FIDO_2_3",
			extensions: "credProtect hmac-secret hmac-secret-mc largeBlob credBlob minPinLength pinComplexityPolicy thirdPartyPayment",
			options: "-alwaysUv authnrCfg -bioEnroll -clientPin credMgmt credentialMgmtPreview -ep makeCredUvNotRqd perCredMgmtRO pinUvAuthToken -plat rk " +
				"setMinPINLength up -userVerificationMgmtPreview -uv uvAcfg uvBioEnroll",
			protocols: []ctap2.PINUVProtocol{2, 1}, msg: 7609, list: 64, id: 512, algorithms: 9,
		},
	} {
		_, c := newKey(t, softkey.Config{Profile: profile})
		info, err := c.GetInfo(t.Context())
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		var options []string
		for _, name := range slices.Sorted(maps.Keys(info.Options)) {
			if !info.Options[name] {
				name = "-" + name
			}
			options = append(options, name)
		}
		for what, pair := range map[string][2]string{
			"versions":   {strings.Join(info.Versions, " "), want.versions},
			"extensions": {strings.Join(info.Extensions, " "), want.extensions},
			"options":    {strings.Join(options, " "), want.options},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: the %s are\n%s\nwant\n%s", profile, what, pair[0], pair[1])
			}
		}
		if !slices.Equal(info.PINUVAuthProtocols, want.protocols) || info.MaxMsgSize != want.msg ||
			info.MaxCredentialCountInList != want.list || info.MaxCredentialIDLength != want.id || len(info.Algorithms) != want.algorithms {
			t.Errorf("%s: %+v", profile, info)
		}
		later := profile == softkey.ProfileFIDO23 || profile == softkey.ProfileFIDO23Bio
		if (info.AttestationFormats != nil) != later || (info.MaxPINLength != 0) != later || (info.LongTouchForReset != nil) != later ||
			(info.AuthenticatorConfigCommands != nil) != later || info.EncIdentifier != nil || info.EncCredStoreState != nil {
			t.Errorf("%s: members of CTAP 2.2 and 2.3: %+v", profile, info)
		}
	}
}

func TestProfileMustBeKnown(t *testing.T) {
	for _, cfg := range []softkey.Config{
		{Profile: "fido3"},
		{Profile: softkey.ProfileFIDO20, CTAP1Only: true},
		{Profile: softkey.ProfileU2F, CTAP2Only: true},
	} {
		if _, err := softkey.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestU2FProfileKnowsNoCTAP2(t *testing.T) {
	for _, cfg := range []softkey.Config{{Profile: softkey.ProfileU2F}, {CTAP1Only: true}} {
		a, c := newKey(t, cfg)
		_, err := c.GetInfo(t.Context())
		wantStatus(t, err, ctap2.ErrInvalidCommand)
		if info := a.Info(); !slices.Equal(info.Versions, []string{"U2F_V2"}) {
			t.Errorf("the versions are %v", info.Versions)
		}
		made, err := ctap2.NewU2FClient(a, nil).MakeCredential(t.Context(), creation())
		if err != nil || made.Fmt != ctap2.FormatFIDOU2F {
			t.Errorf("%v, %v", made, err)
		}
	}
}

// TestProfilesRefuseWhatTheyLack asks every kind of key for every command.
func TestProfilesRefuseWhatTheyLack(t *testing.T) {
	has := map[softkey.Profile][]ctap2.Cmd{
		softkey.ProfileMinimal:   {},
		softkey.ProfileFIDO20:    {ctap2.CmdClientPIN},
		softkey.ProfileFIDO21:    {ctap2.CmdClientPIN, ctap2.CmdSelection, ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview, ctap2.CmdLargeBlobs, ctap2.CmdConfig},
		softkey.ProfileFIDO23:    {ctap2.CmdClientPIN, ctap2.CmdSelection, ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview, ctap2.CmdConfig},
		softkey.ProfileFIDO23Bio: {ctap2.CmdClientPIN, ctap2.CmdSelection, ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview, ctap2.CmdConfig, ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview},
	}
	for _, profile := range ctap2Profiles() {
		a, _ := newKey(t, softkey.Config{Profile: profile})
		for cmd, params := range map[ctap2.Cmd][]byte{
			ctap2.CmdClientPIN:                   {0xA1, 2, 1},
			ctap2.CmdSelection:                   nil,
			ctap2.CmdCredentialManagement:        {0xA1, 1, 1},
			ctap2.CmdCredentialManagementPreview: {0xA1, 1, 1},
			ctap2.CmdLargeBlobs:                  {0xA2, 1, 1, 3, 0},
			ctap2.CmdConfig:                      {0xA1, 1, 1},
			ctap2.CmdBioEnrollment:               {0xA1, 6, 0xF5},
			ctap2.CmdBioEnrollmentPreview:        {0xA1, 6, 0xF5},
		} {
			response, err := a.CBOR(t.Context(), append([]byte{byte(cmd)}, params...), nil)
			if err != nil {
				t.Fatal(err)
			}
			refused := ctap2.Status(response[0]) == ctap2.ErrInvalidCommand
			if had := slices.Contains(has[profile], cmd); refused == had {
				t.Errorf("%s, command %#02x: %v; it has the command: %v", profile, byte(cmd), ctap2.Status(response[0]), had)
			}
		}
	}
}

// TestMessageSize sends a message of every size around the limit; the command byte counts (CTAP 2.3,
// section 6.4, maxMsgSize).
func TestMessageSize(t *testing.T) {
	for _, profile := range ctap2Profiles() {
		a, c := newKey(t, softkey.Config{Profile: profile})
		info, err := c.GetInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		limit := int(info.MessageSize())
		for n := limit - 1; n <= limit+1; n++ {
			// The allow list of one long id makes the message as long as it shall be.
			r := &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: clientDataHash[:]}
			pad := n
			var message []byte
			for {
				r.AllowList = []ctap2.CredentialDescriptor{{ID: make([]byte, pad), Type: ctap2.TypePublicKey}}
				if message, err = ctap2.MarshalRequest(ctap2.CmdGetAssertion, r); err != nil {
					t.Fatal(err)
				}
				if len(message) == n {
					break
				}
				pad += n - len(message)
			}
			want := ctap2.ErrNoCredentials
			if n > limit {
				want = ctap2.ErrRequestTooLarge
			}
			response, err := a.CBOR(t.Context(), message, nil)
			if err != nil || ctap2.Status(response[0]) != want {
				t.Errorf("%s, %d bytes: %v, %v; want %v", profile, n, ctap2.Status(response[0]), err, want)
			}
		}
	}
}

// TestListCount is maxCredentialCountInList.
func TestListCount(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		a, c := newKey(t, softkey.Config{Profile: profile})
		limit := int(a.Info().MaxCredentialCountInList)
		for n := limit - 1; n <= limit+1; n++ {
			var list []ctap2.CredentialDescriptor
			for i := range n {
				list = append(list, ctap2.CredentialDescriptor{ID: []byte{byte(i)}, Type: ctap2.TypePublicKey})
			}
			get, make := assertion(nil), creation()
			get.AllowList, make.ExcludeList = list, list
			_, gotErr := c.GetAssertion(t.Context(), get)
			_, madeErr := c.MakeCredential(t.Context(), make)
			if n <= limit && (!errors.Is(gotErr, ctap2.ErrNoCredentials) || madeErr != nil) {
				t.Errorf("%s, %d: %v, %v", profile, n, gotErr, madeErr)
			}
			if n > limit && (!errors.Is(gotErr, ctap2.ErrLimitExceeded) || !errors.Is(madeErr, ctap2.ErrLimitExceeded)) {
				t.Errorf("%s, %d: %v, %v; want LIMIT_EXCEEDED", profile, n, gotErr, madeErr)
			}
		}
	}
}

// TestFIDO20 is how a key of 2019 differs where it has a command.
func TestFIDO20(t *testing.T) {
	a, c := newKey(t, softkey.Config{Profile: softkey.ProfileFIDO20})
	no, yes, wrong := false, true, make([]byte, 16)
	for name, change := range map[string]struct {
		change func(*ctap2.MakeCredentialRequest)
		want   ctap2.Status
	}{
		"uv":       {func(r *ctap2.MakeCredentialRequest) { r.Options = &ctap2.Options{UV: &yes} }, ctap2.ErrUnsupportedOption},
		"up":       {func(r *ctap2.MakeCredentialRequest) { r.Options = &ctap2.Options{UP: &no} }, ctap2.ErrInvalidOption},
		"protocol": {func(r *ctap2.MakeCredentialRequest) { r.PINUVAuthParam, r.PINUVAuthProtocol = &wrong, 2 }, ctap2.ErrPINAuthInvalid},
		"ES384":    {func(r *ctap2.MakeCredentialRequest) { r.PubKeyCredParams[0].Alg = cose.ES384 }, ctap2.ErrUnsupportedAlgorithm},
	} {
		r := creation()
		change.change(r)
		if err := exchange(t, a, ctap2.CmdMakeCredential, r, nil); !errors.Is(err, change.want) {
			t.Errorf("%s: %v, want %v", name, err, change.want)
		}
	}
	// An extension that it does not have is ignored.
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
		r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: 3, HMACSecret: &yes, LargeBlobKey: &yes}
	})
	data, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	if want := "\xA1\x6Bhmac-secret\xF5"; string(data.Extensions) != want || made.LargeBlobKey != nil {
		t.Errorf("extensions %x, largeBlobKey %x", data.Extensions, made.LargeBlobKey)
	}
	// The token is the same until the power goes, and good for everything.
	if err := c.SetPIN(t.Context(), 1, []byte(pin)); err != nil {
		t.Fatal(err)
	}
	token := func() *ctap2.Token {
		got, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 1, PIN: []byte(pin), Legacy: true})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first, id := token(), data.CredentialID
	for _, rp := range []string{rpID, rpID, "example.com"} {
		want := error(nil)
		if rp != rpID {
			want = ctap2.ErrNoCredentials
		}
		if err := assertWith(t, c, first, id, rp); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", rp, err, want)
		}
	}
	if !bytes.Equal(first.Authenticate([]byte("m")), token().Authenticate([]byte("m"))) {
		t.Error("the second token is another one")
	}
	a.PowerCycle()
	wantStatus(t, assertWith(t, c, first, id, rpID), ctap2.ErrPINAuthInvalid)
	// With a PIN set every credential needs it: there is no makeCredUvNotRqd.
	_, err = c.MakeCredential(t.Context(), creation())
	wantStatus(t, err, ctap2.ErrPUATRequired)
	response := new(ctap2.ClientPINResponse)
	if err := exchange(t, a, ctap2.CmdClientPIN, &ctap2.ClientPINRequest{Subcommand: ctap2.SubGetUVRetries}, nil); !errors.Is(err, ctap2.ErrInvalidParameter) {
		t.Errorf("getUVRetries: %v", err)
	}
	if err := exchange(t, a, ctap2.CmdClientPIN, &ctap2.ClientPINRequest{Subcommand: ctap2.SubGetPINRetries}, response); err != nil || response.PowerCycleState != nil {
		t.Errorf("getPINRetries: %+v, %v", response, err)
	}
}

func TestMinimalStoresNothing(t *testing.T) {
	a, c := newKey(t, softkey.Config{Profile: softkey.ProfileMinimal})
	for _, rk := range []bool{false, true} {
		r := creation()
		r.Options = &ctap2.Options{RK: &rk}
		if err := exchange(t, a, ctap2.CmdMakeCredential, r, nil); !errors.Is(err, ctap2.ErrUnsupportedOption) {
			t.Errorf("rk %v: %v, want UNSUPPORTED_OPTION", rk, err)
		}
	}
	id := credentialID(t, register(t, c, nil))
	if _, err := c.GetAssertion(t.Context(), assertion(id)); err != nil {
		t.Error(err)
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLargeBlobArray is CTAP 2.3, section 12.4: a key has one form of large blobs or the other.
func TestLargeBlobArray(t *testing.T) {
	for _, old := range []bool{false, true} {
		a, _ := newKey(t, softkey.Config{LargeBlobArray: old})
		info := a.Info()
		if info.HasExtension(ctap2.ExtensionLargeBlob) == old || info.HasExtension(ctap2.ExtensionLargeBlobKey) != old ||
			info.Options[ctap2.OptionLargeBlobs] != old || (info.MaxSerializedLargeBlobArray != 0) != old {
			t.Errorf("old form %v: %+v", old, info)
		}
		response, err := a.CBOR(t.Context(), []byte{byte(ctap2.CmdLargeBlobs), 0xA2, 1, 1, 3, 0}, nil)
		if refused := ctap2.Status(response[0]) == ctap2.ErrInvalidCommand; err != nil || refused == old {
			t.Errorf("old form %v: %v, %v", old, ctap2.Status(response[0]), err)
		}
	}
}
