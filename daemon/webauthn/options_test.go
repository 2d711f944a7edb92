package webauthn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/webauthn"
)

// creation is a whole creation options object; edits replace a piece of it.
func creation(edits ...string) []byte {
	s := `{
		"rp": {"id": "example.org", "name": "Example"},
		"user": {"id": "YWxpY2U", "name": "alice", "displayName": "Alice"},
		"challenge": "Y2hhbGxlbmdlIDEyMzQ1Ng",
		"pubKeyCredParams": [{"type": "public-key", "alg": -7}, {"type": "public-key", "alg": -8}, {"type": "other", "alg": 1}],
		"timeout": 120000,
		"excludeCredentials": [{"type": "public-key", "id": "AQID", "transports": ["usb"]}, {"type": "other", "id": "BAUG"}],
		"authenticatorSelection": {"residentKey": "required", "userVerification": "discouraged", "later": 1},
		"attestation": "direct",
		"extensions": {"credProps": true, "hmacCreateSecret": true, "credentialProtectionPolicy": "userVerificationRequired", "enforceCredentialProtectionPolicy": true},
		"hints": ["security-key"]
	}`
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(s, edits[i]) {
			panic("no " + edits[i])
		}
		s = strings.ReplaceAll(s, edits[i], edits[i+1])
	}
	return []byte(s)
}

func TestParseCreationOptions(t *testing.T) {
	o, err := webauthn.ParseCreationOptions(creation())
	if err != nil {
		t.Fatal(err)
	}
	if o.RP.ID != "example.org" || o.RP.Name != "Example" || string(o.User.ID) != "alice" || o.User.Name != "alice" || o.User.DisplayName != "Alice" {
		t.Errorf("got %+v, %+v", o.RP, o.User)
	}
	if string(o.Challenge) != "challenge 123456" || o.Timeout != 2*time.Minute || o.Attestation != "direct" {
		t.Errorf("got %q, %v, %q", o.Challenge, o.Timeout, o.Attestation)
	}
	if len(o.Params) != 2 || o.Params[0].Alg != cose.ES256 || o.Params[1].Alg != cose.EdDSA {
		t.Errorf("got params %+v", o.Params)
	}
	if len(o.Exclude) != 1 || !bytes.Equal(o.Exclude[0].ID, []byte{1, 2, 3}) {
		t.Errorf("got exclude list %+v", o.Exclude)
	}
	if o.ResidentKey != webauthn.Required || o.UserVerification != webauthn.Discouraged {
		t.Errorf("got %s, %s", o.ResidentKey, o.UserVerification)
	}
	if !o.CredProps || !o.HMACCreateSecret || o.CredProtect != ctap2.CredProtectUVRequired || !o.EnforceCredProtect {
		t.Errorf("got extensions %+v", o)
	}
}

func TestCreationDefaults(t *testing.T) {
	o, err := webauthn.ParseCreationOptions([]byte(`{"rp":{"name":"x"},"user":{"id":"AQ==","name":""},"challenge":"AQ","pubKeyCredParams":[],"attestation":"new","authenticatorSelection":{"userVerification":"new","requireResidentKey":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Params) != 2 || o.Params[0].Alg != cose.ES256 || o.Params[1].Alg != cose.RS256 {
		t.Errorf("got params %+v, want ES256 and RS256", o.Params)
	}
	if o.ResidentKey != webauthn.Required || o.UserVerification != webauthn.Preferred || o.Attestation != "none" || o.Timeout != 0 {
		t.Errorf("got %+v", o)
	}
}

func TestBadCreationOptions(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, edit := range [][2]string{
		{`"name": "Example"`, `"title": 1`},
		{`"name": "Example"`, `"name": "` + long + `"`},
		{`"name": "Example"`, `"name": 1`},
		{`{"id": "example.org", "name": "Example"}`, `null`},
		{`"id": "YWxpY2U", `, ``},
		{`"id": "YWxpY2U"`, `"id": ""`},
		{`"id": "YWxpY2U"`, `"id": "` + strings.Repeat("A", 88) + `"`},
		{`"id": "YWxpY2U"`, `"id": "a+b/"`},
		{`"id": "YWxpY2U"`, `"id": 7`},
		{`"name": "alice", `, ``},
		{`"challenge": "Y2hhbGxlbmdlIDEyMzQ1Ng"`, `"challenge": ""`},
		{`"challenge": "Y2hhbGxlbmdlIDEyMzQ1Ng"`, `"challenge": null`},
		{`"challenge": "Y2hhbGxlbmdlIDEyMzQ1Ng"`, `"challenge": "` + strings.Repeat("A", 2000) + `"`},
		{`"alg": -7`, `"alg": "ES256"`},
		{`"alg": -7`, `"alg": 1.5`},
		{`"alg": -7`, `"algorithm": -7`},
		{`public-key`, `private-key`},
		{`120000`, `-1`},
		{`120000`, `"2m"`},
		{`120000`, `1.5`},
		{`"id": "AQID", `, ``},
		{`"id": "AQID"`, `"id": ""`},
		{`"id": "AQID"`, `"id": "` + strings.Repeat("A", 2000) + `"`},
		{`["usb"]`, `"usb"`},
		{`["usb"]`, `["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"]`},
		{`"residentKey": "required"`, `"requireResidentKey": "yes"`},
		{`"residentKey": "required"`, `"authenticatorAttachment": "platform"`},
		{`"credProps": true`, `"credProps": 1`},
		{`userVerificationRequired`, `perhaps`},
		{`"hints": ["security-key"]`, `"hints": `},
		{`"hints": ["security-key"]`, `"attestationFormats": "packed"`},
	} {
		if _, err := webauthn.ParseCreationOptions(creation(edit[0], edit[1])); !errors.Is(err, webauthn.ErrOptions) {
			t.Errorf("%s: got %v, want ErrOptions", edit[1], err)
		}
	}
	many := `[` + strings.Repeat(`{"type":"public-key","alg":-7},`, 64) + `{"type":"public-key","alg":-7}]`
	list := `[` + strings.Repeat(`{"type":"public-key","id":"AQ"},`, 4096) + `{"type":"public-key","id":"AQ"}]`
	base := `{"rp":{"name":"x"},"user":{"id":"AQ","name":""},"challenge":"AQ",`
	for _, data := range []string{
		"", " ", "null", "[]", `"x"`, "{}", "{", base[:len(base)-1] + `} {}`,
		base + `"pubKeyCredParams":` + many + `}`,
		base + `"excludeCredentials":` + list + `}`,
		base + `"x":"` + strings.Repeat("x", webauthn.MaxOptions) + `"}`,
	} {
		if _, err := webauthn.ParseCreationOptions([]byte(data)); !errors.Is(err, webauthn.ErrOptions) {
			t.Errorf("%.60s: got %v, want ErrOptions", data, err)
		}
	}
}

func TestParseRequestOptions(t *testing.T) {
	salt := strings.Repeat("A", 43)
	o, err := webauthn.ParseRequestOptions([]byte(`{"challenge":"AQID","rpId":"example.org","timeout":5000,"userVerification":"required",
		"allowCredentials":[{"type":"other","id":"AA"},{"type":"public-key","id":"CQk"}],"extensions":{"hmacGetSecret":{"salt1":"` + salt + `"},"appid":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if o.RPID != "example.org" || !bytes.Equal(o.Challenge, []byte{1, 2, 3}) || o.Timeout != 5*time.Second || o.UserVerification != webauthn.Required ||
		len(o.Allow) != 1 || !bytes.Equal(o.Allow[0].ID, []byte{9, 9}) || len(o.Salt1) != 32 || o.Salt2 != nil {
		t.Errorf("got %+v", o)
	}
	if o, err = webauthn.ParseRequestOptions([]byte(`{"challenge":"AQ"}`)); err != nil || o.UserVerification != webauthn.Preferred || o.Allow != nil {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, data := range []string{
		`{}`, `{"challenge":7}`, `{"challenge":"AQ","rpId":7}`, `{"challenge":"AQ","allowCredentials":{}}`,
		`{"challenge":"AQ","allowCredentials":[{"type":"other","id":"AA"}]}`,
		`{"challenge":"AQ","allowCredentials":[{"id":"AA"}]}`,
		`{"challenge":"AQ","extensions":{"hmacGetSecret":{"salt1":"AQ"}}}`,
		`{"challenge":"AQ","extensions":{"hmacGetSecret":{"salt1":"` + salt + `","salt2":"AQ"}}}`,
		`{"challenge":"AQ","extensions":{"hmacGetSecret":{}}}`,
		`{"challenge":"AQ","rpId":"` + strings.Repeat("x", 2000) + `"}`,
	} {
		if _, err := webauthn.ParseRequestOptions([]byte(data)); !errors.Is(err, webauthn.ErrOptions) {
			t.Errorf("%.80s: got %v, want ErrOptions", data, err)
		}
	}
}

// What is accepted is within the limits, and gives a request that a key's decoder accepts.
func FuzzParseCreationOptions(f *testing.F) {
	f.Add(creation())
	f.Add([]byte(`{"rp":{"name":"x"},"user":{"id":"AQ","name":""},"challenge":"AQ","pubKeyCredParams":null}`))
	f.Add([]byte(`{"rp":{"name":"x"},"user":{"id":"AQ","name":""},"challenge":"AQ","extensions":{"prf":{"eval":{"first":"AQ"}},"credBlob":"","largeBlob":{"support":"required"}}}`))
	f.Add([]byte(`{"rp":{"name":"\ud800"},"user":{"id":"AQ","name":""},"challenge":"AQ"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := webauthn.ParseCreationOptions(data)
		if err != nil {
			if !errors.Is(err, webauthn.ErrOptions) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if len(o.User.ID) == 0 || len(o.User.ID) > 64 || len(o.Params) == 0 || len(o.Challenge) == 0 || o.Timeout < 0 {
			t.Errorf("accepted %+v", o)
		}
		request, err := ctap2.MarshalRequest(ctap2.CmdMakeCredential, o.Request("example.org", make([]byte, 32), modern))
		if err != nil {
			t.Fatal(err)
		}
		var back ctap2.MakeCredentialRequest
		if err := ctap2.Unmarshal(request[1:], &back); err != nil {
			t.Errorf("a key would refuse %x: %v", request, err)
		}
	})
}

func FuzzParseRequestOptions(f *testing.F) {
	f.Add([]byte(`{"challenge":"AQID","rpId":"example.org","timeout":5000,"allowCredentials":[{"type":"public-key","id":"CQk"}]}`))
	f.Add([]byte(`{"challenge":"AQ","timeout":1e300}`))
	f.Add([]byte(`{"challenge":"AQ","allowCredentials":[{"type":"public-key","id":"CQk"}],"extensions":{"prf":{"evalByCredential":{"CQk":{"first":""}}},"largeBlob":{"write":"AA"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := webauthn.ParseRequestOptions(data)
		if err != nil {
			if !errors.Is(err, webauthn.ErrOptions) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if len(o.Challenge) == 0 || o.Timeout < 0 || o.Timeout > 24*time.Hour {
			t.Errorf("accepted %+v", o)
		}
		request := o.Request("example.org", make([]byte, 32), o.Allow)
		if request.Extensions, err = o.Extensions(modern); err != nil {
			t.Fatal(err)
		}
		if _, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, request); err != nil {
			t.Error(err)
		}
	})
}

func ExampleClientData() {
	data := webauthn.ClientData{Type: webauthn.TypeGet, Challenge: []byte("hello"), Origin: "https://example.org"}
	fmt.Println(json.Valid(data.JSON()), string(data.JSON()))
	// Output: true {"type":"webauthn.get","challenge":"aGVsbG8","origin":"https://example.org","crossOrigin":false}
}
