package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

// liar is a key that answers one command as it likes.
type liar struct {
	*softkey.Authenticator
	cmd    ctap2.Cmd
	answer []byte // nil: the truth
}

func (k *liar) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	if k.answer != nil && ctap2.Cmd(request[0]) == k.cmd {
		return k.answer, nil
	}
	return k.Authenticator.CBOR(ctx, request, keepalive)
}

// managed are the operations that manage a key, with the command and the profile for each.
var managed = []struct {
	op      string
	request any
	cmd     ctap2.Cmd
	profile softkey.Profile
}{
	{api.OpCredentialList, api.CredentialListRequest{}, ctap2.CmdCredentialManagement, softkey.ProfileFIDO23},
	{api.OpCredentialShow, api.CredentialRequest{Credential: "alice"}, ctap2.CmdCredentialManagement, softkey.ProfileFIDO21},
	{api.OpCredentialDelete, api.CredentialRequest{Credential: "alice"}, ctap2.CmdCredentialManagement, softkey.ProfileFIDO23},
	{api.OpCredentialRename, api.CredentialRenameRequest{Credential: "alice", UserName: new(string)}, ctap2.CmdCredentialManagement, softkey.ProfileFIDO23},
	{api.OpFingerprintList, api.FingerprintListRequest{}, ctap2.CmdBioEnrollment, softkey.ProfileFIDO23Bio},
	{api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "x"}, ctap2.CmdBioEnrollment, softkey.ProfileFIDO23Bio},
	{api.OpFingerprintRename, api.FingerprintRenameRequest{Fingerprint: "x", Name: "y"}, ctap2.CmdBioEnrollment, softkey.ProfileFIDO23Bio},
	{api.OpFingerprintDelete, api.FingerprintRequest{Fingerprint: "x"}, ctap2.CmdBioEnrollment, softkey.ProfileFIDO23Bio},
	{api.OpBlobList, api.BlobListRequest{}, ctap2.CmdLargeBlobs, softkey.ProfileFIDO21},
	{api.OpBlobGet, api.BlobRequest{Credential: "alice"}, ctap2.CmdLargeBlobs, softkey.ProfileFIDO21},
	{api.OpBlobGet, api.BlobRequest{Credential: "alice"}, ctap2.CmdGetAssertion, softkey.ProfileFIDO23},
	{api.OpBlobSet, api.BlobSetRequest{Credential: "alice", Data: api.Bytes("x")}, ctap2.CmdGetAssertion, softkey.ProfileFIDO23},
	{api.OpBlobCollect, api.BlobCollectRequest{}, ctap2.CmdLargeBlobs, softkey.ProfileFIDO21},
	{api.OpConfigAlwaysUV, api.ConfigAlwaysUVRequest{On: true}, ctap2.CmdConfig, softkey.ProfileFIDO23},
	{api.OpConfigEnterprise, api.ConfigEnterpriseRequest{}, ctap2.CmdConfig, softkey.ProfileFIDO21},
	{api.OpConfigLongTouch, api.ConfigLongTouchRequest{}, ctap2.CmdConfig, softkey.ProfileFIDO23},
	{api.OpConfigMinPIN, api.ConfigMinPINRequest{ForceChange: true}, ctap2.CmdConfig, softkey.ProfileFIDO23},
	{api.OpConfigIdentify, api.ConfigIdentifyRequest{}, ctap2.CmdClientPIN, softkey.ProfileFIDO23},
}

// A key that answers with nonsense is told of as such; nothing else comes of it.
func TestLyingKeyWhenManaged(t *testing.T) {
	answers := map[string][]byte{
		"empty":        {},
		"not CBOR":     {0, 0xFF, 0xFF},
		"another type": {0, 0x01},
		"long":         append([]byte{0, 0xA1, 0x01}, make([]byte, 7000)...),
		"status":       {byte(ctap2.ErrOther)},
		"vendor":       {0xF7},
		// {1: 4 billion, 2: 0, 5: 4 billion, 6: 0, 9: 4 billion}: more than there can be.
		"huge totals": {0, 0xA5, 0x01, 0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0x02, 0x00, 0x05, 0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0x06, 0x00, 0x09, 0x1A, 0xFF, 0xFF, 0xFF, 0xFF},
	}
	for _, test := range managed {
		t.Run(test.op+" "+string(test.profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				a, err := softkey.New(softkey.Config{Profile: test.profile})
				if err != nil {
					t.Fatal(err)
				}
				k := &liar{Authenticator: a, cmd: test.cmd}
				l.plug("k1", k, both)
				p := always()
				must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
				if test.profile != softkey.ProfileFIDO23Bio {
					l.registers(creation("alice", `"residentKey":"required"`, withBlob), p)
				}
				for name, answer := range answers {
					if test.cmd == ctap2.CmdConfig && (len(answer) > 0 && answer[0] == 0) {
						continue // it has no answer but the status
					}
					if test.cmd == ctap2.CmdBioEnrollment && name == "huge totals" {
						continue // a sensor of no kind and no fingers
					}
					k.answer = answer
					_, err := l.do(l.ctx, test.op, test.request, always())
					e := wantCode(t, err, api.CodeKeyError)
					if e.Key != "k1" || !strings.Contains(e.Message, "Key k1") || e.Hint == "" {
						t.Errorf("%s: got %+v", name, e)
					}
					k.answer = nil
				}
				// It goes on.
				must[api.InfoResult](l, api.OpInfo, api.KeyRequest{}, p)
			})
		})
	}
}

// A key that is pulled out while the person is asked ends the operation at once.
func TestPulledOutWhenManaged(t *testing.T) {
	for _, test := range managed {
		t.Run(test.op+" "+string(test.profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Profile: test.profile})
				p := &person{} // says nothing
				run := l.start(test.op, test.request, p)
				time.Sleep(time.Second)
				if fmt.Sprint(p.kinds()) == "[]" && run.running() {
					t.Error("nobody was asked anything")
				}
				l.bus.Detach("k1")
				_, err := run.wait()
				wantCode(t, err, api.CodeKeyGone)
				if len(p.open) != 0 {
					t.Errorf("left open: %+v", p.open)
				}
			})
		})
	}
}
