package softkey_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

const rpID = "example.org"

var clientDataHash = sha256.Sum256([]byte("client data"))

func newKey(t testing.TB, cfg softkey.Config) (*softkey.Authenticator, *ctap2.Client) {
	t.Helper()
	a, err := softkey.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, ctap2.NewClient(a, nil)
}

// register makes a credential; change, if not nil, alters the request first.
func register(t testing.TB, c *ctap2.Client, change func(*ctap2.MakeCredentialRequest)) *ctap2.MakeCredentialResponse {
	t.Helper()
	r := creation()
	if change != nil {
		change(r)
	}
	made, err := c.MakeCredential(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func creation() *ctap2.MakeCredentialRequest {
	return &ctap2.MakeCredentialRequest{
		ClientDataHash:   clientDataHash[:],
		RP:               ctap2.RP{ID: rpID, Name: "Example"},
		User:             ctap2.User{ID: []byte("alice"), Name: "alice", DisplayName: "Alice"},
		PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.ES256, Type: ctap2.TypePublicKey}},
	}
}

func wantStatus(t testing.TB, err error, want ctap2.Status) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
}

func TestEveryAlgorithmSignsWhatItsPublicKeyVerifies(t *testing.T) {
	for _, alg := range []cose.Algorithm{cose.ES256, cose.ES384, cose.EdDSA, cose.RS256} {
		for _, rk := range []bool{false, true} {
			_, c := newKey(t, softkey.Config{})
			made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
				r.PubKeyCredParams[0].Alg = alg
				r.Options = &ctap2.Options{RK: &rk}
			})
			data, err := made.ParsedAuthData()
			if err != nil {
				t.Fatal(err)
			}
			if data.PublicKey.Alg != alg {
				t.Errorf("the key's algorithm is %v, want %v", data.PublicKey.Alg, alg)
			}
			got, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
				RPID: rpID, ClientDataHash: clientDataHash[:],
				AllowList: []ctap2.CredentialDescriptor{{ID: data.CredentialID, Type: ctap2.TypePublicKey}},
			})
			if err != nil {
				t.Fatalf("%v, rk %v: %v", alg, rk, err)
			}
			if err := data.PublicKey.Verify(append(got.AuthData, clientDataHash[:]...), got.Signature); err != nil {
				t.Errorf("%v, rk %v: %v", alg, rk, err)
			}
		}
	}
}

func TestPINRetriesAndBlocks(t *testing.T) {
	a, c := newKey(t, softkey.Config{})
	if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	try := func(pin string) error {
		_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
		return err
	}
	for n, want := range []ctap2.Status{ctap2.ErrPINInvalid, ctap2.ErrPINInvalid, ctap2.ErrPINAuthBlocked, ctap2.ErrPINAuthBlocked} {
		err := try("9999")
		if !errors.Is(err, want) {
			t.Errorf("wrong PIN number %d: %v, want %v", n+1, err, want)
		}
	}
	if left, cycle, err := c.PINRetries(t.Context()); left != 5 || !cycle || err != nil {
		t.Errorf("retries are %d, power cycle %v, %v; want 5, true", left, cycle, err)
	}
	a.PowerCycle()
	if err := try("1234"); err != nil {
		t.Errorf("the PIN after a power cycle: %v", err)
	}
	if left, _, _ := c.PINRetries(t.Context()); left != 8 {
		t.Errorf("retries are %d after the right PIN, want 8", left)
	}
	for range 8 {
		a.PowerCycle()
		_ = try("9999")
	}
	a.PowerCycle()
	wantStatus(t, try("1234"), ctap2.ErrPINBlocked)
}
