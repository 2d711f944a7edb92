package daemon_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

const withBlob = `,"extensions":{"largeBlob":{"support":"required"}}`

func TestBlobs(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Profile: profile})
				p := always()
				resident := `"residentKey":"required"`
				r := l.registers(creation("alice", resident, withBlob), p)
				if got := r.ClientExtensionResults["largeBlob"]; got == nil {
					t.Errorf("got %v", r.ClientExtensionResults)
				}
				l.registers(creation("bob", resident, ``), p)
				l.fails(api.OpBlobGet, api.BlobRequest{Credential: "alice"}, p, api.CodeNotFound)
				data := []byte(strings.Repeat("a certificate of alice ", 20))
				set := must[api.BlobResult](l, api.OpBlobSet, api.BlobSetRequest{Credential: "alice", RPID: "example.org", Data: data}, p)
				if set.Blob.Size != uint(len(data)) || set.Blob.Stored == 0 || set.Blob.Stored >= set.Blob.Size || set.Data != nil ||
					set.Blob.UserName != "alice" || set.Blob.RPID != "example.org" || !bytes.Equal(set.Blob.Credential, r.ID) {
					t.Errorf("got %+v", set)
				}
				for _, rpID := range []string{"", "example.org"} {
					got := must[api.BlobResult](l, api.OpBlobGet, api.BlobRequest{Credential: "alice", RPID: rpID}, p)
					if !bytes.Equal(got.Data, data) || got.Blob.Size != uint(len(data)) {
						t.Errorf("got %+v", got)
					}
				}
				random := make([]byte, 16<<10)
				chacha := rand.NewChaCha8([32]byte{})
				_, _ = chacha.Read(random)
				l.fails(api.OpBlobSet, api.BlobSetRequest{Credential: "alice", RPID: "example.org", Data: random}, p, api.CodeBlobsFull)
				if got := must[api.BlobResult](l, api.OpBlobGet, api.BlobRequest{Credential: "alice", RPID: "example.org"}, p); !bytes.Equal(got.Data, data) {
					t.Errorf("got %+v after what did not fit", got)
				}
				if profile == softkey.ProfileFIDO21 {
					l.fails(api.OpBlobSet, api.BlobSetRequest{Credential: "bob", RPID: "example.org", Data: data}, p, api.CodeUnsupported)
				}
				p.refuses = true
				l.fails(api.OpBlobDelete, api.BlobRequest{Credential: "alice", RPID: "example.org"}, p, api.CodeDenied)
				p.refuses = false
				must[api.BlobResult](l, api.OpBlobDelete, api.BlobRequest{Credential: "alice", RPID: "example.org"}, p)
				if profile == softkey.ProfileFIDO21 {
					l.fails(api.OpBlobGet, api.BlobRequest{Credential: "alice"}, p, api.CodeNotFound)
				} else if got := must[api.BlobResult](l, api.OpBlobGet, api.BlobRequest{Credential: "alice"}, p); len(got.Data) != 0 {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

func TestBlobArray(t *testing.T) {
	t.Run("fido2.1", func(t *testing.T) { testBlobArray(t, softkey.Config{Profile: softkey.ProfileFIDO21}) })
	// With a token that reads only.
	t.Run("fido2.3", func(t *testing.T) { testBlobArray(t, softkey.Config{LargeBlobArray: true}) })
}

func testBlobArray(t *testing.T, cfg softkey.Config) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.protected(cfg)
		p := always()
		list := must[api.BlobListResult](l, api.OpBlobList, api.BlobListRequest{}, p)
		if list.Blobs == nil || len(list.Blobs) != 0 || list.Used != 17 || list.Capacity != 4096 || list.Damaged {
			t.Errorf("got %+v", list)
		}
		for _, user := range []string{"alice", "bob"} {
			l.registers(creation(user, `"residentKey":"required"`, withBlob), p)
			must[api.BlobResult](l, api.OpBlobSet, api.BlobSetRequest{Credential: user, Data: []byte("of " + user)}, p)
		}
		// Nothing to collect, so nobody is asked.
		p.seen = nil
		if got := must[api.BlobCollectResult](l, api.OpBlobCollect, api.BlobCollectRequest{}, p); got.Removed != 0 {
			t.Errorf("got %+v", got)
		}
		must[api.CredentialResult](l, api.OpCredentialDelete, api.CredentialRequest{Credential: "alice"}, p)
		list = must[api.BlobListResult](l, api.OpBlobList, api.BlobListRequest{}, p)
		if len(list.Blobs) != 2 || list.Blobs[0].UserName != "" || list.Blobs[1].UserName != "bob" || list.Blobs[1].Size != 6 || list.Blobs[1].Index != 1 {
			t.Errorf("got %+v", list)
		}
		p.refuses = true
		l.fails(api.OpBlobCollect, api.BlobCollectRequest{}, p, api.CodeDenied)
		p.refuses = false
		got := must[api.BlobCollectResult](l, api.OpBlobCollect, api.BlobCollectRequest{}, p)
		if got.Removed != 1 || got.Used >= list.Used || !strings.Contains(p.seen[len(p.seen)-1].Message, "1 large blob ") {
			t.Errorf("got %+v after %q", got, p.seen[len(p.seen)-1].Message)
		}
		if got := must[api.BlobResult](l, api.OpBlobGet, api.BlobRequest{Credential: "bob"}, p); string(got.Data) != "of bob" {
			t.Errorf("got %+v", got)
		}
	})
}

// damaging is a key whose large-blob array has a wrong checksum when it is read.
type damaging struct{ *softkey.Authenticator }

func (d damaging) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	response, err := d.Authenticator.CBOR(ctx, request, keepalive)
	if ctap2.Cmd(request[0]) == ctap2.CmdLargeBlobs && len(response) > 20 {
		response[len(response)-1] ^= 1
	}
	return response, err
}

func TestDamagedBlobArray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a, err := softkey.New(softkey.Config{Profile: softkey.ProfileFIDO21})
		if err != nil {
			t.Fatal(err)
		}
		l.plug("k1", damaging{a}, both)
		p := always()
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		l.registers(creation("alice", `"residentKey":"required"`, withBlob), p)
		must[api.BlobResult](l, api.OpBlobSet, api.BlobSetRequest{Credential: "alice", Data: []byte("x")}, p)
		if got := must[api.BlobListResult](l, api.OpBlobList, api.BlobListRequest{}, p); !got.Damaged || len(got.Blobs) != 0 {
			t.Errorf("got %+v", got)
		}
		e := l.fails(api.OpBlobGet, api.BlobRequest{Credential: "alice"}, p, api.CodeNotFound)
		if !strings.Contains(e.Message, "damaged") {
			t.Errorf("got %+v", e)
		}
		must[api.BlobResult](l, api.OpBlobSet, api.BlobSetRequest{Credential: "alice", Data: []byte("y")}, p)
	})
}
