package ctap2_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// unhex reads hexadecimal digits with any white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func repeat(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// agreementKey is a key for key agreement; its point is the generator of P-256 (SP 800-186,
// section 3.2.1.3), which everybody can look up.
func agreementKey(t testing.TB) cose.Key {
	return cose.Key{
		KeyType: 2, Alg: -25, Curve: 1,
		X: unhex(t, "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
		Y: unhex(t, "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
	}
}

const agreementKeyWire = `a5 01 02 03 3818 20 01
	21 5820 6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296
	22 5820 4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5`

const (
	hash32    = "5820 0101010101010101010101010101010101010101010101010101010101010101"
	publicKey = "6a 7075626c69632d6b6579" // "public-key"
)

// wireMessage is a message and its bytes.
type wireMessage struct {
	name    string
	request bool
	value   any // pointer to a message
	wire    string
}

// messages are written down by hand from the tables of CTAP 2.2 and 2.3, section 6: what each
// message looks like on the wire with every member, with none, and with empty ones.
func messages(t testing.TB) []wireMessage {
	return append(manageMessages(t), []wireMessage{
		{"makeCredential/all members", true, &ctap2.MakeCredentialRequest{
			ClientDataHash: repeat(1, 32),
			RP:             ctap2.RP{ID: "example.org", Name: "Example"},
			User:           ctap2.User{ID: []byte{1, 2, 3, 4}, Name: "alice", DisplayName: "Alice", Icon: "i"},
			PubKeyCredParams: []ctap2.CredentialParameter{
				{Alg: cose.ES256, Type: ctap2.TypePublicKey},
				{Alg: cose.RS256, Type: ctap2.TypePublicKey},
			},
			ExcludeList:            []ctap2.CredentialDescriptor{{ID: []byte{0xAA, 0xBB}, Type: ctap2.TypePublicKey, Transports: []string{"usb"}}},
			Extensions:             &ctap2.MakeCredentialExtensions{CredProtect: ctap2.CredProtectUVRequired, HMACSecret: new(true)},
			Options:                &ctap2.Options{RK: new(true), UP: new(true), UV: new(false)},
			PINUVAuthParam:         new(repeat(2, 16)),
			PINUVAuthProtocol:      pinuv.Two,
			EnterpriseAttestation:  1,
			AttestationFormatsPref: []string{"packed", "none"},
		}, `ab
			01 ` + hash32 + `
			02 a2 62 6964 6b 6578616d706c652e6f7267  64 6e616d65 67 4578616d706c65
			03 a4 62 6964 44 01020304  64 69636f6e 61 69  64 6e616d65 65 616c696365  6b 646973706c61794e616d65 65 416c696365
			04 82 a2 63 616c67 26  64 74797065 ` + publicKey + `
			      a2 63 616c67 390100  64 74797065 ` + publicKey + `
			05 81 a3 62 6964 42 aabb  64 74797065 ` + publicKey + `  6a 7472616e73706f727473 81 63 757362
			06 a2 6b 6372656450726f74656374 03  6b 686d61632d736563726574 f5
			07 a3 62 726b f5  62 7570 f5  62 7576 f4
			08 50 02020202020202020202020202020202
			09 02
			0a 01
			0b 82 66 7061636b6564 64 6e6f6e65`},
		{"makeCredential/required members", true, &ctap2.MakeCredentialRequest{
			ClientDataHash:   repeat(1, 32),
			RP:               ctap2.RP{ID: "a.b"},
			User:             ctap2.User{ID: []byte{1}},
			PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.EdDSA, Type: ctap2.TypePublicKey}},
		}, `a4
			01 ` + hash32 + `
			02 a1 62 6964 63 612e62
			03 a1 62 6964 41 01
			04 81 a2 63 616c67 27  64 74797065 ` + publicKey},
		{"makeCredential/empty is not absent", true, &ctap2.MakeCredentialRequest{
			ClientDataHash:    []byte{},
			RP:                ctap2.RP{ID: "a.b"},
			User:              ctap2.User{ID: []byte{}},
			PubKeyCredParams:  []ctap2.CredentialParameter{},
			Extensions:        &ctap2.MakeCredentialExtensions{},
			Options:           &ctap2.Options{},
			PINUVAuthParam:    new([]byte{}),
			PINUVAuthProtocol: pinuv.One,
		}, `a8
			01 40
			02 a1 62 6964 63 612e62
			03 a1 62 6964 40
			04 80
			06 a0
			07 a0
			08 40
			09 01`},
		{"makeCredential response/all members", false, &ctap2.MakeCredentialResponse{
			Fmt: "none", AuthData: []byte{1, 2}, AttStmt: ctap2.NoneStatement(),
			EpAtt: new(true), LargeBlobKey: repeat(7, 32), UnsignedExtensionOutputs: unhex(t, "a1 61 78 f5"),
		}, `a6
			01 64 6e6f6e65
			02 42 0102
			03 a0
			04 f5
			05 5820 0707070707070707070707070707070707070707070707070707070707070707
			06 a1 61 78 f5`},
		{"makeCredential response/required members", false, &ctap2.MakeCredentialResponse{
			Fmt: "none", AuthData: []byte{1, 2}, EpAtt: new(false),
		}, `a3 01 64 6e6f6e65  02 42 0102  04 f4`},

		{"getAssertion/all members", true, &ctap2.GetAssertionRequest{
			RPID:           "example.org",
			ClientDataHash: repeat(1, 32),
			AllowList: []ctap2.CredentialDescriptor{
				{ID: []byte{1}, Type: ctap2.TypePublicKey},
				{ID: []byte{2}, Type: ctap2.TypePublicKey},
			},
			Extensions: &ctap2.GetAssertionExtensions{HMACSecret: &ctap2.HMACSecretInput{
				KeyAgreement: agreementKey(t), SaltEnc: repeat(3, 32), SaltAuth: repeat(4, 16), PINUVAuthProtocol: pinuv.Two,
			}},
			Options:           &ctap2.Options{UP: new(false)},
			PINUVAuthParam:    new(repeat(5, 16)),
			PINUVAuthProtocol: pinuv.One,
		}, `a7
			01 6b 6578616d706c652e6f7267
			02 ` + hash32 + `
			03 82 a2 62 6964 41 01  64 74797065 ` + publicKey + `
			      a2 62 6964 41 02  64 74797065 ` + publicKey + `
			04 a1 6b 686d61632d736563726574 a4
				01 ` + agreementKeyWire + `
				02 5820 0303030303030303030303030303030303030303030303030303030303030303
				03 50 04040404040404040404040404040404
				04 02
			05 a1 62 7570 f4
			06 50 05050505050505050505050505050505
			07 01`},
		{"getAssertion/required members", true, &ctap2.GetAssertionRequest{
			RPID: "a.b", ClientDataHash: repeat(1, 32),
		}, `a2 01 63 612e62 02 ` + hash32},
		{"getAssertion/empty is not absent", true, &ctap2.GetAssertionRequest{
			RPID: "a.b", ClientDataHash: []byte{}, PINUVAuthParam: new([]byte{}),
			Extensions: &ctap2.GetAssertionExtensions{}, Options: &ctap2.Options{},
		}, `a5 01 63 612e62 02 40 04 a0 05 a0 06 40`},
		{"getAssertion response/all members", false, &ctap2.GetAssertionResponse{
			Credential:          &ctap2.CredentialDescriptor{ID: []byte{1}, Type: ctap2.TypePublicKey},
			AuthData:            []byte{2},
			Signature:           []byte{3},
			User:                &ctap2.User{ID: []byte{4}, Name: "n", DisplayName: "d"},
			NumberOfCredentials: 2,
			UserSelected:        true,
			LargeBlobKey:        []byte{5},

			UnsignedExtensionOutputs: unhex(t, "a0"),
		}, `a8
			01 a2 62 6964 41 01  64 74797065 ` + publicKey + `
			02 41 02
			03 41 03
			04 a3 62 6964 41 04  64 6e616d65 61 6e  6b 646973706c61794e616d65 61 64
			05 02
			06 f5
			07 41 05
			08 a0`},
		{"getAssertion response/required members", false, &ctap2.GetAssertionResponse{
			AuthData: []byte{2}, Signature: []byte{3},
		}, `a2 02 41 02 03 41 03`},

		{"getInfo/all members", false, &ctap2.Info{
			Versions:                         []string{"U2F_V2", "FIDO_2_3"},
			Extensions:                       []string{"credProtect"},
			AAGUID:                           ctap2.AAGUID(repeat(0xAB, 16)),
			Options:                          map[string]bool{"clientPin": false, "rk": true, "uv": true},
			MaxMsgSize:                       1200,
			PINUVAuthProtocols:               []pinuv.Protocol{2, 1},
			MaxCredentialCountInList:         8,
			MaxCredentialIDLength:            128,
			Transports:                       []string{"usb"},
			Algorithms:                       []ctap2.CredentialParameter{{Alg: cose.ES384, Type: ctap2.TypePublicKey}},
			MaxSerializedLargeBlobArray:      4096,
			ForcePINChange:                   new(false),
			MinPINLength:                     4,
			FirmwareVersion:                  0x10203,
			MaxCredBlobLength:                32,
			MaxRPIDsForSetMinPINLength:       new(uint(0)),
			PreferredPlatformUVAttempts:      3,
			UVModality:                       2,
			Certifications:                   map[string]uint64{"FIDO": 1},
			RemainingDiscoverableCredentials: new(uint(0)),
			VendorPrototypeConfigCommands:    []uint64{0xFFFFFFFFFFFFFFFF},
			AttestationFormats:               []string{"packed"},
			UVCountSinceLastPINEntry:         new(uint(5)),
			LongTouchForReset:                new(true),
			EncIdentifier:                    []byte{1},
			TransportsForReset:               []string{"nfc"},
			PINComplexityPolicy:              new(false),
			PINComplexityPolicyURL:           []byte("u:"),
			MaxPINLength:                     63,
			EncCredStoreState:                []byte{2},
			AuthenticatorConfigCommands:      []uint{1, 2, 3},
		}, `b8 1f
			01 82 66 5532465f5632 68 4649444f5f325f33
			02 81 6b 6372656450726f74656374
			03 50 abababababababababababababababab
			04 a3 62 726b f5  62 7576 f5  69 636c69656e7450696e f4
			05 1904b0
			06 82 02 01
			07 08
			08 1880
			09 81 63 757362
			0a 81 a2 63 616c67 3822  64 74797065 ` + publicKey + `
			0b 191000
			0c f4
			0d 04
			0e 1a00010203
			0f 1820
			10 00
			11 03
			12 02
			13 a1 64 4649444f 01
			14 00
			15 81 1bffffffffffffffff
			16 81 66 7061636b6564
			17 05
			1818 f5
			1819 41 01
			181a 81 63 6e6663
			181b f4
			181c 42 753a
			181d 183f
			181e 41 02
			181f 83 01 02 03`},
		{
			"getInfo/required members", false, &ctap2.Info{Versions: []string{"FIDO_2_0"}},
			`a2 01 81 68 4649444f5f325f30  03 50 00000000000000000000000000000000`,
		},

		{"clientPIN/getPINRetries", true, &ctap2.ClientPINRequest{Subcommand: ctap2.SubGetPINRetries}, `a1 02 01`},
		{"clientPIN/getKeyAgreement", true, &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 1, Subcommand: ctap2.SubGetKeyAgreement,
		}, `a2 01 01 02 02`},
		{"clientPIN/setPIN", true, &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 1, Subcommand: ctap2.SubSetPIN, KeyAgreement: new(agreementKey(t)),
			PINUVAuthParam: repeat(1, 4), NewPINEnc: repeat(2, 4),
		}, `a5 01 01 02 03 03 ` + agreementKeyWire + ` 04 44 01010101 05 44 02020202`},
		{"clientPIN/changePIN", true, &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 1, Subcommand: ctap2.SubChangePIN, KeyAgreement: new(agreementKey(t)),
			PINUVAuthParam: repeat(1, 4), NewPINEnc: repeat(2, 4), PINHashEnc: repeat(3, 4),
		}, `a6 01 01 02 04 03 ` + agreementKeyWire + ` 04 44 01010101 05 44 02020202 06 44 03030303`},
		{"clientPIN/getPinToken", true, &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 1, Subcommand: ctap2.SubGetPINToken, KeyAgreement: new(agreementKey(t)), PINHashEnc: repeat(3, 4),
		}, `a4 01 01 02 05 03 ` + agreementKeyWire + ` 06 44 03030303`},
		{"clientPIN/getPinUvAuthTokenUsingUvWithPermissions", true, &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 2, Subcommand: ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions, KeyAgreement: new(agreementKey(t)),
			Permissions: new(ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion), RPID: "a.b",
		}, `a5 01 02 02 06 03 ` + agreementKeyWire + ` 09 03 0a 63 612e62`},
		{"clientPIN/getUVRetries", true, &ctap2.ClientPINRequest{Subcommand: ctap2.SubGetUVRetries}, `a1 02 07`},
		{"clientPIN/getPinUvAuthTokenUsingPinWithPermissions", true, &ctap2.ClientPINRequest{
			PINUVAuthProtocol: 2, Subcommand: ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions, KeyAgreement: new(agreementKey(t)),
			PINHashEnc: repeat(3, 4), Permissions: new(ctap2.PermissionCredentialRead),
		}, `a5 01 02 02 09 03 ` + agreementKeyWire + ` 06 44 03030303 09 1840`},
		{"clientPIN/permissions of zero are present", true, &ctap2.ClientPINRequest{
			Subcommand: ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions, Permissions: new(ctap2.Permission(0)),
		}, `a2 02 09 09 00`},
		{"clientPIN response/all members", false, &ctap2.ClientPINResponse{
			KeyAgreement: new(agreementKey(t)), PINUVAuthToken: []byte{1}, PINRetries: new(uint(0)),
			PowerCycleState: new(false), UVRetries: new(uint(0)),
		}, `a5 01 ` + agreementKeyWire + ` 02 41 01 03 00 04 f4 05 00`},
		{"clientPIN response/none", false, &ctap2.ClientPINResponse{}, `a0`},

		{
			"packed statement", false, &ctap2.PackedStatement{Alg: cose.ES256, Sig: []byte{1}, X5C: [][]byte{{2}, {3}}},
			`a3 63 616c67 26  63 736967 41 01  63 783563 82 41 02 41 03`,
		},
		{
			"packed statement/self attestation", false, &ctap2.PackedStatement{Alg: cose.ES256, Sig: []byte{1}},
			`a2 63 616c67 26  63 736967 41 01`,
		},
		{
			"fido-u2f statement", false, &ctap2.FIDOU2FStatement{Sig: []byte{1}, X5C: [][]byte{{2}}},
			`a2 63 736967 41 01  63 783563 81 41 02`,
		},
		{
			"makeCredential outputs", false, &ctap2.MakeCredentialOutputs{CredProtect: 2, HMACSecret: new(true)},
			`a2 6b 6372656450726f74656374 02  6b 686d61632d736563726574 f5`,
		},
		{
			"getAssertion outputs", false, &ctap2.GetAssertionOutputs{HMACSecret: []byte{1}},
			`a1 6b 686d61632d736563726574 41 01`,
		},
	}...)
}

func TestMessagesOnTheWire(t *testing.T) {
	for _, m := range messages(t) {
		t.Run(m.name, func(t *testing.T) {
			want := unhex(t, m.wire)
			got, err := ctap2.Marshal(m.value)
			if err != nil {
				t.Fatalf("Marshal: %v", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("Marshal:\n got %x\nwant %x", got, want)
			}
			if err := ctap2.Canonical(want); err != nil {
				t.Errorf("Canonical: %v", err)
			}
			decoders := map[string]func([]byte, any) error{"UnmarshalLenient": ctap2.UnmarshalLenient}
			if m.request {
				decoders["Unmarshal"] = ctap2.Unmarshal
			}
			for name, decode := range decoders {
				v := reflect.New(reflect.TypeOf(m.value).Elem()).Interface()
				if err := decode(want, v); err != nil {
					t.Errorf("%s: %v", name, err)
				} else if diff := cmp.Diff(m.value, v); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// TestEveryMessageCut reads every prefix of every message: none is a message, none panics.
func TestEveryMessageCut(t *testing.T) {
	for _, m := range messages(t) {
		wire := unhex(t, m.wire)
		for n := range wire {
			v := reflect.New(reflect.TypeOf(m.value).Elem()).Interface()
			if err := ctap2.UnmarshalLenient(wire[:n], v); err == nil {
				t.Errorf("%s: the first %d bytes of %d are read", m.name, n, len(wire))
			}
			if err := ctap2.Canonical(wire[:n]); err == nil {
				t.Errorf("%s: the first %d bytes of %d are canonical", m.name, n, len(wire))
			}
		}
	}
}

func TestRequestAndResponseEnvelopes(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  func() ([]byte, error)
		want string
	}{
		{"request without parameters", func() ([]byte, error) { return ctap2.MarshalRequest(ctap2.CmdGetInfo, nil) }, "04"},
		{"request", func() ([]byte, error) {
			return ctap2.MarshalRequest(ctap2.CmdClientPIN, &ctap2.ClientPINRequest{Subcommand: 1})
		}, "06 a1 02 01"},
		{"response without data", func() ([]byte, error) { return ctap2.MarshalResponse(nil) }, "00"},
		{"response", func() ([]byte, error) {
			return ctap2.MarshalResponse(&ctap2.ClientPINResponse{PINRetries: new(uint(8))})
		}, "00 a1 03 08"},
	} {
		got, err := tt.got()
		if want := unhex(t, tt.want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v, want %x", tt.name, got, err, want)
		}
	}
}
