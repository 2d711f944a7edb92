package ctap2_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fobd/fobd/ctap2"
)

// manageMessages are written down by hand from the tables of CTAP 2.3, sections 6.7, 6.8, 6.10, 6.11
// and 12.
func manageMessages(t testing.TB) []wireMessage {
	return []wireMessage{
		{"credentialManagement/all members", true, &ctap2.CredentialManagementRequest{
			Subcommand: ctap2.SubUpdateUserInformation, SubcommandParams: unhex(t, "a0"), PINUVAuthProtocol: 2, PINUVAuthParam: repeat(1, 4),
		}, `a4 01 07 02 a0 03 02 04 44 01010101`},
		{"credentialManagement/required members", true, &ctap2.CredentialManagementRequest{
			Subcommand: ctap2.SubEnumerateRPsGetNextRP,
		}, `a1 01 03`},
		{"credentialManagement params/all members", true, &ctap2.CredentialManagementParams{
			RPIDHash: repeat(1, 32), CredentialID: &ctap2.CredentialDescriptor{ID: []byte{7}, Type: ctap2.TypePublicKey},
			User: &ctap2.User{ID: []byte{1}, Name: "n", DisplayName: "d"},
		}, `a3
			01 ` + hash32 + `
			02 a2 62 6964 41 07  64 74797065 ` + publicKey + `
			03 a3 62 6964 41 01  64 6e616d65 61 6e  6b 646973706c61794e616d65 61 64`},
		{"credentialManagement params/none", true, &ctap2.CredentialManagementParams{}, `a0`},
		{"credentialManagement response/metadata", false, &ctap2.CredentialManagementResponse{
			ExistingCredentials: new(uint(0)), RemainingCredentials: new(uint(100)),
		}, `a2 01 00 02 1864`},
		{"credentialManagement response/RP", false, &ctap2.CredentialManagementResponse{
			RP: &ctap2.RP{ID: "a.b"}, RPIDHash: repeat(1, 32), TotalRPs: new(uint(2)),
		}, `a3 03 a1 62 6964 63 612e62 04 ` + hash32 + ` 05 02`},
		{"credentialManagement response/credential", false, &ctap2.CredentialManagementResponse{
			User: &ctap2.User{ID: []byte{1}}, CredentialID: &ctap2.CredentialDescriptor{ID: []byte{7}, Type: ctap2.TypePublicKey},
			PublicKey: new(agreementKey(t)), PublicKeyRaw: unhex(t, agreementKeyWire), TotalCredentials: new(uint(1)),
			CredProtect: 3, LargeBlobKey: []byte{9}, ThirdPartyPayment: new(false),
		}, `a7
			06 a1 62 6964 41 01
			07 a2 62 6964 41 07  64 74797065 ` + publicKey + `
			08 ` + agreementKeyWire + `
			09 01
			0a 03
			0b 41 09
			0c f4`},

		{"bioEnrollment/all members", true, &ctap2.BioEnrollmentRequest{
			Modality: 1, Subcommand: ctap2.SubSetFriendlyName, SubcommandParams: unhex(t, "a0"),
			PINUVAuthProtocol: 1, PINUVAuthParam: []byte{1}, GetModality: new(false),
		}, `a6 01 01 02 05 03 a0 04 01 05 41 01 06 f4`},
		{"bioEnrollment/getModality", true, &ctap2.BioEnrollmentRequest{GetModality: new(true)}, `a1 06 f5`},
		{"bioEnrollment params/all members", true, &ctap2.BioEnrollmentParams{
			TemplateID: []byte{1, 2}, TemplateName: new(""), TimeoutMilliseconds: 10000,
		}, `a3 01 42 0102 02 60 03 192710`},
		{"bioEnrollment response/sensor", false, &ctap2.BioEnrollmentResponse{
			Modality: 1, FingerprintKind: 2, MaxCaptureSamples: 5, MaxTemplateNameLength: 15,
		}, `a4 01 01 02 02 03 05 08 0f`},
		{"bioEnrollment response/sample", false, &ctap2.BioEnrollmentResponse{
			TemplateID: []byte{1}, LastEnrollSampleStatus: new(ctap2.SampleGood), RemainingSamples: new(uint(0)),
		}, `a3 04 41 01 05 00 06 00`},
		{"bioEnrollment response/templates", false, &ctap2.BioEnrollmentResponse{
			Templates: []ctap2.Template{{ID: []byte{1}, Name: "n"}, {ID: []byte{2}}},
		}, `a1 07 82 a2 01 41 01 02 61 6e  a1 01 41 02`},

		{"largeBlobs/get", true, &ctap2.LargeBlobsRequest{Get: new(uint(960)), Offset: new(uint(0))}, `a2 01 1903c0 03 00`},
		{"largeBlobs/set", true, &ctap2.LargeBlobsRequest{
			Set: []byte{0x80}, Offset: new(uint(0)), Length: new(uint(17)), PINUVAuthParam: []byte{1}, PINUVAuthProtocol: 2,
		}, `a5 02 41 80 03 00 04 11 05 41 01 06 02`},
		{"largeBlobs response", false, &ctap2.LargeBlobsResponse{Config: []byte{1}}, `a1 01 41 01`},
		{"large blob", false, &ctap2.LargeBlob{Ciphertext: []byte{1}, Nonce: []byte{2}, OrigSize: 1 << 32}, `a3 01 41 01 02 41 02 03 1b0000000100000000`},

		{"config/all members", true, &ctap2.ConfigRequest{
			Subcommand: ctap2.SubVendorPrototype, SubcommandParams: unhex(t, "a0"), PINUVAuthProtocol: 2, PINUVAuthParam: []byte{1},
		}, `a4 01 18ff 02 a0 03 02 04 41 01`},
		{"config/required members", true, &ctap2.ConfigRequest{Subcommand: ctap2.SubToggleAlwaysUV}, `a1 01 02`},
		{"setMinPINLength/all members", true, &ctap2.SetMinPINLengthParams{
			NewMinPINLength: new(uint(6)), MinPINLengthRPIDs: []string{"a.b"}, ForceChangePIN: new(true), PINComplexityPolicy: new(false),
		}, `a4 01 06 02 81 63 612e62 03 f5 04 f4`},
		{"vendorPrototype", true, &ctap2.VendorPrototypeParams{VendorCommandID: 1 << 63, Data: unhex(t, "01")}, `a2 01 1b8000000000000000 02 01`},

		{"makeCredential extensions", true, &ctap2.MakeCredentialExtensions{
			CredProtect: 1, CredBlob: new([]byte{}), LargeBlobKey: new(true), LargeBlob: &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobRequired},
			MinPINLength: new(true), PINComplexityPolicy: new(true), HMACSecret: new(true), ThirdPartyPayment: new(true),
			HMACSecretMC: &ctap2.HMACSecretInput{KeyAgreement: agreementKey(t), SaltEnc: []byte{1}, SaltAuth: []byte{2}, PINUVAuthProtocol: 2},
		}, `a9
			68 63726564426c6f62 40
			69 6c61726765426c6f62 a1 67 737570706f7274 68 7265717569726564
			6b 6372656450726f74656374 01
			6b 686d61632d736563726574 f5
			6c 6c61726765426c6f624b6579 f5
			6c 6d696e50696e4c656e677468 f5
			6e 686d61632d7365637265742d6d63 a4 01 ` + agreementKeyWire + ` 02 41 01 03 41 02 04 02
			71 74686972645061727479 5061796d656e74 f5
			73 70696e436f6d706c6578697479506f6c696379 f5`},
		{"getAssertion extensions", true, &ctap2.GetAssertionExtensions{
			CredBlob: new(true), LargeBlobKey: new(true), LargeBlob: &ctap2.LargeBlobInput{Write: new([]byte{3, 0}), OriginalSize: new(uint64(0))},
			ThirdPartyPayment: new(true),
		}, `a4
			68 63726564426c6f62 f5
			69 6c61726765426c6f62 a2 65 7772697465 42 0300  6c 6f726967696e616c53697a65 00
			6c 6c61726765426c6f624b6579 f5
			71 74686972645061727479 5061796d656e74 f5`},
		{"makeCredential outputs/all members", false, &ctap2.MakeCredentialOutputs{
			CredProtect: 3, CredBlob: new(true), MinPINLength: new(uint(4)), PINComplexityPolicy: new(false), HMACSecret: new(true), HMACSecretMC: []byte{1},
		}, `a6
			68 63726564426c6f62 f5
			6b 6372656450726f74656374 03
			6b 686d61632d736563726574 f5
			6c 6d696e50696e4c656e677468 04
			6e 686d61632d7365637265742d6d63 41 01
			73 70696e436f6d706c6578697479506f6c696379 f4`},
		{"getAssertion outputs/all members", false, &ctap2.GetAssertionOutputs{
			CredBlob: new([]byte{}), HMACSecret: []byte{1}, ThirdPartyPayment: new(true),
		}, `a3 68 63726564426c6f62 40  6b 686d61632d736563726574 41 01  71 74686972645061727479 5061796d656e74 f5`},
		{"makeCredential unsigned", false, &ctap2.MakeCredentialUnsigned{LargeBlob: &ctap2.LargeBlobCreateOutput{Supported: true}}, `a1 69 6c61726765426c6f62 a1 69 737570706f72746564 f5`},
		{"getAssertion unsigned/read", false, &ctap2.GetAssertionUnsigned{
			LargeBlob: &ctap2.LargeBlobOutput{Blob: new([]byte{1}), OriginalSize: new(uint64(2))},
		}, `a1 69 6c61726765426c6f62 a2 64 626c6f62 41 01  6c 6f726967696e616c53697a65 02`},
		{"getAssertion unsigned/written", false, &ctap2.GetAssertionUnsigned{LargeBlob: &ctap2.LargeBlobOutput{Written: new(false)}}, `a1 69 6c61726765426c6f62 a1 67 7772697474656e f4`},
	}
}

// TestAuthenticated has the bytes that pinUvAuthParam is made over, written down by hand from CTAP 2.3,
// sections 6.7, 6.8, 6.10.2 and 6.11.
func TestAuthenticated(t *testing.T) {
	ones := strings.Repeat("ff", 32)
	token := ctap2.NewToken(2, repeat(5, 32))
	for _, tt := range []struct {
		name string
		r    interface {
			Authenticated() []byte
			Authorize(*ctap2.Token)
		}
		want string
	}{
		{"credentialManagement", &ctap2.CredentialManagementRequest{Subcommand: 1}, "01"},
		{"credentialManagement with parameters", &ctap2.CredentialManagementRequest{Subcommand: 6, SubcommandParams: unhex(t, "a10141aa")}, "06 a10141aa"},
		{"bioEnrollment", &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: 4}, "01 04"},
		{"bioEnrollment with parameters", &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: 1, SubcommandParams: unhex(t, "a1030a")}, "01 01 a1030a"},
		{"config", &ctap2.ConfigRequest{Subcommand: 2}, ones + "0d 02"},
		{"config with parameters", &ctap2.ConfigRequest{Subcommand: 0xFF, SubcommandParams: unhex(t, "a10107")}, ones + "0d ff a10107"},
		// The hash is the SHA-256 of 0x80, as in the initial array.
		{"largeBlobs", &ctap2.LargeBlobsRequest{Set: []byte{0x80}, Offset: new(uint(0x01020304))}, ones + "0c00 04030201 76be8b528d0075f7aae98d6fa57a6d3c83ae480a8469e668d7b0af968995ac71"},
		{"largeBlobs without offset", &ctap2.LargeBlobsRequest{Set: []byte{0x80}}, ones + "0c00 00000000 76be8b528d0075f7aae98d6fa57a6d3c83ae480a8469e668d7b0af968995ac71"},
	} {
		if got, want := tt.r.Authenticated(), unhex(t, tt.want); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", tt.name, got, want)
		}
		tt.r.Authorize(token)
		wire, err := ctap2.Marshal(tt.r)
		if err != nil || !bytes.Contains(wire, token.Authenticate(unhex(t, tt.want))) {
			t.Errorf("%s: Authorize: %x, %v", tt.name, wire, err)
		}
	}
}

func TestUnknownPublicKeyInAListing(t *testing.T) {
	const start = "a2 06 a1 62 6964 41 01  08 "
	for _, tt := range []struct {
		name, key string
		kept      bool
		status    ctap2.Status
	}{
		{"unknown type", "a2 01 04 03 26", true, ctap2.StatusOK},
		{"unknown algorithm", "a4 01 01 03 382e 20 06 21 5820" + strings.Repeat("11", 32), true, ctap2.StatusOK},
		{"null", "f6", false, ctap2.StatusOK},
		{"cut coordinate", "a4 01 01 03 27 20 06 21 41 11", false, ctap2.ErrInvalidParameter},
		{"not a map", "40", false, ctap2.ErrCBORUnexpectedType},
	} {
		var r ctap2.CredentialManagementResponse
		err := ctap2.UnmarshalLenient(unhex(t, start+tt.key), &r)
		if got := ctap2.StatusOf(err); got != tt.status || r.PublicKey != nil || tt.kept != (r.PublicKeyRaw != nil) {
			t.Errorf("%s: %v, key %v, raw %x", tt.name, err, r.PublicKey, r.PublicKeyRaw)
		}
	}
	// An array of numbers is not a byte string.
	var r ctap2.CredentialManagementResponse
	if err := ctap2.UnmarshalLenient(unhex(t, "a1 04 82 01 02"), &r); !errors.Is(err, ctap2.ErrCBORUnexpectedType) {
		t.Errorf("rpIDHash as an array: %v", err)
	}
}

func TestOutputsOfExtensions(t *testing.T) {
	m := &ctap2.MakeCredentialResponse{UnsignedExtensionOutputs: unhex(t, "a1 69 6c61726765426c6f62 a1 69 737570706f72746564 f5")}
	if got, err := m.Unsigned(); err != nil || got.LargeBlob == nil || !got.LargeBlob.Supported {
		t.Errorf("makeCredential: %+v, %v", got, err)
	}
	g := &ctap2.GetAssertionResponse{UnsignedExtensionOutputs: unhex(t, "a2 61 78 01 69 6c61726765426c6f62 a1 67 7772697474656e f5")}
	if got, err := g.Unsigned(); err != nil || got.LargeBlob == nil || got.LargeBlob.Written == nil || !*got.LargeBlob.Written {
		t.Errorf("getAssertion: %+v, %v", got, err)
	}
	a := &ctap2.AuthData{Extensions: unhex(t, "a1 68 63726564426c6f62 41 07")}
	if got, err := a.GetAssertionOutputs(); err != nil || got.CredBlob == nil || !bytes.Equal(*got.CredBlob, []byte{7}) {
		t.Errorf("signed: %+v, %v", got, err)
	}
	if _, err := a.MakeCredentialOutputs(); !errors.Is(err, ctap2.ErrResponse) {
		t.Errorf("credBlob of bytes at makeCredential: %v", err)
	}
	for name, raw := range map[string]ctap2.RawMessage{"absent": nil, "null": {0xF6}} {
		m, g, a := &ctap2.MakeCredentialResponse{UnsignedExtensionOutputs: raw}, &ctap2.GetAssertionResponse{UnsignedExtensionOutputs: raw}, &ctap2.AuthData{Extensions: raw}
		mu, err1 := m.Unsigned()
		gu, err2 := g.Unsigned()
		mo, err3 := a.MakeCredentialOutputs()
		gout, err4 := a.GetAssertionOutputs()
		if err := errors.Join(err1, err2, err3, err4); err != nil || mu.LargeBlob != nil || gu.LargeBlob != nil || !cmp.Equal(mo, ctap2.MakeCredentialOutputs{}) || !cmp.Equal(gout, ctap2.GetAssertionOutputs{}) {
			t.Errorf("%s: %v, %+v %+v %+v %+v", name, err, mu, gu, mo, gout)
		}
	}
	for _, raw := range []string{"80", "a1 69 6c61726765426c6f62 01", "ff"} {
		g.UnsignedExtensionOutputs = unhex(t, raw)
		if got, err := g.Unsigned(); !errors.Is(err, ctap2.ErrResponse) || !cmp.Equal(got, ctap2.GetAssertionUnsigned{}, cmpopts.EquateEmpty()) {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
}

func TestSampleStatusNames(t *testing.T) {
	for s := range ctap2.SampleStatus(0x10) {
		got, ok := ctap2.ParseSampleStatus(s.String())
		if unused := s == 0x0C || s == 0x0F; ok == unused || ok && got != s {
			t.Errorf("%d is called %s, which reads as %d, %v", s, s, got, ok)
		}
	}
}
