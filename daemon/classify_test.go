package daemon

import (
	"errors"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

func cborMessage(t testing.TB, cmd ctap2.Cmd, v any) []byte {
	t.Helper()
	b, err := ctap2.MarshalRequest(cmd, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestClassifyCTAP2(t *testing.T) {
	pin := func(sub ctap2.ClientPINSubcommand, permissions ...ctap2.Permission) []byte {
		r := ctap2.ClientPINRequest{Subcommand: sub, PINUVAuthProtocol: 2}
		if permissions != nil {
			r.Permissions, r.RPID = &permissions[0], "example.org"
		}
		return cborMessage(t, ctap2.CmdClientPIN, &r)
	}
	creds := func(cmd ctap2.Cmd, sub ctap2.CredentialManagementSubcommand) []byte {
		return cborMessage(t, cmd, &ctap2.CredentialManagementRequest{Subcommand: sub})
	}
	bio := func(sub ctap2.BioEnrollmentSubcommand) []byte {
		return cborMessage(t, ctap2.CmdBioEnrollment, &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: sub})
	}
	config := func(sub ctap2.ConfigSubcommand) []byte {
		return cborMessage(t, ctap2.CmdConfig, &ctap2.ConfigRequest{Subcommand: sub})
	}
	param := make([]byte, 16)
	mc := &ctap2.MakeCredentialRequest{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "example.org"}, User: ctap2.User{ID: []byte{1}},
		PubKeyCredParams: []ctap2.CredentialParameter{{Type: "public-key", Alg: -7}},
	}
	for _, test := range []struct {
		message         []byte
		operation, rpID string
		continues       bool
	}{
		{cborMessage(t, ctap2.CmdMakeCredential, mc), api.OpRegister, "example.org", false},
		{cborMessage(t, ctap2.CmdGetAssertion, &ctap2.GetAssertionRequest{RPID: "a.example", ClientDataHash: make([]byte, 32), PINUVAuthParam: &param}), api.OpAssert, "a.example", true},
		{[]byte{8}, api.OpAssert, "", true},
		{[]byte{4}, api.OpInfo, "", false},
		{[]byte{7}, api.OpReset, "", false},
		{[]byte{11}, api.OpTouch, "", false},
		{pin(ctap2.SubGetPINRetries), api.OpPINStatus, "", false},
		{pin(ctap2.SubGetKeyAgreement), api.OpPINStatus, "", false},
		{pin(ctap2.SubSetPIN), api.OpPINSet, "", true},
		{pin(ctap2.SubChangePIN), api.OpPINChange, "", true},
		{pin(ctap2.SubGetPINToken), api.OpAssert, "", true},
		{pin(ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions, ctap2.PermissionMakeCredential|ctap2.PermissionGetAssertion), api.OpRegister, "example.org", true},
		{pin(ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions, ctap2.PermissionConfig|ctap2.PermissionGetAssertion), api.OpConfigMinPIN, "example.org", true},
		{pin(ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions, ctap2.PermissionCredentialRead), api.OpCredentialList, "example.org", true},
		{creds(ctap2.CmdCredentialManagement, ctap2.SubEnumerateRPsBegin), api.OpCredentialList, "", true},
		{creds(ctap2.CmdCredentialManagementPreview, ctap2.SubDeleteCredential), api.OpCredentialDelete, "", true},
		{creds(ctap2.CmdCredentialManagement, ctap2.SubUpdateUserInformation), api.OpCredentialRename, "", true},
		{creds(ctap2.CmdCredentialManagement, 99), api.OpCredentialDelete, "", true},
		{bio(ctap2.SubEnrollBegin), api.OpFingerprintAdd, "", false},
		{bio(ctap2.SubRemoveEnrollment), api.OpFingerprintDelete, "", false},
		{bio(ctap2.SubEnumerateEnrollments), api.OpFingerprintList, "", false},
		{config(ctap2.SubToggleAlwaysUV), api.OpConfigAlwaysUV, "", false},
		{config(ctap2.SubVendorPrototype), api.OpConfigVendor, "", false},
		{[]byte{0x50, 1, 2, 3}, api.OpConfigVendor, "", false},
	} {
		a, err := classifyCBOR(test.message)
		if err != nil || a.Operation != test.operation || a.RPID != test.rpID || a.Continues != test.continues || a.Command != test.message[0] {
			t.Errorf("% x: got %+v, %v, want %s for %q, continues %v", test.message, a, err, test.operation, test.rpID, test.continues)
		}
		if a.Scope != table[test.operation].Scope {
			t.Errorf("%s: scope %s", test.operation, a.Scope)
		}
	}
}

// What two decoders could read in different ways goes to no key.
func TestClassifyRefuses(t *testing.T) {
	for _, message := range [][]byte{
		nil,
		{1},
		{4, 0xA0},
		{6, 0xA0},
		{6, 0xFF},
		{2, 0xA3, 1, 0x61, 'a', 1, 0x61, 'b', 2, 0x40}, // rpId twice
	} {
		var status ctap2.Status
		if a, err := classifyCBOR(message); !errors.As(err, &status) || a.Operation != "" {
			t.Errorf("% x: got %+v, %v, want a status", message, a, err)
		}
	}
	for _, message := range [][]byte{nil, {0, 1}, {0, 1, 3, 0, 0, 0, 1, 0}, {0, 2, 7, 0, 0, 0, 1, 0}} {
		var sw apdu.SW
		if a, err := classifyMSG(message); !errors.As(err, &sw) || a.Operation != "" {
			t.Errorf("% x: got %+v, %v, want a status word", message, a, err)
		}
	}
}

func TestClassifyU2F(t *testing.T) {
	encode := func(c apdu.Command) []byte {
		b, err := c.Extended()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	register := u2f.RegisterRequest{}.Command()
	authenticate, err := u2f.AuthenticateRequest{Control: u2f.ControlCheckOnly, KeyHandle: []byte{1}}.Command()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		c    apdu.Command
		want string
	}{{register, api.OpRegister}, {authenticate, api.OpAssert}, {u2f.VersionCommand(), api.OpInfo}, {apdu.Command{INS: 0x40}, api.OpConfigVendor}} {
		a, err := classifyMSG(encode(test.c))
		if err != nil || a.Operation != test.want || a.Command != test.c.INS || a.Sub != test.c.P1 {
			t.Errorf("%+v: got %+v, %v, want %s", test.c, a, err, test.want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte{1, 0xA0})
	f.Add([]byte{0, 2, 7, 0, 0, 0, 1, 0})
	f.Add(cborMessage(f, ctap2.CmdClientPIN, &ctap2.ClientPINRequest{Subcommand: 2, PINUVAuthProtocol: 1}))
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, classify := range []func([]byte) (rawAction, error){classifyCBOR, classifyMSG} {
			// Every message is an operation that the policy knows, or refused.
			if a, err := classify(message); (err == nil) != (table[a.Operation] != nil) {
				t.Errorf("% x: %+v, %v", message, a, err)
			}
		}
	})
}
