package relyingparty_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/relyingparty"
)

const (
	site      = "example.com"
	origin    = "https://example.com"
	userID    = "user-1"
	challenge = "Y2hhbGxlbmdlLW9mLXRoaXJ0eS10d28tYnl0ZXMhISE"
)

func creation(alg int, uv string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"rp":{"id":%q,"name":"x"},"user":{"id":%q,"name":"u","displayName":"U"},"challenge":%q,
		"pubKeyCredParams":[{"type":"public-key","alg":%d}],"authenticatorSelection":{"userVerification":%q}}`, site, b64([]byte(userID)), challenge, alg, uv))
}

func request(allow ...string) json.RawMessage {
	var list []string
	for _, id := range allow {
		list = append(list, fmt.Sprintf(`{"type":"public-key","id":%q}`, b64([]byte(id))))
	}
	return json.RawMessage(fmt.Sprintf(`{"rpId":%q,"challenge":%q,"allowCredentials":[%s],"userVerification":"required"}`, site, challenge, strings.Join(list, ",")))
}

func verify(t *testing.T, r api.CheckRequest) (*api.CheckResult, error) {
	t.Helper()
	return relyingparty.Verifier{}.Verify(t.Context(), &r)
}

func fails(t *testing.T, r api.CheckRequest, code api.Code, part string) {
	t.Helper()
	_, err := verify(t, r)
	var fault *api.Error
	if !errors.As(err, &fault) || fault.Code != code || !strings.Contains(fault.Message, part) {
		t.Errorf("got %v, want %s with %q", err, code, part)
	}
}

func TestRegistration(t *testing.T) {
	for _, self := range []bool{false, true} {
		k := newKey(t)
		got, err := verify(t, api.CheckRequest{
			Origin: origin, CreationOptions: creation(-7, "required"), Credential: k.register(t, site, challenge, origin, self),
		})
		if err != nil {
			t.Fatal(err)
		}
		format, attestation := "none", "none"
		if self {
			format, attestation = "packed", "basic_surrogate"
		}
		if got.Format != format || got.Attestation != attestation || !got.UserPresent || !got.UserVerified {
			t.Errorf("got %+v, want format %s, attestation %s, present and verified", got, format, attestation)
		}
		r := got.Registered
		if !bytes.Equal(r.CredentialID, k.id) || string(r.UserID) != userID || r.SignCount != 7 || len(r.PublicKey) != 77 ||
			r.AAGUID != "41414755-4944-2d31-362d-62797465732d" || r.BackupEligible {
			t.Errorf("got registered %+v", r)
		}
	}
}

func TestRegistrationsThatFail(t *testing.T) {
	k := newKey(t)
	good := func() api.CheckRequest {
		return api.CheckRequest{Origin: origin, CreationOptions: creation(-7, "preferred"), Credential: k.register(t, site, challenge, origin, true)}
	}
	if _, err := verify(t, good()); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*api.CheckRequest)
		part   string
	}{
		{"other challenge", func(r *api.CheckRequest) {
			r.Credential = k.register(t, site, "b3RoZXItY2hhbGxlbmdlLW9mLXRoaXJ0eS10d28tYnk", origin, true)
		}, "challenge"},
		{"other origin", func(r *api.CheckRequest) {
			r.Credential = k.register(t, site, challenge, "https://evil.example", true)
		}, "origin"},
		{"other site", func(r *api.CheckRequest) {
			r.Credential = k.register(t, "evil.example", challenge, origin, true)
		}, "RP Hash mismatch"},
		{"algorithm that was not asked for", func(r *api.CheckRequest) { r.CreationOptions = creation(-8, "preferred") }, "algorithm not supported"},
		{"user not verified", func(r *api.CheckRequest) {
			other := *k
			other.flags = 0x01
			r.CreationOptions, r.Credential = creation(-7, "required"), other.register(t, site, challenge, origin, true)
		}, "verif"},
		{"bad signature", func(r *api.CheckRequest) {
			// The same client data in another order, so that the signature is not over it.
			r.Credential = bytes.Replace(r.Credential, []byte(b64(clientData("webauthn.create", challenge, origin))),
				[]byte(b64([]byte(`{"challenge":"`+challenge+`","type":"webauthn.create","origin":"`+origin+`"}`))), 1)
		}, "signature"},
		{"cut off", func(r *api.CheckRequest) { r.Credential = r.Credential[:len(r.Credential)/2] }, ""},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			r := good()
			tt.change(&r)
			fails(t, r, api.CodeVerifyFailed, tt.part)
		})
	}
}

func TestAssertion(t *testing.T) {
	k := newKey(t)
	registered, err := verify(t, api.CheckRequest{
		Origin: origin, CreationOptions: creation(-7, "required"), Credential: k.register(t, site, challenge, origin, false),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := string(k.id)
	k.count = 8
	for _, tt := range []struct {
		name  string
		allow []string
		user  string
	}{{"named", []string{"another", id}, ""}, {"named with its user", []string{id}, userID}, {"discoverable", nil, userID}} {
		got, err := verify(t, api.CheckRequest{
			Origin: origin, RequestOptions: request(tt.allow...), Registered: &registered.Registered,
			Credential: k.assert(t, site, challenge, origin, tt.user),
		})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if !got.UserPresent || !got.UserVerified || got.Registered.SignCount != 8 || got.Registered.AAGUID != registered.Registered.AAGUID {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
	if registered.Registered.SignCount != 7 {
		t.Error("the request's own record was changed")
	}

	base := func() api.CheckRequest {
		return api.CheckRequest{
			Origin: origin, RequestOptions: request(id), Registered: &registered.Registered,
			Credential: k.assert(t, site, challenge, origin, userID),
		}
	}
	other := newKey(t)
	tests := []struct {
		name   string
		change func(*api.CheckRequest)
		part   string
	}{
		{"counter going backwards", func(r *api.CheckRequest) { r.Registered = counted(*r.Registered, 9) }, "counter went from 9 to 8"},
		{"counter standing still", func(r *api.CheckRequest) { r.Registered = counted(*r.Registered, 8) }, "counter went from 8 to 8"},
		{"other user", func(r *api.CheckRequest) { r.Credential = k.assert(t, site, challenge, origin, "user-2") }, "User handle"},
		{"nobody named", func(r *api.CheckRequest) {
			r.RequestOptions, r.Credential = request(), k.assert(t, site, challenge, origin, "")
		}, "userHandle"},
		{"credential not allowed", func(r *api.CheckRequest) { r.RequestOptions = request("another") }, "allowCredentials"},
		{"other key", func(r *api.CheckRequest) { r.Credential = other.assert(t, site, challenge, origin, userID) }, "signature"},
		{"other origin", func(r *api.CheckRequest) {
			r.Credential = k.assert(t, site, challenge, "https://evil.example", userID)
		}, "origin"},
		{"other site", func(r *api.CheckRequest) { r.Credential = k.assert(t, "evil.example", challenge, origin, userID) }, "RP Hash"},
		{"a registration", func(r *api.CheckRequest) { r.Credential = k.register(t, site, challenge, origin, true) }, ""},
		{"user not verified", func(r *api.CheckRequest) {
			weak := *k
			weak.flags = 0x01
			r.Credential = weak.assert(t, site, challenge, origin, userID)
		}, "verif"},
		{"user not present", func(r *api.CheckRequest) {
			weak := *k
			weak.flags = 0x04
			r.Credential = weak.assert(t, site, challenge, origin, userID)
		}, "presen"},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			r := base()
			tt.change(&r)
			fails(t, r, api.CodeVerifyFailed, tt.part)
		})
	}
	t.Run("origin-gives-the-site", func(t *testing.T) {
		r := base()
		r.RequestOptions = bytes.Replace(r.RequestOptions, []byte(`"rpId":"example.com",`), nil, 1)
		if _, err := verify(t, r); err != nil {
			t.Error(err)
		}
	})
}

func counted(r api.Registered, n uint32) *api.Registered {
	r.SignCount = n
	return &r
}

func TestRequestsThatCannotBeChecked(t *testing.T) {
	k := newKey(t)
	credential := k.register(t, site, challenge, origin, false)
	for _, tt := range []struct {
		r    api.CheckRequest
		part string
	}{
		{api.CheckRequest{CreationOptions: creation(-7, ""), Credential: credential}, "origin is missing"},
		{api.CheckRequest{Origin: origin, CreationOptions: creation(-7, "")}, "credential is missing"},
		{api.CheckRequest{Origin: origin, Credential: credential}, "either"},
		{api.CheckRequest{Origin: origin, Credential: credential, CreationOptions: creation(-7, ""), RequestOptions: request()}, "either"},
		{api.CheckRequest{Origin: origin, Credential: credential, RequestOptions: request()}, "registered"},
		{api.CheckRequest{Origin: origin, Credential: credential, CreationOptions: json.RawMessage(`[]`)}, "creationOptions"},
		{api.CheckRequest{Origin: origin, Credential: credential, RequestOptions: json.RawMessage(`3`), Registered: &api.Registered{}}, "requestOptions"},
		{api.CheckRequest{Origin: "nonsense", Credential: credential, CreationOptions: json.RawMessage(`{}`)}, "not a web origin"},
	} {
		fails(t, tt.r, api.CodeInvalidRequest, tt.part)
	}
}

// FuzzVerify feeds any credential: it must never be taken for a good one, nor panic.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`))
	f.Add([]byte(`{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"oA","signature":"AA"}}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, credential []byte) {
		for _, r := range []api.CheckRequest{
			{Origin: origin, CreationOptions: creation(-7, "required"), Credential: credential},
			{Origin: origin, RequestOptions: request(), Credential: credential, Registered: &api.Registered{}},
		} {
			if got, err := (relyingparty.Verifier{}).Verify(t.Context(), &r); err == nil {
				t.Errorf("verified as %+v", got)
			}
		}
	})
}

// FuzzReadMetadata feeds what nobody has signed.
func FuzzReadMetadata(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		f.Fatal(err)
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","x5c":["` + base64.StdEncoding.EncodeToString(der) + `"]}`))
	f.Add([]byte(header+".e30."), []byte(nil))
	f.Add([]byte(header+".eyJlbnRyaWVzIjpbXX0.AAAA"), root)
	f.Add([]byte("eyJhbGciOiJub25lIn0.e30."), root)
	f.Fuzz(func(t *testing.T, blob, other []byte) {
		if len(other) == 0 {
			other = root
		}
		if m, err := relyingparty.ReadMetadata(blob, other); err == nil {
			t.Errorf("taken: %+v", m)
		}
	})
}
