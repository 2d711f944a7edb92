package ctap2_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
)

const (
	testRP        = "example.org"
	testOrigin    = "https://example.org"
	testChallenge = "dGhpcyBpcyBhIGNoYWxsZW5nZQ"
)

func clientData(t testing.TB, kind string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": testChallenge, "origin": testOrigin, "crossOrigin": false})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return priv
}

func sign(t testing.TB, priv *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, priv, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// certificate makes an attestation certificate as WebAuthn Level 3, section 8.2.1 wants it.
func certificate(t testing.TB, priv *ecdsa.PrivateKey, aaguid ctap2.AAGUID) []byte {
	t.Helper()
	id, err := asn1.Marshal(aaguid[:])
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{
			Country: []string{"SE"}, Organization: []string{"fobd"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "test",
		},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: id}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// attested gives answers of makeCredential with every kind of attestation.
func attested(t testing.TB) map[string]*ctap2.MakeCredentialResponse {
	t.Helper()
	hash := sha256.Sum256(clientData(t, "webauthn.create"))
	credential, attestation := newKey(t), newKey(t)
	public, err := cose.FromPublic(&credential.PublicKey, cose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	aaguid := ctap2.AAGUID(repeat(0xAB, 16))
	data := ctap2.AuthData{
		RPIDHash: sha256.Sum256([]byte(testRP)), Flags: ctap2.FlagUP | ctap2.FlagUV | ctap2.FlagAT, SignCount: 1,
		AAGUID: aaguid, CredentialID: repeat(9, 32), PublicKey: public,
	}
	authData, err := data.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	data.Flags |= ctap2.FlagED
	if data.Extensions, err = ctap2.Marshal(ctap2.MakeCredentialOutputs{CredProtect: 2}); err != nil {
		t.Fatal(err)
	}
	extended, err := data.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	statement := func(v any) ctap2.RawMessage {
		b, err := ctap2.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	u2fHandle := repeat(8, 64)
	var point [65]byte
	raw, err := credential.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	copy(point[:], raw)
	req := u2f.RegisterRequest{Challenge: hash, Application: sha256.Sum256([]byte(testRP))}
	overU2F, err := ctap2.RegisterToMakeCredential(testRP, u2f.RegisterResponse{
		PublicKey: point, KeyHandle: u2fHandle, Certificate: certificate(t, attestation, ctap2.AAGUID{}),
		Signature: sign(t, attestation, u2f.RegisterSigned(req, u2fHandle, point)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*ctap2.MakeCredentialResponse{
		"none":             {Fmt: ctap2.FormatNone, AuthData: authData, AttStmt: ctap2.NoneStatement()},
		"none, nothing":    {Fmt: ctap2.FormatNone, AuthData: authData},
		"none, extensions": {Fmt: ctap2.FormatNone, AuthData: extended},
		"self": {Fmt: ctap2.FormatPacked, AuthData: authData, AttStmt: statement(ctap2.PackedStatement{
			Alg: cose.ES256, Sig: sign(t, credential, append(bytes.Clone(authData), hash[:]...)),
		})},
		"packed": {Fmt: ctap2.FormatPacked, AuthData: extended, AttStmt: statement(ctap2.PackedStatement{
			Alg: cose.ES256, Sig: sign(t, attestation, append(bytes.Clone(extended), hash[:]...)),
			X5C: [][]byte{certificate(t, attestation, aaguid)},
		})},
		"fido-u2f": overU2F,
	}
}

// TestRelyingPartyAccepts gives the attestation objects to go-webauthn, whose code is not ours.
func TestRelyingPartyAccepts(t *testing.T) {
	data := clientData(t, "webauthn.create")
	hash := sha256.Sum256(data)
	for name, r := range attested(t) {
		t.Run(name, func(t *testing.T) {
			object, err := r.AttestationObject()
			if err != nil {
				t.Fatal(err)
			}
			if err := ctap2.Canonical(object); err != nil {
				t.Errorf("not canonical: %v", err)
			}
			a, err := r.ParsedAuthData()
			if err != nil {
				t.Fatal(err)
			}
			b64 := base64.RawURLEncoding.EncodeToString
			body, err := json.Marshal(map[string]any{
				"id": b64(a.CredentialID), "rawId": b64(a.CredentialID), "type": "public-key",
				"response": map[string]any{"attestationObject": b64(object), "clientDataJSON": b64(data)},
			})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := protocol.ParseCredentialCreationResponseBody(bytes.NewReader(body))
			if err != nil {
				t.Fatalf("go-webauthn: %v", err)
			}
			got := parsed.Response.AttestationObject
			if got.Format != r.Fmt || !bytes.Equal(got.RawAuthData, r.AuthData) || !bytes.Equal(got.AuthData.AttData.CredentialID, a.CredentialID) {
				t.Errorf("go-webauthn reads %+v", got)
			}
			if err := got.VerifyAttestation(hash[:], nil, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
				if e, ok := errors.AsType[*protocol.Error](err); ok {
					t.Logf("%s: %s", e.Details, e.DevInfo)
				}
				t.Errorf("go-webauthn: attestation: %v", err)
			}
			back, err := ctap2.ParseAttestationObject(object)
			if err != nil || back.Fmt != r.Fmt || !bytes.Equal(back.AuthData, r.AuthData) {
				t.Errorf("ParseAttestationObject: %+v, %v", back, err)
			}
		})
	}
}

func TestAttestationObjectOnTheWire(t *testing.T) {
	r := ctap2.MakeCredentialResponse{Fmt: "none", AuthData: []byte{1, 2}}
	got, err := r.AttestationObject()
	// WebAuthn Level 3, section 6.5.4, keys in canonical order: the shorter first.
	want := unhex(t, "a3 63 666d74 64 6e6f6e65  67 61747453746d74 a0  68 6175746844617461 42 0102")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("AttestationObject: %v\n got %x\nwant %x", err, got, want)
	}
	r.AttStmt = ctap2.RawMessage{0x01}
	if _, err := r.AttestationObject(); !errors.Is(err, ctap2.ErrResponse) {
		t.Errorf("a statement that is a number: %v, want %v", err, ctap2.ErrResponse)
	}
	for _, wire := range []string{
		"a2 67 61747453746d74 a0  68 6175746844617461 42 0102",
		"a2 63 666d74 64 6e6f6e65  68 6175746844617461 42 0102",
		"a2 63 666d74 64 6e6f6e65  67 61747453746d74 a0",
		"a3 01 64 6e6f6e65 02 42 0102 03 a0",
	} {
		if r, err := ctap2.ParseAttestationObject(unhex(t, wire)); err == nil {
			t.Errorf("%s is read as %+v", wire, r)
		}
	}
}
