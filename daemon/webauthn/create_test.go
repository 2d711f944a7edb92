package webauthn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/webauthn"
)

func options(info ...any) *ctap2.Info {
	i := &ctap2.Info{Versions: []string{ctap2.VersionFIDO21}, Options: map[string]bool{}}
	for n := 0; n < len(info); n += 2 {
		i.Options[info[n].(string)] = info[n+1].(bool)
	}
	return i
}

func TestVerification(t *testing.T) {
	const (
		uv, pin, always, notRqd, noPIN = ctap2.OptionUV, ctap2.OptionClientPIN, ctap2.OptionAlwaysUV, ctap2.OptionMakeCredUVNotRqd, ctap2.OptionNoMcGaWithPIN
	)
	for _, test := range []struct {
		name        string
		info        *ctap2.Info
		requirement webauthn.Requirement
		rk          webauthn.Requirement
		create, get bool // wanted
		createErr   error
		getErr      error
	}{
		{name: "a plain key, preferred", info: options(), requirement: webauthn.Preferred},
		{name: "a plain key, required", info: options(), requirement: webauthn.Required, createErr: webauthn.ErrUnsupported, getErr: webauthn.ErrUnsupported},
		{name: "no PIN yet, preferred", info: options(pin, false), requirement: webauthn.Preferred},
		{name: "no PIN yet, required", info: options(pin, false), requirement: webauthn.Required, createErr: webauthn.ErrPINNotSet, getErr: webauthn.ErrPINNotSet},
		{name: "PIN, required", info: options(pin, true), requirement: webauthn.Required, create: true, get: true},
		{name: "PIN, preferred", info: options(pin, true), requirement: webauthn.Preferred, create: true, get: true},
		{name: "PIN, discouraged", info: options(pin, true), requirement: webauthn.Discouraged, create: true},
		{name: "PIN, discouraged, makeCredUvNotRqd", info: options(pin, true, notRqd, true), requirement: webauthn.Discouraged},
		{name: "PIN, discouraged, makeCredUvNotRqd, discoverable", info: options(pin, true, notRqd, true, ctap2.OptionRK, true), requirement: webauthn.Discouraged, rk: webauthn.Required, create: true},
		{name: "alwaysUv, discouraged", info: options(pin, true, always, true, notRqd, true), requirement: webauthn.Discouraged, create: true, get: true},
		{name: "alwaysUv without a PIN", info: options(pin, false, always, true), requirement: webauthn.Discouraged, createErr: webauthn.ErrPINNotSet, getErr: webauthn.ErrPINNotSet},
		{name: "finger, preferred", info: options(uv, true), requirement: webauthn.Preferred, create: true, get: true},
		{name: "no finger enrolled", info: options(uv, false), requirement: webauthn.Required, createErr: webauthn.ErrUnsupported, getErr: webauthn.ErrUnsupported},
		{name: "PIN that is not for this", info: options(pin, true, noPIN, true), requirement: webauthn.Required, createErr: webauthn.ErrPINNotSet, getErr: webauthn.ErrPINNotSet},
	} {
		t.Run(test.name, func(t *testing.T) {
			create := &webauthn.CreationOptions{UserVerification: test.requirement, ResidentKey: test.rk}
			v, err := create.Verification(test.info)
			if !errors.Is(err, test.createErr) || test.createErr == nil && v.Wanted != test.create {
				t.Errorf("registration: got %+v, %v, want %v, %v", v, err, test.create, test.createErr)
			}
			get := &webauthn.RequestOptions{UserVerification: test.requirement}
			v, err = get.Verification(test.info)
			if !errors.Is(err, test.getErr) || test.getErr == nil && v.Wanted != test.get {
				t.Errorf("assertion: got %+v, %v, want %v, %v", v, err, test.get, test.getErr)
			}
		})
	}
}

func TestCheckAndRequest(t *testing.T) {
	o, err := webauthn.ParseCreationOptions(creation())
	if err != nil {
		t.Fatal(err)
	}
	info := options(ctap2.OptionRK, true)
	if err := o.Check(info); !errors.Is(err, webauthn.ErrUnsupported) {
		t.Errorf("a key without credProtect: got %v", err)
	}
	info.Extensions = []string{"credProtect", "hmac-secret"}
	if err := o.Check(info); err != nil {
		t.Error(err)
	}
	r := o.Request("example.org", make([]byte, 32), info)
	if r.Options == nil || r.Options.RK == nil || !*r.Options.RK || r.Options.UV != nil || r.Options.UP != nil {
		t.Errorf("got options %+v, want rk only", r.Options)
	}
	if r.Extensions == nil || r.Extensions.CredProtect != ctap2.CredProtectUVRequired || r.Extensions.HMACSecret == nil || !*r.Extensions.HMACSecret {
		t.Errorf("got extensions %+v", r.Extensions)
	}
	info.Algorithms = []ctap2.CredentialParameter{{Alg: cose.RS256, Type: ctap2.TypePublicKey}}
	if err := o.Check(info); !errors.Is(err, webauthn.ErrUnsupported) {
		t.Errorf("a key without the algorithms: got %v", err)
	}
	if err := o.Check(options()); !errors.Is(err, webauthn.ErrUnsupported) {
		t.Errorf("a key without discoverable credentials: got %v", err)
	}
	o.ResidentKey, o.CredProtect, o.HMACCreateSecret = webauthn.Preferred, 0, false
	plain := o.Request("example.org", make([]byte, 32), options())
	if plain.Options != nil || plain.Extensions != nil {
		t.Errorf("got %+v, %+v, want nothing that the key does not have", plain.Options, plain.Extensions)
	}
}

// made is what a key answers to creation().
func made(t *testing.T, change func(*ctap2.AuthData, *ctap2.MakeCredentialResponse)) *webauthn.Created {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cose.FromPublic(&private.PublicKey, cose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	o, err := webauthn.ParseCreationOptions(creation())
	if err != nil {
		t.Fatal(err)
	}
	statement, err := ctap2.Marshal(ctap2.PackedStatement{Alg: cose.ES256, Sig: []byte{1}, X5C: [][]byte{{2}}})
	if err != nil {
		t.Fatal(err)
	}
	data := &ctap2.AuthData{
		RPIDHash: sha256.Sum256([]byte("example.org")), Flags: ctap2.FlagUP | ctap2.FlagUV | ctap2.FlagAT | ctap2.FlagED,
		AAGUID: ctap2.AAGUID{9}, CredentialID: []byte("credential"), PublicKey: public,
		Extensions: ctap2.RawMessage("\xA1\x6Bhmac-secret\xF5"),
	}
	r := &ctap2.MakeCredentialResponse{Fmt: ctap2.FormatPacked, AttStmt: statement}
	info := options(ctap2.OptionRK, true)
	info.Transports = []string{"usb", "nfc", "usb"}
	c := &webauthn.Created{
		Options: o, Response: r, Info: info, ClientDataJSON: []byte(`{}`), Verified: true,
		Request: o.Request("example.org", make([]byte, 32), info),
	}
	if change != nil {
		change(data, r)
	}
	if r.AuthData, err = data.Marshal(); err != nil {
		t.Fatal(err)
	}
	return c
}

type registration struct {
	ID, RawID, Type string
	Response        struct {
		ClientDataJSON, AuthenticatorData, PublicKey, AttestationObject api.Bytes
		Transports                                                      []string
		PublicKeyAlgorithm                                              int
	}
	AuthenticatorAttachment string
	ClientExtensionResults  map[string]any
}

func TestRegistrationResponse(t *testing.T) {
	c := made(t, nil)
	raw, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got registration
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != "Y3JlZGVudGlhbA" || got.RawID != got.ID || got.Type != "public-key" || got.AuthenticatorAttachment != "cross-platform" {
		t.Errorf("got %+v", got)
	}
	if !slices.Equal(got.Response.Transports, []string{"nfc", "usb"}) || got.Response.PublicKeyAlgorithm != -7 {
		t.Errorf("got %+v", got.Response)
	}
	if public, err := x509.ParsePKIXPublicKey(got.Response.PublicKey); err != nil {
		t.Error(err)
	} else if _, ok := public.(*ecdsa.PublicKey); !ok {
		t.Errorf("got a %T", public)
	}
	if props, _ := got.ClientExtensionResults["credProps"].(map[string]any); props["rk"] != true || got.ClientExtensionResults["hmacCreateSecret"] != true {
		t.Errorf("got extensions %v", got.ClientExtensionResults)
	}
	object, err := ctap2.ParseAttestationObject(got.Response.AttestationObject)
	if err != nil {
		t.Fatal(err)
	}
	if object.Fmt != "packed" || string(object.AuthData) != string(got.Response.AuthenticatorData) {
		t.Errorf("direct attestation was changed: %+v", object)
	}
}

func TestAttestationNone(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ctap2.AuthData, *ctap2.MakeCredentialResponse)
		format string
	}{
		{"basic", nil, "none"},
		{"self", func(a *ctap2.AuthData, r *ctap2.MakeCredentialResponse) {
			a.AAGUID = ctap2.AAGUID{}
			r.AttStmt, _ = ctap2.Marshal(ctap2.PackedStatement{Alg: cose.ES256, Sig: []byte{1}})
		}, "packed"},
		{"self with an AAGUID", func(_ *ctap2.AuthData, r *ctap2.MakeCredentialResponse) {
			r.AttStmt, _ = ctap2.Marshal(ctap2.PackedStatement{Alg: cose.ES256, Sig: []byte{1}})
		}, "none"},
		{"unknown format", func(_ *ctap2.AuthData, r *ctap2.MakeCredentialResponse) {
			r.Fmt, r.AttStmt = "new", ctap2.RawMessage{0xA0}
		}, "none"},
		{"none", func(a *ctap2.AuthData, r *ctap2.MakeCredentialResponse) {
			a.AAGUID, r.Fmt, r.AttStmt = ctap2.AAGUID{}, "none", nil
		}, "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := made(t, test.change)
			c.Options.Attestation = "none"
			raw, err := c.JSON()
			if err != nil {
				t.Fatal(err)
			}
			var got registration
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			object, err := ctap2.ParseAttestationObject(got.Response.AttestationObject)
			if err != nil {
				t.Fatal(err)
			}
			data, err := object.ParsedAuthData()
			if err != nil {
				t.Fatal(err)
			}
			if object.Fmt != test.format || !data.AAGUID.IsZero() || string(object.AuthData) != string(got.Response.AuthenticatorData) {
				t.Errorf("got format %s, AAGUID %v, want %s and zero", object.Fmt, data.AAGUID, test.format)
			}
			if test.format == "none" && string(object.AttStmt) != "\xA0" {
				t.Errorf("got statement %x", object.AttStmt)
			}
			if string(data.Extensions) != "\xA1\x6Bhmac-secret\xF5" || string(data.CredentialID) != "credential" {
				t.Error("more than the AAGUID was changed")
			}
		})
	}
}

func TestLyingRegistrations(t *testing.T) {
	for name, change := range map[string]func(*ctap2.AuthData, *ctap2.MakeCredentialResponse){
		"another site":  func(a *ctap2.AuthData, _ *ctap2.MakeCredentialResponse) { a.RPIDHash[0]++ },
		"nobody there":  func(a *ctap2.AuthData, _ *ctap2.MakeCredentialResponse) { a.Flags &^= ctap2.FlagUP },
		"not verified":  func(a *ctap2.AuthData, _ *ctap2.MakeCredentialResponse) { a.Flags &^= ctap2.FlagUV },
		"no credential": func(a *ctap2.AuthData, _ *ctap2.MakeCredentialResponse) { a.Flags &^= ctap2.FlagAT },
		"an empty id":   func(a *ctap2.AuthData, _ *ctap2.MakeCredentialResponse) { a.CredentialID = nil },
	} {
		if _, err := made(t, change).JSON(); !errors.Is(err, webauthn.ErrResponse) {
			t.Errorf("%s: got %v, want ErrResponse", name, err)
		}
	}
	c := made(t, nil)
	c.Options.Params = []ctap2.CredentialParameter{{Alg: cose.EdDSA, Type: ctap2.TypePublicKey}}
	if _, err := c.JSON(); !errors.Is(err, webauthn.ErrResponse) {
		t.Errorf("another algorithm: got %v, want ErrResponse", err)
	}
	c = made(t, nil)
	c.Response.AuthData = c.Response.AuthData[:60]
	if _, err := c.JSON(); !errors.Is(err, webauthn.ErrResponse) {
		t.Errorf("cut: got %v, want ErrResponse", err)
	}
}

func TestAuthenticationResponse(t *testing.T) {
	answer := func(change func(*ctap2.AuthData, *ctap2.GetAssertionResponse)) *webauthn.Asserted {
		data := &ctap2.AuthData{RPIDHash: sha256.Sum256([]byte("example.org")), Flags: ctap2.FlagUP | ctap2.FlagUV, SignCount: 7}
		r := &ctap2.GetAssertionResponse{
			Credential: &ctap2.CredentialDescriptor{ID: []byte{1}, Type: ctap2.TypePublicKey},
			Signature:  []byte{3}, User: &ctap2.User{ID: []byte("alice")},
		}
		change(data, r)
		var err error
		if r.AuthData, err = data.Marshal(); err != nil {
			t.Fatal(err)
		}
		o := &webauthn.RequestOptions{}
		allow := []ctap2.CredentialDescriptor{{ID: []byte{2}, Type: ctap2.TypePublicKey}, {ID: []byte{1}, Type: ctap2.TypePublicKey}}
		return &webauthn.Asserted{
			Options: o, Response: r, ClientDataJSON: []byte("{}"), Verified: true, Output1: []byte{5},
			Request: o.Request("example.org", make([]byte, 32), allow),
		}
	}
	raw, err := answer(func(*ctap2.AuthData, *ctap2.GetAssertionResponse) {}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	response, _ := got["response"].(map[string]any)
	if got["id"] != "AQ" || got["rawId"] != "AQ" || got["type"] != "public-key" || got["authenticatorAttachment"] != "cross-platform" ||
		response["userHandle"] != "YWxpY2U" || response["signature"] != "Aw" || response["clientDataJSON"] != "e30" || response["authenticatorData"] == "" {
		t.Errorf("got %s", raw)
	}
	if out, _ := got["clientExtensionResults"].(map[string]any); out["hmacGetSecret"].(map[string]any)["output1"] != "BQ" {
		t.Errorf("got %s", raw)
	}
	for name, change := range map[string]func(*ctap2.AuthData, *ctap2.GetAssertionResponse){
		"another site":       func(a *ctap2.AuthData, _ *ctap2.GetAssertionResponse) { a.RPIDHash[0]++ },
		"nobody there":       func(a *ctap2.AuthData, _ *ctap2.GetAssertionResponse) { a.Flags &^= ctap2.FlagUP },
		"not verified":       func(a *ctap2.AuthData, _ *ctap2.GetAssertionResponse) { a.Flags &^= ctap2.FlagUV },
		"another credential": func(_ *ctap2.AuthData, r *ctap2.GetAssertionResponse) { r.Credential.ID = []byte{7} },
		"no credential":      func(_ *ctap2.AuthData, r *ctap2.GetAssertionResponse) { r.Credential = nil },
		"no signature":       func(_ *ctap2.AuthData, r *ctap2.GetAssertionResponse) { r.Signature = nil },
		"a long user handle": func(_ *ctap2.AuthData, r *ctap2.GetAssertionResponse) { r.User.ID = make([]byte, 65) },
	} {
		if _, err := answer(change).JSON(); !errors.Is(err, webauthn.ErrResponse) {
			t.Errorf("%s: got %v, want ErrResponse", name, err)
		}
	}
}
