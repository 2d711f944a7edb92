package daemon

import (
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/tokens/softkey"
)

// Whatever a program sends in a lease: nothing panics, and the key sees the request that the policy was
// asked about.
func FuzzLease(f *testing.F) {
	key, err := softkey.New(softkey.Config{Profile: softkey.ProfileFIDO23Bio, LargeBlobArray: true})
	if err != nil {
		f.Fatal(err)
	}
	if err := ctap2.NewClient(key, nil).SetPIN(f.Context(), pinuv.Two, []byte("1234")); err != nil {
		f.Fatal(err)
	}
	token := ctap2.NewToken(pinuv.Two, make([]byte, 32))
	mc := &ctap2.MakeCredentialRequest{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "example.org"}, User: ctap2.User{ID: []byte{1}},
		PubKeyCredParams: []ctap2.CredentialParameter{{Type: ctap2.TypePublicKey, Alg: cose.ES256}},
	}
	mc.Authorize(token)
	ga := &ctap2.GetAssertionRequest{RPID: "example.org", ClientDataHash: make([]byte, 32)}
	ga.Authorize(token)
	cm := &ctap2.CredentialManagementRequest{Subcommand: ctap2.SubDeleteCredential, SubcommandParams: []byte{0xA0}}
	cm.Authorize(token)
	be := &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: ctap2.SubRemoveEnrollment, SubcommandParams: []byte{0xA0}}
	be.Authorize(token)
	cfg := &ctap2.ConfigRequest{Subcommand: ctap2.SubToggleAlwaysUV}
	cfg.Authorize(token)
	lb := &ctap2.LargeBlobsRequest{Set: []byte{1}, Offset: new(uint), Length: new(uint(17))}
	lb.Authorize(token)
	platform, secret, err := pinuv.Two.Encapsulate(pinuv.PublicKey(fuzzMiddle(f, key).private))
	if err != nil {
		f.Fatal(err)
	}
	enc, err := pinuv.Two.Encrypt(secret, make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []struct {
		cmd ctap2.Cmd
		v   any
	}{
		{ctap2.CmdGetInfo, nil},
		{ctap2.CmdMakeCredential, mc},
		{ctap2.CmdGetAssertion, ga},
		{ctap2.CmdCredentialManagement, cm},
		{ctap2.CmdBioEnrollment, be},
		{ctap2.CmdConfig, cfg},
		{ctap2.CmdLargeBlobs, lb},
		{ctap2.CmdClientPIN, &ctap2.ClientPINRequest{PINUVAuthProtocol: pinuv.Two, Subcommand: ctap2.SubGetKeyAgreement}},
		{ctap2.CmdClientPIN, &ctap2.ClientPINRequest{PINUVAuthProtocol: pinuv.Two, Subcommand: ctap2.SubGetPINToken, KeyAgreement: platform, PINHashEnc: enc}},
	} {
		request, err := ctap2.MarshalRequest(seed.cmd, seed.v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(request)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		before, err := classifyCBOR(request)
		if err != nil {
			return
		}
		m := fuzzMiddle(t, key)
		m.tokens = []leaseToken{{pinuv.Two, []byte("the key's own token of 32 bytes."), make([]byte, 32)}}
		if ctap2.Cmd(request[0]) == ctap2.CmdClientPIN {
			response, err := m.clientPIN(t.Context(), request[1:])
			if err != nil || response == nil {
				return
			}
			if _, err := ctap2.MarshalResponse(response); err != nil {
				t.Errorf("the answer to %x cannot be sent: %v", request, err)
			}
			return
		}
		out, err := m.translate(request)
		if err != nil {
			return
		}
		after, err := classifyCBOR(out)
		if err != nil || after != before {
			t.Errorf("%x is %+v, and %x, which the key sees, %+v (%v)", request, before, out, after, err)
		}
	})
}

func fuzzMiddle(t testing.TB, key ctap2.Transport) *pinMiddle {
	m, err := newPINMiddle(ctap2.NewClient(key, nil), false)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
