package relyingparty_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// engine has one emulated key.
func engine(t *testing.T, key api.EmulateAddRequest) *daemon.Engine {
	t.Helper()
	e, err := daemon.New(daemon.Config{Rules: policy.Rules{}, Verifier: relyingparty.Verifier{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	do[api.EmulateResult](t, e, api.OpEmulateAdd, key)
	return e
}

func do[Result any](t *testing.T, e *daemon.Engine, op string, request any) *Result {
	t.Helper()
	v, err := e.Do(t.Context(), policy.Actor{UID: 0}, op, func(v any) error {
		data, err := json.Marshal(request)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}, nil)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return v.(*Result)
}

// What the engine makes of options is what go-webauthn takes, for every algorithm that it
// knows. ML-DSA it takes from Go 1.27 on.
func TestGoWebAuthnJudgesTheEngine(t *testing.T) {
	for _, profile := range []string{"u2f", "minimal", "fido2.0", "fido2.1", "fido2.3"} {
		for alg, name := range map[int]string{-7: "ES256", -8: "EdDSA", -35: "ES384", -36: "ES512", -257: "RS256", -19: "Ed25519", -9: "ESP256", -51: "ESP384", -52: "ESP512"} {
			if profile != "fido2.3" && alg != -7 {
				continue
			}
			for _, attestation := range []string{"none", "direct"} {
				t.Run(fmt.Sprintf("%s %s %s", profile, name, attestation), func(t *testing.T) {
					blob := ""
					if profile == "fido2.1" || profile == "fido2.3" {
						// It refuses a key that says nothing of the blob.
						blob = `"credBlob":"AAEC",`
					}
					e := engine(t, api.EmulateAddRequest{Profile: profile})
					options := json.RawMessage(fmt.Sprintf(`{"rp":{"id":%q,"name":"x"},"user":{"id":%q,"name":"u","displayName":"U"},"challenge":%q,
						"pubKeyCredParams":[{"type":"public-key","alg":%d}],"attestation":%q,"authenticatorSelection":{"userVerification":"discouraged"},
						"extensions":{"credProps":true,"prf":{},%s"largeBlob":{"support":"preferred"},"minPinLength":true}}`,
						site, b64([]byte(userID)), challenge, alg, attestation, blob))
					made := do[api.RegisterResult](t, e, api.OpRegister, api.RegisterRequest{Origin: origin, Options: options})
					known := do[api.CheckResult](t, e, api.OpCheck, api.CheckRequest{Origin: origin, CreationOptions: options, Credential: made.Credential})
					get := json.RawMessage(fmt.Sprintf(`{"rpId":%q,"challenge":%q,"allowCredentials":[{"type":"public-key","id":%q}],"userVerification":"discouraged",
						"extensions":{"getCredBlob":true,"largeBlob":{"read":true},"prf":{"eval":{"first":"AAEC"}},"appid":"https://example.com/app"}}`,
						site, challenge, known.Registered.CredentialID))
					signed := do[api.AssertResult](t, e, api.OpAssert, api.AssertRequest{Origin: origin, Options: get})
					got := do[api.CheckResult](t, e, api.OpCheck, api.CheckRequest{
						Origin: origin, RequestOptions: get, Credential: signed.Credential, Registered: &known.Registered,
					})
					if !got.UserPresent || got.UserVerified {
						t.Errorf("got %+v", got)
					}
				})
			}
		}
	}
}
