package softkey_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

const (
	origin    = "https://example.org"
	challenge = "dGhlIGNoYWxsZW5nZSBvZiBhIHJlbHlpbmcgcGFydHk"
)

func clientData(t testing.TB, kind string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// credentialJSON is what a browser hands to the relying party.
func credentialJSON(t testing.TB, id []byte, response map[string][]byte) []byte {
	t.Helper()
	encoded := map[string]string{}
	for name, value := range response {
		encoded[name] = base64.RawURLEncoding.EncodeToString(value)
	}
	rawID := base64.RawURLEncoding.EncodeToString(id)
	b, err := json.Marshal(map[string]any{"id": rawID, "rawId": rawID, "type": "public-key", "response": encoded})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func refused(t testing.TB, what string, err error) {
	t.Helper()
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		t.Logf("%s: %s", e.Details, e.DevInfo)
	}
	if err != nil {
		t.Fatalf("go-webauthn refuses the %s: %v", what, err)
	}
}

// relyingParty verifies a registration and an assertion with go-webauthn, whose code is
// not ours.
func relyingParty(t *testing.T, c ctap2.Authenticator, alg cose.Algorithm, wantFormat string, uv bool) {
	t.Helper()
	data := clientData(t, "webauthn.create")
	hash := sha256.Sum256(data)
	r := creation()
	r.ClientDataHash, r.PubKeyCredParams[0].Alg = hash[:], alg
	var options *ctap2.Options
	if uv {
		options = &ctap2.Options{UV: &uv}
	}
	r.Options = options
	made, err := c.MakeCredential(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if made.Fmt != wantFormat {
		t.Errorf("the format is %s, want %s", made.Fmt, wantFormat)
	}
	object, err := made.AttestationObject()
	if err != nil {
		t.Fatal(err)
	}
	id := credentialID(t, made)
	parsed, err := protocol.ParseCredentialCreationResponseBytes(credentialJSON(t, id, map[string][]byte{"clientDataJSON": data, "attestationObject": object}))
	refused(t, "form of the registration", err)
	params := []protocol.CredentialParameter{{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(alg)}}
	_, err = parsed.Verify(challenge, rpID, []string{origin}, nil, nil, protocol.TopOriginExplicitVerificationMode, false, uv, true, nil, params,
		protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
	refused(t, "registration", err)

	data = clientData(t, "webauthn.get")
	hash = sha256.Sum256(data)
	request := assertion(id)
	request.ClientDataHash, request.Options = hash[:], options
	got, err := c.GetAssertion(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	asserted, err := protocol.ParseCredentialRequestResponseBytes(credentialJSON(t, id, map[string][]byte{
		"clientDataJSON": data, "authenticatorData": got.AuthData, "signature": got.Signature,
	}))
	refused(t, "form of the assertion", err)
	public := parsed.Response.AttestationObject.AuthData.AttData.CredentialPublicKey
	verify := func() error {
		return asserted.Verify(challenge, rpID, "", []string{origin}, nil, nil, protocol.TopOriginExplicitVerificationMode, false, uv, true, public, protocol.SignaturePolicy{})
	}
	refused(t, "assertion", verify())
	asserted.Raw.AssertionResponse.AuthenticatorData[36]++ // another counter
	if verify() == nil {
		t.Error("go-webauthn accepts a signature over other authenticator data")
	}
}

func TestRelyingPartyVerifiesEveryAlgorithmAndAttestation(t *testing.T) {
	formats := map[softkey.Attestation]string{softkey.AttestationPacked: "packed", softkey.AttestationSelf: "packed", softkey.AttestationNone: "none"}
	for attestation, format := range formats {
		for _, alg := range softkey.Algorithms() {
			if alg.PostQuantum() {
				continue // go-webauthn knows them from Go 1.27 on
			}
			t.Run(string(attestation)+"/"+alg.String(), func(t *testing.T) {
				_, c := newKey(t, softkey.Config{Attestation: attestation})
				relyingParty(t, c, alg, format, false)
			})
		}
	}
}

func TestRelyingPartyVerifiesAttestationOfU2F(t *testing.T) {
	_, c := newKey(t, softkey.Config{Attestation: softkey.AttestationFIDOU2F})
	relyingParty(t, c, cose.ES256, "fido-u2f", false)
}

// enterpriseClient asks for platform-managed enterprise attestation.
type enterpriseClient struct{ *ctap2.Client }

func (c enterpriseClient) MakeCredential(ctx context.Context, r *ctap2.MakeCredentialRequest) (*ctap2.MakeCredentialResponse, error) {
	r.EnterpriseAttestation = 2
	return c.Client.MakeCredential(ctx, r)
}

func TestRelyingPartyVerifiesEnterpriseAttestation(t *testing.T) {
	m := manage(t, softkey.Config{}, 0)
	if err := m.configure(ctap2.SubEnableEnterpriseAttestation, nil); err != nil {
		t.Fatal(err)
	}
	relyingParty(t, enterpriseClient{m.c}, cose.ES256, "packed", false)
}

func TestRelyingPartyVerifiesBuiltInVerification(t *testing.T) {
	_, c := newKey(t, softkey.Config{Verification: softkey.VerificationGrant})
	relyingParty(t, c, cose.ES256, "packed", true)
}

func TestRelyingPartyVerifiesU2F(t *testing.T) {
	a, _ := newKey(t, softkey.Config{CTAP1Only: true})
	relyingParty(t, ctap2.NewU2FClient(a, nil), cose.ES256, "fido-u2f", false)
}
