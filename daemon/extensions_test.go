package daemon_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

// extended adds extensions to request options.
func extended(options json.RawMessage, extensions string) json.RawMessage {
	return json.RawMessage(strings.TrimSuffix(string(options), "}") + `,"extensions":` + extensions + `}`)
}

// results makes an assertion and gives its extension results.
func (l *lab) results(options json.RawMessage, p *person) string {
	l.t.Helper()
	got := must[api.AssertResult](l, api.OpAssert, api.AssertRequest{Origin: origin, Options: options}, p)
	return extensionsOf(l.t, got.Credential)
}

func extensionsOf(t testing.TB, credential json.RawMessage) string {
	t.Helper()
	var r struct{ ClientExtensionResults json.RawMessage }
	if err := json.Unmarshal(credential, &r); err != nil {
		t.Fatal(err)
	}
	return string(r.ClientExtensionResults)
}

func TestPRF(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO20, softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Profile: profile})
				p := always()
				const eval = `{"prf":{"eval":{"first":"AAEC","second":"AwQF"}}}`
				made := must[api.RegisterResult](l, api.OpRegister, api.RegisterRequest{
					Origin: origin, Options: creation("alice", `"residentKey":"required","userVerification":"discouraged"`, `,"extensions":`+eval),
				}, p)
				alice := checkRegistration(t, made)
				bob := l.registers(creation("bob", `"residentKey":"required"`, `,"extensions":{"prf":{}}`), p)
				if got := fmt.Sprint(bob.ClientExtensionResults); got != "map[prf:map[enabled:true]]" {
					t.Errorf("got %s", got)
				}

				first := l.results(extended(request("discouraged", alice), eval), p)
				var got struct {
					PRF struct {
						Results struct{ First, Second api.Bytes }
					}
				}
				if err := json.Unmarshal([]byte(first), &got); err != nil || len(got.PRF.Results.First) != 32 || len(got.PRF.Results.Second) != 32 {
					t.Fatalf("got %s, %v", first, err)
				}
				// At once, where the key has it: the same results.
				want := `{"prf":{"enabled":true}}`
				if profile == softkey.ProfileFIDO23 {
					want = strings.Replace(first, `"prf":{`, `"prf":{"enabled":true,`, 1)
				}
				if now := extensionsOf(t, made.Credential); now != want {
					t.Errorf("got %s when it was made, want %s", now, want)
				}
				// hmac-secret with the salts that the specification makes of the inputs.
				one, two := sha256.Sum256([]byte("WebAuthn PRF\x00\x00\x01\x02")), sha256.Sum256([]byte("WebAuthn PRF\x00\x03\x04\x05"))
				raw := l.results(extended(request("required", alice), fmt.Sprintf(`{"hmacGetSecret":{"salt1":%q,"salt2":%q}}`, api.Bytes(one[:]), api.Bytes(two[:]))), p)
				if want := fmt.Sprintf(`{"hmacGetSecret":{"output1":%q,"output2":%q}}`, got.PRF.Results.First, got.PRF.Results.Second); raw != want {
					t.Errorf("got %s, want %s", raw, want)
				}
				// Each its own.
				by := fmt.Sprintf(`{"prf":{"eval":{"first":"AAEC","second":"AwQF"},"evalByCredential":{%q:{"first":"_w"}}}}`, bob.ID)
				if got := l.results(extended(request("required", alice), strings.Replace(eval, "}}}", `},"evalByCredential":{}}}`, 1)), p); got != first {
					t.Errorf("got %s, want %s", got, first)
				}
				own := l.results(extended(request("required", bob), by), p)
				if strings.Contains(own, "second") || !strings.Contains(own, `"first"`) {
					t.Errorf("got %s", own)
				}
				other := &registered{ID: api.Bytes("of another key")}
				if got := l.results(extended(request("required", other, bob), by), p); got != own {
					t.Errorf("got %s, want %s", got, own)
				}
				for _, bad := range []string{
					`{"prf":{"evalByCredential":{"":{"first":"_w"}}}}`,
					`{"prf":{"evalByCredential":{"AAAA":{"first":"_w"}}}}`,
					`{"prf":{"eval":{}}}`,
					by,
				} {
					l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: extended(request("required", alice), bad)}, p, api.CodeInvalidRequest)
				}
				l.fails(api.OpRegister, api.RegisterRequest{
					Origin: origin, Options: creation("carol", ``, `,"extensions":{"prf":{"evalByCredential":{}}}`),
				}, p, api.CodeInvalidRequest)
				if len(p.open) != 0 {
					t.Error("prompts were left")
				}
			})
		})
	}
}

// prf is for a verified person: without a PIN there are no results, and all else goes on.
func TestPRFWithoutPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		p := &person{}
		r := l.registers(creation("alice", ``, `,"extensions":{"prf":{"eval":{"first":"AAEC"}}}`), p)
		if got := fmt.Sprint(r.ClientExtensionResults); got != "map[prf:map[enabled:true]]" {
			t.Errorf("got %s", got)
		}
		if got := l.results(extended(request("discouraged", r), `{"prf":{"eval":{"first":"AAEC"}}}`), p); got != `{"prf":{}}` {
			t.Errorf("got %s", got)
		}
	})
}

func TestCredBlob(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO20, softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Profile: profile})
				p := always()
				able := profile != softkey.ProfileFIDO20
				make := func(blob string) *registered {
					return l.registers(creation("alice", `"residentKey":"required"`, fmt.Sprintf(`,"extensions":{"credBlob":%q}`, api.Bytes(blob))), p)
				}
				r := make("a small blob")
				if got := fmt.Sprint(r.ClientExtensionResults); got != fmt.Sprintf("map[credBlob:%v]", able) {
					t.Errorf("got %s", got)
				}
				want := `{}`
				if able {
					want = fmt.Sprintf(`{"getCredBlob":%q}`, api.Bytes("a small blob"))
				}
				if got := l.results(extended(request("required", r), `{"getCredBlob":true}`), p); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got := fmt.Sprint(make(strings.Repeat("x", 65)).ClientExtensionResults); got != "map[credBlob:false]" {
					t.Errorf("got %s for what is too long", got)
				}
			})
		})
	}
}

func TestLargeBlobExtension(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Profile: profile})
				p := always()
				r := l.registers(creation("alice", `"residentKey":"required"`, `,"extensions":{"largeBlob":{"support":"required"}}`), p)
				if got := fmt.Sprint(r.ClientExtensionResults); got != "map[largeBlob:map[supported:true]]" {
					t.Errorf("got %s", got)
				}
				none := l.registers(creation("bob", ``, `,"extensions":{"largeBlob":{"support":"preferred"}}`), p)
				if got := fmt.Sprint(none.ClientExtensionResults); got != "map[largeBlob:map[supported:false]]" {
					t.Errorf("got %s", got)
				}
				steps := []struct{ in, out string }{
					{`{"read":true}`, `{"largeBlob":{}}`},
					{`{"write":"AAECAwQ"}`, `{"largeBlob":{"written":true}}`},
					{`{"read":true}`, `{"largeBlob":{"blob":"AAECAwQ"}}`},
					{`{"write":""}`, `{"largeBlob":{"written":true}}`},
					{`{"read":true}`, `{"largeBlob":{"blob":""}}`},
				}
				for _, verification := range []string{"required", "discouraged"} {
					for i, step := range steps {
						if i == 0 && verification == "discouraged" {
							continue
						}
						if got := l.results(extended(request(verification, r), `{"largeBlob":`+step.in+`}`), p); got != step.out {
							t.Errorf("%s: got %s, want %s", step.in, got, step.out)
						}
					}
				}
				if got := l.results(extended(request("required", none), `{"largeBlob":{"write":"AAECAwQ"}}`), p); got != `{"largeBlob":{"written":false}}` {
					t.Errorf("got %s", got)
				}
				for _, bad := range []string{`{"support":"required"}`, `{"read":true,"write":"AA"}`} {
					l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: extended(request("required", r), `{"largeBlob":`+bad+`}`)}, p, api.CodeInvalidRequest)
				}
				l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: extended(request("required", r, none), `{"largeBlob":{"write":"AA"}}`)}, p, api.CodeInvalidRequest)
				l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("carol", ``, `,"extensions":{"largeBlob":{"read":true}}`)}, p, api.CodeInvalidRequest)
			})
		})
	}
}

// A key without room for blobs is no key for a site that needs one.
func TestLargeBlobRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{Profile: softkey.ProfileFIDO20})
		options := creation("alice", ``, `,"extensions":{"largeBlob":{"support":"required"}}`)
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: options}, &person{}, api.CodeUnsupported)
	})
}

func TestAppID(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileU2F, softkey.ProfileFIDO23} {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const appID = "https://example.org/u2f.json"
				l := newLab(t)
				a := l.soft("k1", softkey.Config{Profile: profile, CTAP1Only: profile == softkey.ProfileU2F})
				p := &person{}
				// As U2F's own scripts did it.
				old := register(t, a, appID)
				options := strings.Replace(string(creation("alice", ``, `,"excludeCredentials":[{"type":"public-key","id":"`+old.ID.String()+`"}]`)), "}]}", "}]}", 1)
				ok := checkRegistration(t, must[api.RegisterResult](l, api.OpRegister, api.RegisterRequest{Origin: origin, Options: json.RawMessage(options)}, p))
				l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: extended(json.RawMessage(options), `{"appidExclude":"`+appID+`"}`)}, p, api.CodeCredentialExcluded)
				fresh := checkRegistration(t, must[api.RegisterResult](l, api.OpRegister, api.RegisterRequest{
					Origin: origin, Options: extended(json.RawMessage(options), `{"appidExclude":"https://example.org/other"}`),
				}, p))
				if got := fmt.Sprint(fresh.ClientExtensionResults); got != "map[appidExclude:true]" {
					t.Errorf("got %s", got)
				}

				l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged", old)}, p, api.CodeNoCredentials)
				with := func(list ...*registered) json.RawMessage {
					return extended(request("discouraged", list...), `{"appid":"`+appID+`"}`)
				}
				got := must[api.AssertResult](l, api.OpAssert, api.AssertRequest{Origin: origin, Options: with(old)}, p)
				if ext := extensionsOf(t, got.Credential); ext != `{"appid":true}` {
					t.Errorf("got %s", ext)
				}
				signed := l.asserts(with(old), p, old)
				if signed.data.RPIDHash != sha256.Sum256([]byte(appID)) {
					t.Errorf("signed for %x", signed.data.RPIDHash)
				}
				// The RP ID comes first.
				if ext := l.results(with(old, ok), p); ext != `{"appid":false}` {
					t.Errorf("got %s", ext)
				}
				for _, bad := range []string{"https://example.com/u2f.json", "http://example.org/", "https://org/"} {
					l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: extended(request("discouraged", old), `{"appid":"`+bad+`"}`)}, p, api.CodeInvalidRequest)
				}
				l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: extended(request("discouraged"), `{"appid":"`+appID+`"}`)}, p, api.CodeInvalidRequest)
			})
		})
	}
}

// With alwaysUv there is no U2F, and that is no failure.
func TestAppIDExcludeWithoutU2F(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.protected(softkey.Config{AlwaysUV: true})
		p := always()
		options := extended(excluding(&registered{ID: api.Bytes("an old one")}), `{"appidExclude":""}`)
		r := l.registers(options, p)
		if got := fmt.Sprint(r.ClientExtensionResults); got != "map[appidExclude:true]" {
			t.Errorf("got %s", got)
		}
	})
}

// register makes a credential by U2F.
func register(t *testing.T, a *softkey.Authenticator, appID string) *registered {
	t.Helper()
	c := ctap2.NewU2FClient(a, nil)
	response, err := c.MakeCredential(t.Context(), &ctap2.MakeCredentialRequest{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: appID}, User: ctap2.User{ID: []byte{1}},
		PubKeyCredParams: []ctap2.CredentialParameter{{Type: ctap2.TypePublicKey, Alg: -7}},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := response.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	return &registered{ID: data.CredentialID, data: data}
}

func TestEnterpriseAttestation(t *testing.T) {
	enterprise := &softkey.Enterprise{RPIDs: []string{"example.org"}}
	for name, test := range map[string]struct {
		cfg  daemon.Enterprise
		on   bool
		want bool
	}{
		"off by default": {on: true},
		"vendor":         {cfg: daemon.Enterprise{Vendor: true}, on: true, want: true},
		"platform":       {cfg: daemon.Enterprise{RPIDs: []string{"example.org"}}, on: true, want: true},
		"another site":   {cfg: daemon.Enterprise{RPIDs: []string{"example.com"}}, on: true},
		"off on the key": {cfg: daemon.Enterprise{Vendor: true, RPIDs: []string{"example.org"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(c *daemon.Config) { c.Enterprise = test.cfg })
				l.soft("k1", softkey.Config{Enterprise: enterprise})
				p := always()
				if test.on {
					must[api.ConfigResult](l, api.OpConfigEnterprise, api.ConfigEnterpriseRequest{}, p)
				}
				r := l.registers(creation("alice", ``, `,"attestation":"enterprise"`), p)
				object, err := ctap2.ParseAttestationObject(r.Response.AttestationObject)
				if err != nil {
					t.Fatal(err)
				}
				if told := object.EpAtt != nil && *object.EpAtt; told {
					t.Error("epAtt in the attestation object")
				}
				var statement ctap2.PackedStatement
				if err := ctap2.UnmarshalLenient(object.AttStmt, &statement); err != nil || len(statement.X5C) == 0 {
					t.Fatalf("got %+v, %v", statement, err)
				}
				plain := l.registers(creation("bob", ``, `,"attestation":"direct"`), p)
				other, err := ctap2.ParseAttestationObject(plain.Response.AttestationObject)
				if err != nil {
					t.Fatal(err)
				}
				var usual ctap2.PackedStatement
				if err := ctap2.UnmarshalLenient(other.AttStmt, &usual); err != nil {
					t.Fatal(err)
				}
				if got := string(statement.X5C[0]) != string(usual.X5C[0]); got != test.want {
					t.Errorf("got another certificate: %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestAttestationFormatsAndOtherExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.protected(softkey.Config{})
		p := always()
		none := l.registers(creation("alice", ``, `,"attestation":"direct","attestationFormats":["none","packed"]`), p)
		packed := l.registers(creation("alice", ``, `,"attestation":"direct","attestationFormats":["tpm","packed"]`), p)
		if none.fmt != "none" || packed.fmt != "packed" {
			t.Errorf("got %s and %s", none.fmt, packed.fmt)
		}
		must[api.ConfigResult](l, api.OpConfigMinPIN, api.ConfigMinPINRequest{RPIDs: []string{"example.org"}}, p)
		r := l.registers(creation("alice", `"residentKey":"required"`, `,"extensions":{"minPinLength":true,"pinComplexityPolicy":true,"payment":{"isPayment":true},"credProps":true}`), p)
		out, err := r.data.MakeCredentialOutputs()
		if err != nil || out.MinPINLength == nil || *out.MinPINLength != 4 || out.PINComplexityPolicy == nil || *out.PINComplexityPolicy {
			t.Errorf("got %+v, %v", out, err)
		}
		if got := fmt.Sprint(r.ClientExtensionResults); got != "map[credProps:map[rk:true]]" {
			t.Errorf("got %s", got)
		}
		list := must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, p)
		if c := list.Sites[0].Credentials[0]; !c.ThirdPartyPayment {
			t.Errorf("got %+v", c)
		}
		got := l.asserts(extended(request("required", r), `{"thirdPartyPayment":true}`), p, r)
		signed, err := got.data.GetAssertionOutputs()
		if err != nil || signed.ThirdPartyPayment == nil || !*signed.ThirdPartyPayment {
			t.Errorf("got %+v, %v", signed, err)
		}
	})
}

func TestAlgorithms(t *testing.T) {
	for _, alg := range softkey.Algorithms() {
		t.Run(alg.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.soft("k1", softkey.Config{PostQuantum: true})
				p := &person{}
				options := strings.Replace(string(creation("alice", `"residentKey":"required"`, ``)), `"alg":-7`, fmt.Sprintf(`"alg":%d`, int64(alg)), 1)
				r := l.registers(json.RawMessage(options), p)
				if r.data.PublicKey.Alg != alg {
					t.Errorf("got %v", r.data.PublicKey.Alg)
				}
				l.asserts(request("discouraged", r), p, r)
			})
		})
	}
}
