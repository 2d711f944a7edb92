package ctap2_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
)

// captured gives what a real key answered, by the name of the recording.
func captured(t *testing.T, name string) []byte {
	t.Helper()
	const path = "/work/shared/vectors/captures/ctaphid-wire.json"
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no recordings of real keys at %s", path)
	} else if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Messages []struct {
			Name     string
			Messages []struct{ Cmd, Hex string }
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, m := range file.Messages {
		if m.Name == name {
			b, err := hex.DecodeString(m.Messages[0].Hex)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no recording %s", name)
	return nil
}

// play answers every request with the same response.
func play(response []byte) *ctap2.Client {
	return ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) { return response, nil }), nil)
}

func TestCapturedInfo(t *testing.T) {
	wire := captured(t, "WIREDATA_CTAP_CBOR_INFO")
	info, err := play(wire).GetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.AAGUID.String(), "f8a011f3-8c0a-4d15-8006-17111f9edc7d"; got != want {
		t.Errorf("AAGUID %s, want %s", got, want)
	}
	if !info.Supports("FIDO_2_3") || info.Supports("FIDO_2_2") || info.Protocol() != 2 || !info.HasExtension("hmac-secret-mc") {
		t.Errorf("versions %v, protocols %v, extensions %v", info.Versions, info.PINUVAuthProtocols, info.Extensions)
	}
	if v, ok := info.Option("clientPin"); v || !ok {
		t.Errorf("clientPin = %v, %v", v, ok)
	}
	if string(info.PINComplexityPolicyURL) != "https://example.com" || len(info.EncIdentifier) != 32 || len(info.AuthenticatorConfigCommands) != 3 {
		t.Errorf("members above 0x18: %+v", info)
	}
	again, err := ctap2.MarshalResponse(info)
	if err != nil || !bytes.Equal(again, wire) {
		t.Errorf("encoded again: %v\n got %x\nwant %x", err, again, wire)
	}
}

func TestCapturedClientPIN(t *testing.T) {
	for _, name := range []string{"WIREDATA_CTAP_CBOR_AUTHKEY", "WIREDATA_CTAP_CBOR_PINTOKEN", "WIREDATA_CTAP_CBOR_RETRIES"} {
		wire := captured(t, name)
		resp, err := play(wire).ClientPIN(t.Context(), &ctap2.ClientPINRequest{Subcommand: 1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := ctap2.MarshalResponse(resp); err != nil || !bytes.Equal(again, wire) {
			t.Errorf("%s: encoded again: %v\n got %x\nwant %x", name, err, again, wire)
		}
	}
	key, err := play(captured(t, "WIREDATA_CTAP_CBOR_AUTHKEY")).KeyAgreement(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.ECDH(); err != nil || key.Alg != cose.ECDHESHKDF256 {
		t.Errorf("key agreement key %v: %v", key.Alg, err)
	}
	if n, powerCycle, err := play(captured(t, "WIREDATA_CTAP_CBOR_RETRIES")).PINRetries(t.Context()); n != 8 || powerCycle || err != nil {
		t.Errorf("PINRetries = %d, %v, %v", n, powerCycle, err)
	}
}

func TestCapturedCredential(t *testing.T) {
	wire := captured(t, "WIREDATA_CTAP_CBOR_CRED")
	resp, err := play(wire).MakeCredential(t.Context(), &ctap2.MakeCredentialRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ctap2.MarshalResponse(resp); err != nil || !bytes.Equal(again, wire) {
		t.Errorf("encoded again: %v\n got %x\nwant %x", err, again, wire)
	}
	a, err := resp.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	if a.Flags != ctap2.FlagUP|ctap2.FlagUV|ctap2.FlagAT && a.Flags != ctap2.FlagUP|ctap2.FlagAT || len(a.CredentialID) != 64 || a.PublicKey.Alg != cose.ES256 {
		t.Errorf("authenticator data %+v", a)
	}
	if again, err := a.Marshal(); err != nil || !bytes.Equal(again, resp.AuthData) {
		t.Errorf("authenticator data encoded again: %v\n got %x\nwant %x", err, again, resp.AuthData)
	}
	var stmt ctap2.PackedStatement
	if err := ctap2.UnmarshalLenient(resp.AttStmt, &stmt); err != nil || resp.Fmt != ctap2.FormatPacked || stmt.Alg != cose.ES256 || len(stmt.X5C) != 1 {
		t.Errorf("statement %s %+v, %v", resp.Fmt, stmt, err)
	}
}

func TestCapturedAssertion(t *testing.T) {
	wire := captured(t, "WIREDATA_CTAP_CBOR_ASSERT")
	resp, err := play(wire).GetAssertion(t.Context(), &ctap2.GetAssertionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ctap2.MarshalResponse(resp); err != nil || !bytes.Equal(again, wire) {
		t.Errorf("encoded again: %v\n got %x\nwant %x", err, again, wire)
	}
	if a, err := resp.ParsedAuthData(); err != nil || len(a.CredentialID) != 0 {
		t.Errorf("authenticator data %+v, %v", a, err)
	}
}

func TestCapturedU2F(t *testing.T) {
	wire := captured(t, "WIREDATA_CTAP_U2F_REGISTER")
	reg, err := u2f.ParseRegisterResponse(wire[:len(wire)-2])
	if err != nil {
		t.Fatal(err)
	}
	resp, err := ctap2.RegisterToMakeCredential("example.org", reg)
	if err != nil {
		t.Fatal(err)
	}
	a, err := resp.ParsedAuthData()
	if err != nil || !bytes.Equal(a.CredentialID, reg.KeyHandle) || !bytes.Equal(a.PublicKey.X, reg.PublicKey[1:33]) {
		t.Errorf("authenticator data %+v, %v", a, err)
	}
	wire = captured(t, "WIREDATA_CTAP_U2F_AUTH")
	auth, err := u2f.ParseAuthenticateResponse(wire[:len(wire)-2])
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := ctap2.AuthenticateToAssertion("example.org", []byte{1}, auth)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := assertion.ParsedAuthData(); err != nil || a.SignCount != 44 || a.Flags != ctap2.FlagUP {
		t.Errorf("authenticator data %+v, %v", a, err)
	}
}
