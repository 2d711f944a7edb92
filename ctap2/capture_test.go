package ctap2_test

import (
	"bytes"
	"crypto/sha256"
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
	return capturedAll(t, name)[0]
}

// capturedAll gives all that a real key answered in turn, without its keepalives.
func capturedAll(t *testing.T, name string) [][]byte {
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
		if m.Name != name {
			continue
		}
		var all [][]byte
		for _, message := range m.Messages {
			if message.Cmd == "bb" {
				continue
			}
			b, err := hex.DecodeString(message.Hex)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		return all
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

// recorded is a client of a key that answers one command with what a real one answered.
func recorded(t *testing.T, cmd ctap2.Cmd, name string) *ctap2.Client {
	t.Helper()
	return ctap2.NewClient(&script{answers: map[byte][][]byte{byte(cmd): capturedAll(t, name)}}, nil)
}

func TestCapturedCredentialManagement(t *testing.T) {
	info := &ctap2.Info{Options: map[string]bool{"credMgmt": true}}
	manager := func(name string) *ctap2.CredentialManager {
		m, err := recorded(t, ctap2.CmdCredentialManagement, name).CredentialManager(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	existing, remaining, err := manager("WIREDATA_CTAP_CBOR_CREDMAN_META").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d credentials, room for %d", existing, remaining)
	rps, err := manager("WIREDATA_CTAP_CBOR_CREDMAN_RPLIST").RPs(t.Context())
	if err != nil || len(rps) != 3 {
		t.Fatalf("RPs = %v, %v", rps, err)
	}
	for _, rp := range rps {
		if rp.RPIDHash != sha256.Sum256([]byte(rp.RP.ID)) {
			t.Errorf("%q has the hash %x", rp.RP.ID, rp.RPIDHash)
		}
	}
	list, err := manager("WIREDATA_CTAP_CBOR_CREDMAN_RKLIST").Credentials(t.Context(), [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if _, err := c.PublicKey.Public(); err != nil || len(c.User.ID) == 0 {
			t.Errorf("%+v: %v", c, err)
		}
	}
	t.Logf("%d credentials, the first of %q with %v", len(list), list[0].User.Name, list[0].PublicKey.Alg)
}

func TestCapturedBioEnrollment(t *testing.T) {
	info := &ctap2.Info{Options: map[string]bool{"bioEnroll": true}}
	enroller := func(name string) *ctap2.BioEnroller {
		b, err := recorded(t, ctap2.CmdBioEnrollment, name).BioEnroller(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sensor, err := enroller("WIREDATA_CTAP_CBOR_BIO_INFO").SensorInfo(t.Context())
	if err != nil || sensor.Kind != ctap2.FingerprintKindTouch || sensor.MaxSamples == 0 {
		t.Errorf("SensorInfo = %+v, %v", sensor, err)
	}
	list, err := enroller("WIREDATA_CTAP_CBOR_BIO_ENUM").List(t.Context())
	if err != nil || len(list) == 0 || list[0].Name == "" {
		t.Errorf("List = %v, %v", list, err)
	}
	t.Logf("%+v, %d fingerprints, the first %q", sensor, len(list), list[0].Name)
	b := enroller("WIREDATA_CTAP_CBOR_BIO_ENROLL")
	e, err := b.Begin(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	samples := 1
	for ; e.Remaining > 0 && samples < 10; samples++ {
		t.Logf("%v, %d to go", e.Status, e.Remaining)
		if err := b.Next(t.Context(), e, 0); err != nil {
			t.Fatal(err)
		}
	}
	if e.Remaining != 0 || e.Status != ctap2.SampleGood {
		t.Errorf("after %d samples: %+v", samples, e)
	}
}

func TestCapturedLargeBlobs(t *testing.T) {
	c := recorded(t, ctap2.CmdLargeBlobs, "WIREDATA_CTAP_CBOR_LARGEBLOB_GET_ARRAY")
	entries, stored, err := c.LargeBlobArray(t.Context(), &ctap2.Info{Options: map[string]bool{"largeBlobs": true}, MaxMsgSize: 2048})
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries of %d bytes, %v", len(entries), stored, err)
	}
	for i, b := range entries {
		if !b.Known() {
			t.Errorf("entry %d: %x", i, b.Raw)
		}
	}
	again, err := ctap2.MarshalLargeBlobArray(entries)
	if err != nil || len(again) != stored {
		t.Errorf("written back as %d bytes of %d, %v", len(again), stored, err)
	}
	// Without the bytes as they came it is the same array: what real keys keep is canonical.
	for i := range entries {
		entries[i].Raw = nil
	}
	if plain, err := ctap2.MarshalLargeBlobArray(entries); err != nil || !bytes.Equal(plain, again) {
		t.Errorf("written anew: %x, %v\nas it came:    %x", plain, err, again)
	}
}
