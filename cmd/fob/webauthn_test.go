package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/api"
)

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOptionsBareOrWrapped(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpRegister] = api.RegisterResult{Key: api.Key{ID: "k"}, Credential: json.RawMessage(`{"id":"x"}`)}
	const bare = `{"rp":{"id":"example.org"}}`
	for _, text := range []string{bare, `{"publicKey":` + bare + `}`} {
		for _, fromFile := range []bool{true, false} {
			args, stdin := []string{"register"}, text
			if fromFile {
				args, stdin = append(args, write(t, text)), ""
			}
			got := f.fob(t, stdin, args...)
			if got.out != "{\n  \"id\": \"x\"\n}\n" || got.err != "fob: registered with k\n" || got.status != 0 {
				t.Errorf("%s: got %+v", text, got)
			}
			want := `{"origin":"https://example.org","options":` + bare + `}`
			if diff := cmp.Diff(want, string(f.requests[api.OpRegister])); diff != "" {
				t.Errorf("%s: request (-want +got):\n%s", text, diff)
			}
		}
	}
	got := f.fob(t, bare, "register", "--json", "-", "--origin", "https://login.example.org", "--purpose", "p", "--allow-last-retry", "--key", "k")
	if want := `{"key":{"id":"k","name":"","vendorId":0,"productId":0,"emulated":false},"credential":{"id":"x"}}` + "\n"; got.out != want || got.err != "" {
		t.Errorf("got %+v, want out %s", got, want)
	}
	want := `{"key":"k","origin":"https://login.example.org","options":` + bare + `,"purpose":"p","allowLastRetry":true}`
	if diff := cmp.Diff(want, string(f.requests[api.OpRegister])); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestBadDocuments(t *testing.T) {
	f := newFake(t)
	for name, text := range map[string]string{
		"nothing": "", "blank": " \n", "no JSON": "{", "array": "[]", "null": "null", "string": `"x"`,
		"no site": `{"challenge":"AA"}`, "rp is no object": `{"rp":1}`, "trailing": `{"rp":{"id":"a.b"}} x`,
		"too long": `{"a":"` + strings.Repeat("x", maxInput) + `"}`,
	} {
		for _, command := range []string{"register", "assert"} {
			if got := f.fob(t, text, command); got.status != exitUsage || !strings.HasPrefix(got.err, "fob: ") {
				t.Errorf("%s with %s: got %+v, want status 2", command, name, got)
			}
		}
	}
	if len(f.requests) != 0 {
		t.Errorf("reached the daemon: %v", f.requests)
	}
}

func TestMadeOptions(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpRegister] = api.RegisterResult{Credential: json.RawMessage(`{}`)}
	f.answers[api.OpAssert] = api.AssertResult{Credential: json.RawMessage(`{}`)}
	saved := filepath.Join(t.TempDir(), "options.json")

	if got := f.fob(t, "", "register", "--rp", "example.org", "--user", "alice", "--discoverable", "--uv", "required", "--save-options", saved); got.status != 0 {
		t.Fatalf("register: %+v", got)
	}
	var sent api.RegisterRequest
	if err := json.Unmarshal(f.requests[api.OpRegister], &sent); err != nil {
		t.Fatal(err)
	}
	var c creation
	if err := json.Unmarshal(sent.Options, &c); err != nil {
		t.Fatal(err)
	}
	s := c.AuthenticatorSelection
	if sent.Origin != "https://example.org" || c.RP.ID != "example.org" || c.User.Name != "alice" || len(c.User.ID) != 32 ||
		len(c.Challenge) != 32 || len(c.PubKeyCredParams) != 4 || s.ResidentKey != "required" || !s.RequireResidentKey || s.UserVerification != "required" {
		t.Errorf("made %+v for %s", c, sent.Origin)
	}
	kept, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	var same creation
	if err := json.Unmarshal(kept, &same); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, same); diff != "" {
		t.Errorf("saved options differ from those sent:\n%s", diff)
	}

	if got := f.fob(t, "", "assert", "--rp", "example.org", "--credential", "AQI", "--credential", "AwQ"); got.status != 0 {
		t.Fatalf("assert: %+v", got)
	}
	var asked api.AssertRequest
	if err := json.Unmarshal(f.requests[api.OpAssert], &asked); err != nil {
		t.Fatal(err)
	}
	var r request
	if err := json.Unmarshal(asked.Options, &r); err != nil {
		t.Fatal(err)
	}
	want := request{
		Challenge: r.Challenge, RPID: "example.org", UserVerification: "preferred",
		AllowCredentials: []descriptor{{"public-key", api.Bytes{1, 2}}, {"public-key", api.Bytes{3, 4}}},
	}
	if diff := cmp.Diff(want, r); diff != "" || len(r.Challenge) != 32 {
		t.Errorf("assert options (-want +got):\n%s", diff)
	}
}

func TestVerifyTellsRegistrationFromAssertion(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpCheck] = api.CheckResult{
		Registered:  api.Registered{CredentialID: api.Bytes{1}, SignCount: 7, AAGUID: "a"},
		UserPresent: true, UserVerified: true, Format: "packed", Attestation: "basic_full",
	}
	created := write(t, `{"rp":{"id":"example.org"}}`)
	requested := write(t, `{"publicKey":{"rpId":"example.org"}}`)
	saved := filepath.Join(t.TempDir(), "kept.json")

	got := f.fob(t, `{"key":{},"credential":{"response":{"attestationObject":"x"}}}`, "check", "--options", created, "--save", saved)
	want := "valid        registration\ncredential   AQ\nuser         present, verified\ncounter      7\nattestation  packed basic_full\naaguid       a\n"
	if got.out != want || got.status != 0 {
		t.Errorf("got %+v, want out %q", got, want)
	}
	wantRequest := `{"origin":"https://example.org","creationOptions":{"rp":{"id":"example.org"}},"credential":{"response":{"attestationObject":"x"}}}`
	if diff := cmp.Diff(wantRequest, string(f.requests[api.OpCheck])); diff != "" {
		t.Errorf("registration (-want +got):\n%s", diff)
	}

	assertion := write(t, `{"response":{"signature":"x"}}`)
	for _, kept := range []string{saved, write(t, `{"registered":{"credentialId":"AQ","publicKey":"","userId":"","signCount":7,"aaguid":"a","backupEligible":false}}`)} {
		if got := f.fob(t, "", "check", "--options", requested, "--registered", kept, assertion); got.status != 0 {
			t.Fatalf("assertion: %+v", got)
		}
		wantRequest = `{"origin":"https://example.org","requestOptions":{"rpId":"example.org"},"credential":{"response":{"signature":"x"}},` +
			`"registered":{"credentialId":"AQ","publicKey":"","userId":"","signCount":7,"aaguid":"a","backupEligible":false}}`
		if diff := cmp.Diff(wantRequest, string(f.requests[api.OpCheck])); diff != "" {
			t.Errorf("assertion (-want +got):\n%s", diff)
		}
	}
	if got := f.fob(t, "", "check", "--options", requested, assertion); got.status != exitUsage {
		t.Errorf("assertion without --registered: %+v, want status 2", got)
	}
	if got := f.fob(t, `{"response":{}}`, "check", "--options", created, "--registered", saved); got.status != exitUsage {
		t.Errorf("registration with --registered: %+v, want status 2", got)
	}
}

func TestTamperChangesOneBit(t *testing.T) {
	got, err := tamper(json.RawMessage(`{"id":"a","response":{"clientDataJSON":"x","signature":"AQID"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"a","response":{"clientDataJSON":"x","signature":"AQIC"}}`; string(got) != want {
		t.Errorf("tamper = %s, want %s", got, want)
	}
	for _, bad := range []string{``, `[]`, `{"response":1}`, `{"response":{"signature":""}}`, `{"response":{"signature":1}}`} {
		if got, err := tamper(json.RawMessage(bad)); err == nil {
			t.Errorf("tamper(%s) = %s, want an error", bad, got)
		}
	}
}
