package softkey_test

import (
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// FuzzProfiles gives every kind of key any request: it answers, with a status that has a name, in
// canonical CBOR, and no more than a message holds.
func FuzzProfiles(f *testing.F) {
	yes, blob := true, []byte("blob")
	create, get := creation(), assertion([]byte("id"))
	create.Extensions = &ctap2.MakeCredentialExtensions{
		CredProtect: 2, CredBlob: &blob, LargeBlobKey: &yes, LargeBlob: &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobPreferred},
		MinPINLength: &yes, PINComplexityPolicy: &yes, HMACSecret: &yes, ThirdPartyPayment: &yes,
	}
	create.AttestationFormatsPref, create.EnterpriseAttestation = []string{"fido-u2f", "none"}, 1
	get.Extensions = &ctap2.GetAssertionExtensions{CredBlob: &yes, LargeBlobKey: &yes, LargeBlob: &ctap2.LargeBlobInput{Read: &yes}, ThirdPartyPayment: &yes}
	for i := range ctap2Profiles() {
		for cmd, request := range map[ctap2.Cmd]any{ctap2.CmdMakeCredential: create, ctap2.CmdGetAssertion: get} {
			b, err := ctap2.MarshalRequest(cmd, request)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(i), b)
		}
		f.Add(byte(i), []byte{byte(ctap2.CmdGetInfo)})
		f.Add(byte(i), []byte{byte(ctap2.CmdClientPIN), 0xA2, 1, 2, 2, 2})
		f.Add(byte(i), []byte{byte(ctap2.CmdConfig), 0xA1, 1, 2})
	}
	profiles := ctap2Profiles()
	f.Fuzz(func(t *testing.T, profile byte, request []byte) {
		a, _ := newKey(t, softkey.Config{Profile: profiles[int(profile)%len(profiles)], Seed: []byte("fuzz"), PostQuantum: profile&0x80 != 0})
		for range 2 {
			response, err := a.CBOR(t.Context(), request, nil)
			if err != nil || len(response) == 0 || len(response) > softkey.MaxMsgSize {
				t.Fatalf("%d bytes, %v", len(response), err)
			}
			if s := ctap2.Status(response[0]); s != ctap2.StatusOK && len(response) > 1 {
				t.Errorf("the status %v came with %d bytes", s, len(response)-1)
			}
			if len(response) > 1 {
				if err := ctap2.Canonical(response[1:]); err != nil {
					t.Errorf("%x: %v", response[1:], err)
				}
			}
		}
	})
}
