package softkey_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestMakeCredentialReportsTheFirstError has two things wrong in each request; the status is that
// of the earlier step of CTAP 2.2, section 6.1.2.
func TestMakeCredentialReportsTheFirstError(t *testing.T) {
	no, yes, empty, wrong := false, true, []byte{}, make([]byte, 32)
	for name, test := range map[string]struct {
		change func(*ctap2.MakeCredentialRequest)
		want   ctap2.Status
	}{
		"selection before algorithm": {func(r *ctap2.MakeCredentialRequest) {
			r.PINUVAuthParam, r.PubKeyCredParams[0].Alg = &empty, -9999
		}, ctap2.ErrPINInvalid},
		"missing protocol before algorithm": {func(r *ctap2.MakeCredentialRequest) {
			r.PINUVAuthParam, r.PubKeyCredParams[0].Alg = &wrong, -9999
		}, ctap2.ErrMissingParameter},
		"unknown protocol before algorithm": {func(r *ctap2.MakeCredentialRequest) {
			r.PINUVAuthParam, r.PINUVAuthProtocol, r.PubKeyCredParams[0].Alg = &wrong, 7, -9999
		}, ctap2.ErrInvalidParameter},
		"algorithm before option": {func(r *ctap2.MakeCredentialRequest) {
			r.PubKeyCredParams[0].Alg, r.Options = -9999, &ctap2.Options{UP: &no}
		}, ctap2.ErrUnsupportedAlgorithm},
		"option before authorization": {func(r *ctap2.MakeCredentialRequest) {
			r.PINUVAuthParam, r.PINUVAuthProtocol, r.Options = &wrong, 2, &ctap2.Options{UP: &no}
		}, ctap2.ErrInvalidOption},
		"uv without a sensor": {func(r *ctap2.MakeCredentialRequest) {
			r.Options = &ctap2.Options{UV: &yes}
		}, ctap2.ErrInvalidOption},
		"missing verification before enterprise attestation": {func(r *ctap2.MakeCredentialRequest) {
			r.Options, r.EnterpriseAttestation = &ctap2.Options{RK: &yes}, 1
		}, ctap2.ErrPUATRequired},
		"enterprise attestation before authorization": {func(r *ctap2.MakeCredentialRequest) {
			r.EnterpriseAttestation, r.PINUVAuthParam, r.PINUVAuthProtocol = 1, &wrong, 2
		}, ctap2.ErrInvalidParameter},
		"authorization": {func(r *ctap2.MakeCredentialRequest) {
			r.PINUVAuthParam, r.PINUVAuthProtocol = &wrong, 2
		}, ctap2.ErrPINAuthInvalid},
	} {
		_, c := pinKey(t, softkey.Config{})
		r := creation()
		test.change(r)
		if _, err := c.MakeCredential(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestRequestsMustBeCanonical(t *testing.T) {
	a, _ := newKey(t, softkey.Config{})
	for name, test := range map[string]struct {
		request []byte
		want    ctap2.Status
	}{
		"canonical":           {[]byte{byte(ctap2.CmdClientPIN), 0xA2, 1, 1, 2, 1}, ctap2.StatusOK},
		"members in disorder": {[]byte{byte(ctap2.CmdClientPIN), 0xA2, 2, 1, 1, 1}, ctap2.ErrInvalidCBOR},
		"a long integer":      {[]byte{byte(ctap2.CmdClientPIN), 0xA2, 1, 1, 2, 0x18, 1}, ctap2.ErrInvalidCBOR},
	} {
		response, err := a.CBOR(t.Context(), test.request, nil)
		if err != nil || ctap2.Status(response[0]) != test.want {
			t.Errorf("%s: %v, %v; want %v", name, ctap2.Status(response[0]), err, test.want)
		}
	}
}

func TestGetAssertionReportsTheFirstError(t *testing.T) {
	yes, empty, wrong := true, []byte{}, make([]byte, 32)
	for name, test := range map[string]struct {
		change func(*ctap2.GetAssertionRequest)
		want   ctap2.Status
	}{
		"selection before option": {func(r *ctap2.GetAssertionRequest) {
			r.PINUVAuthParam, r.Options = &empty, &ctap2.Options{RK: &yes}
		}, ctap2.ErrPINInvalid},
		"missing protocol before option": {func(r *ctap2.GetAssertionRequest) {
			r.PINUVAuthParam, r.Options = &wrong, &ctap2.Options{RK: &yes}
		}, ctap2.ErrMissingParameter},
		"option before authorization": {func(r *ctap2.GetAssertionRequest) {
			r.PINUVAuthParam, r.PINUVAuthProtocol, r.Options = &wrong, 2, &ctap2.Options{RK: &yes}
		}, ctap2.ErrUnsupportedOption},
		"authorization before credentials": {func(r *ctap2.GetAssertionRequest) {
			r.PINUVAuthParam, r.PINUVAuthProtocol = &wrong, 2
		}, ctap2.ErrPINAuthInvalid},
		"credentials": {func(*ctap2.GetAssertionRequest) {}, ctap2.ErrNoCredentials},
	} {
		_, c := pinKey(t, softkey.Config{})
		r := assertion([]byte("another key's credential"))
		test.change(r)
		if _, err := c.GetAssertion(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestCredProtectLevels(t *testing.T) {
	for level := ctap2.CredProtect(1); level <= 3; level++ {
		_, c := pinKey(t, softkey.Config{})
		token := func(p ctap2.Permission) *ctap2.Token {
			return pinToken(t, c, ctap2.TokenRequest{Permissions: p, RPID: rpID})
		}
		mc := token(ctap2.PermissionMakeCredential)
		made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
			resident(r)
			r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: level}
			r.Authorize(mc)
		})
		id := credentialID(t, made)
		for name, test := range map[string]struct {
			id    []byte
			token bool
			found bool
		}{
			"no list, no UV": {nil, false, level == 1},
			"list, no UV":    {id, false, level <= 2},
			"no list, UV":    {nil, true, true},
			"list, UV":       {id, true, true},
		} {
			r := assertion(test.id)
			if test.token {
				r.Authorize(token(ctap2.PermissionGetAssertion))
			}
			_, err := c.GetAssertion(t.Context(), r)
			if test.found && err != nil || !test.found && !errors.Is(err, ctap2.ErrNoCredentials) {
				t.Errorf("level %d, %s: %v; found must be %v", level, name, err, test.found)
			}
		}
		// Level 3 hides it from the exclude list, too (CTAP 2.2, section 6.1.2, step 12).
		r := creation()
		r.ExcludeList = []ctap2.CredentialDescriptor{{ID: id, Type: ctap2.TypePublicKey}}
		_, err := c.MakeCredential(t.Context(), r)
		if excluded := errors.Is(err, ctap2.ErrCredentialExcluded); excluded != (level < 3) {
			t.Errorf("level %d: exclude list without UV: %v", level, err)
		}
	}
}

func TestSeveralDiscoverableCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newKey(t, softkey.Config{MaxCredentials: 3})
		for _, user := range []string{"a", "b", "c", "b"} { // the second b replaces the first
			register(t, c, func(r *ctap2.MakeCredentialRequest) { resident(r); r.User.ID = []byte(user) })
		}
		r := creation()
		resident(r)
		r.User.ID = []byte("d")
		_, err := c.MakeCredential(t.Context(), r)
		wantStatus(t, err, ctap2.ErrKeyStoreFull)
		first, err := c.GetAssertion(t.Context(), assertion(nil))
		if err != nil {
			t.Fatal(err)
		}
		got := string(first.User.ID)
		if first.NumberOfCredentials != 3 {
			t.Errorf("%d credentials, want 3", first.NumberOfCredentials)
		}
		for range 2 {
			next, err := c.GetNextAssertion(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got += string(next.User.ID)
		}
		if got != "bca" {
			t.Errorf("the order is %s, want bca: the youngest first", got)
		}
		_, err = c.GetNextAssertion(t.Context())
		wantStatus(t, err, ctap2.ErrNotAllowed)

		if _, err := c.GetAssertion(t.Context(), assertion(nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		_, err = c.GetNextAssertion(t.Context())
		wantStatus(t, err, ctap2.ErrNotAllowed)
	})
}

func TestHMACSecret(t *testing.T) {
	for _, protocol := range []ctap2.PINUVProtocol{1, 2} {
		_, c := pinKey(t, softkey.Config{})
		yes := true
		made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
			r.Extensions = &ctap2.MakeCredentialExtensions{HMACSecret: &yes}
		})
		ask := func(token *ctap2.Token) (string, string) {
			salts := [2][]byte{make([]byte, 32), {31: 1}}
			h, err := c.HMACSecret(t.Context(), protocol, salts[0], salts[1])
			if err != nil {
				t.Fatal(err)
			}
			r := assertion(credentialID(t, made))
			r.Extensions = &ctap2.GetAssertionExtensions{HMACSecret: h.Input}
			if token != nil {
				r.Authorize(token)
			}
			got, err := c.GetAssertion(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			data, err := got.ParsedAuthData()
			if err != nil {
				t.Fatal(err)
			}
			one, two, err := h.Outputs(data)
			if err != nil {
				t.Fatal(err)
			}
			return string(one), string(two)
		}
		one, two := ask(nil)
		again, _ := ask(nil)
		if one != again || one == two || len(one) != 32 || len(two) != 32 {
			t.Errorf("protocol %v: the outputs are %x, %x, and again %x", protocol, one, two, again)
		}
		verified, _ := ask(pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID}))
		if verified == one {
			t.Errorf("protocol %v: the output with UV is that without", protocol)
		}
	}
}

func TestResetWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newKey(t, softkey.Config{})
		time.Sleep(11 * time.Second)
		wantStatus(t, c.Reset(t.Context()), ctap2.ErrNotAllowed)
		a.PowerCycle()
		time.Sleep(9 * time.Second)
		if err := c.Reset(t.Context()); err != nil {
			t.Error(err)
		}
		_, c = newKey(t, softkey.Config{ResetWindow: -1})
		time.Sleep(time.Hour)
		if err := c.Reset(t.Context()); err != nil {
			t.Errorf("without a window: %v", err)
		}
	})
}

func TestSeedMakesKeysRepeat(t *testing.T) {
	made := func() string {
		_, c := newKey(t, softkey.Config{Seed: []byte("seed")})
		return string(register(t, c, func(r *ctap2.MakeCredentialRequest) {
			r.PubKeyCredParams = []ctap2.CredentialParameter{{Alg: cose.EdDSA, Type: ctap2.TypePublicKey}}
		}).AuthData)
	}
	if first, second := made(), made(); first != second {
		t.Error("two keys of the same seed make different credentials")
	}
}
