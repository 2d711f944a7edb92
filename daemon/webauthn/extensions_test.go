package webauthn_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/webauthn"
)

// modern is a key with every extension, in the form of CTAP 2.3; older in that of CTAP 2.1.
var (
	modern = &ctap2.Info{
		Versions: []string{ctap2.VersionFIDO23}, Options: map[string]bool{ctap2.OptionRK: true}, MaxCredBlobLength: 32, AttestationFormats: []string{"packed"},
		Extensions: []string{
			ctap2.ExtensionCredProtect, ctap2.ExtensionHMACSecret, ctap2.ExtensionHMACSecretMC, ctap2.ExtensionLargeBlob, ctap2.ExtensionCredBlob,
			ctap2.ExtensionMinPINLength, ctap2.ExtensionPINComplexityPolicy, ctap2.ExtensionThirdPartyPayment,
		},
	}
	older = &ctap2.Info{
		Versions: []string{ctap2.VersionFIDO21}, Options: map[string]bool{ctap2.OptionRK: true, ctap2.OptionLargeBlobs: true},
		Extensions: []string{ctap2.ExtensionLargeBlobKey},
	}
)

func creating(t *testing.T, selection, extensions string) (*webauthn.CreationOptions, error) {
	t.Helper()
	return webauthn.ParseCreationOptions([]byte(`{"rp":{"name":"x"},"user":{"id":"AQ","name":""},"challenge":"AQ","authenticatorSelection":{` + selection + `},"extensions":` + extensions + `}`))
}

func TestCreationExtensions(t *testing.T) {
	const rk = `"residentKey":"required"`
	all := `{"credentialProtectionPolicy":"userVerificationRequired","prf":{"eval":{"first":""}},"credBlob":"AQI","largeBlob":{},"minPinLength":true,"pinComplexityPolicy":true,"payment":{"isPayment":true}}`
	for name, test := range map[string]struct {
		selection, extensions string
		info                  *ctap2.Info
		want                  string // CBOR, empty for none
	}{
		"nothing":                 {"", `{}`, modern, ""},
		"nobody has it":           {rk, all, &ctap2.Info{}, ""},
		"all":                     {rk, all, modern, "a7"},
		"blob of CTAP 2.1":        {rk, `{"largeBlob":{"support":"required"}}`, older, "a16c6c61726765426c6f624b6579f5"},
		"not of a credential ID":  {"", `{"largeBlob":{"support":"preferred"}}`, older, ""},
		"blob of CTAP 2.3":        {"", `{"largeBlob":{"support":"required"}}`, modern, "a1696c61726765426c6f62a167737570706f727468726571756972656 4"},
		"too long to be stored":   {"", `{"credBlob":"` + strings.Repeat("A", 44) + `"}`, modern, ""},
		"empty is something":      {"", `{"credBlob":""}`, modern, "a16863726564426c6f6240"},
		"payment under its names": {"", `{"thirdPartyPayment":true}`, modern, "a17174686972645061727479506179 6d656e74f5"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := creating(t, test.selection, test.extensions)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if ext := o.Request("example.org", make([]byte, 32), test.info).Extensions; ext != nil {
				raw, err := ctap2.Marshal(ext)
				if err != nil {
					t.Fatal(err)
				}
				got = fmt.Sprintf("%x", raw)
			}
			want := strings.ReplaceAll(test.want, " ", "")
			if got != want && (name != "all" || !strings.HasPrefix(got, want)) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestCreationExtensionsThatNoKeyCanTake(t *testing.T) {
	for extensions, want := range map[string]error{
		`{"prf":{"evalByCredential":{}}}`:        webauthn.ErrOptions,
		`{"prf":{"eval":{"second":"AA"}}}`:       webauthn.ErrOptions,
		`{"largeBlob":{"read":false}}`:           webauthn.ErrOptions,
		`{"largeBlob":{"write":""}}`:             webauthn.ErrOptions,
		`{"credBlob":7}`:                         webauthn.ErrOptions,
		`{"largeBlob":{"support":"needed"}}`:     nil, // counts as preferred
		`{"prf":{}}`:                             nil,
		`{"somethingElse":{"with":["members"]}}`: nil,
	} {
		if _, err := creating(t, "", extensions); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", extensions, err, want)
		}
	}
	required, err := creating(t, "", `{"largeBlob":{"support":"required"}}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, info := range map[string]*ctap2.Info{"none": {}, "discoverable only": older} {
		if err := required.Check(info); !errors.Is(err, webauthn.ErrUnsupported) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := required.Check(modern); err != nil {
		t.Error(err)
	}
}

func TestAttestationPreference(t *testing.T) {
	for attestation, want := range map[string]string{"none": "[none]", "direct": "[tpm packed]"} {
		o, err := webauthn.ParseCreationOptions([]byte(`{"rp":{"name":"x"},"user":{"id":"AQ","name":""},"challenge":"AQ","attestation":"` + attestation + `","attestationFormats":["tpm","packed"]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(o.Request("example.org", nil, modern).AttestationFormatsPref); got != want {
			t.Errorf("%s: got %s, want %s", attestation, got, want)
		}
	}
}

func asserting(extensions string) (*webauthn.RequestOptions, error) {
	return webauthn.ParseRequestOptions([]byte(`{"challenge":"AQ","allowCredentials":[{"type":"public-key","id":"CQk"},{"type":"public-key","id":"CAg"}],"extensions":` + extensions + `}`))
}

func TestPRFInputs(t *testing.T) {
	o, err := asserting(`{"prf":{"eval":{"first":"AQ","second":""},"evalByCredential":{"CQk":{"first":"Ag"}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	salt := func(input string) []byte {
		sum := sha256.Sum256([]byte("WebAuthn PRF\x00" + input))
		return sum[:]
	}
	if own := o.PRF.For([]byte{9, 9}); !bytes.Equal(own.One, salt("\x02")) || own.Two != nil {
		t.Errorf("got %+v", own)
	}
	if other := o.PRF.For([]byte{8, 8}); !bytes.Equal(other.One, salt("\x01")) || !bytes.Equal(other.Two, salt("")) {
		t.Errorf("got %+v", other)
	}
	for _, bad := range []string{
		`{"prf":{"evalByCredential":{"":{"first":"Ag"}}}}`,
		`{"prf":{"evalByCredential":{"CQk=":{"first":"Ag"}}}}`,
		`{"prf":{"evalByCredential":{"C Q":{"first":"Ag"}}}}`,
		`{"prf":{"evalByCredential":{"BwcH":{"first":"Ag"}}}}`,
		`{"prf":{"evalByCredential":{"CQk":{}}}}`,
		`{"prf":{},"hmacGetSecret":{"salt1":"` + strings.Repeat("A", 43) + `"}}`,
		`{"largeBlob":{"support":"preferred"}}`,
		`{"largeBlob":{"read":true,"write":"AA"}}`,
		`{"largeBlob":{"write":"AA"}}`,
	} {
		if _, err := asserting(bad); !errors.Is(err, webauthn.ErrOptions) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
	for _, bad := range []string{`{"prf":{"evalByCredential":{"CQk":{"first":"Ag"}}}}`, `{"appid":"https://example.org"}`} {
		if _, err := webauthn.ParseRequestOptions([]byte(`{"challenge":"AQ","extensions":` + bad + `}`)); !errors.Is(err, webauthn.ErrOptions) {
			t.Errorf("%s without allowCredentials: got %v", bad, err)
		}
	}
}

func TestAppID(t *testing.T) {
	const origin = "https://login.example.org"
	for appID, want := range map[string]string{
		"":                              origin,
		"https://example.org/app.json":  "https://example.org/app.json",
		"https://login.example.org":     "https://login.example.org",
		"https://u2f.login.example.org": "https://u2f.login.example.org",
		"https://example.com/app.json":  "",
		"https://other.example.org":     "", // neither above nor below
		"https://org":                   "",
		"https://badexample.org":        "",
		"http://example.org/app.json":   "",
		"https://u@example.org/":        "",
		"example.org":                   "",
		"https://" + strings.Repeat("x", 2000) + ".example.org": "",
	} {
		got, err := webauthn.AppID(origin, "login.example.org", appID)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, webauthn.ErrRPID) {
			t.Errorf("%.60q: got %q, %v, want %q", appID, got, err, want)
		}
	}
}
