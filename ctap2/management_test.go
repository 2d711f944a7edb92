package ctap2_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// managedKey is the part of an authenticator that has credential management: perRP credentials of each
// of rps relying parties.
type managedKey struct {
	t     testing.TB
	cmd   ctap2.Cmd
	token []byte
	rps   int
	perRP int

	next, last int // of the listing that is going on
	rp         int
	deleted    []byte
	updated    *ctap2.User
	asked      int
}

func (k *managedKey) CBOR(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	k.asked++
	if ctap2.Cmd(request[0]) != k.cmd {
		k.t.Errorf("command %#x", request[0])
	}
	resp, err := k.answer(request[1:])
	if err != nil {
		return []byte{byte(ctap2.StatusOf(err))}, nil
	}
	return ctap2.MarshalResponse(resp)
}

func (k *managedKey) answer(data []byte) (any, error) {
	var r ctap2.CredentialManagementRequest
	if err := ctap2.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	next := r.Subcommand == ctap2.SubEnumerateRPsGetNextRP || r.Subcommand == ctap2.SubEnumerateCredentialsGetNext
	if next != (r.PINUVAuthParam == nil) {
		k.t.Errorf("subcommand %d with pinUvAuthParam %x", r.Subcommand, r.PINUVAuthParam)
	}
	if !next && !pinuv.Two.Verify(k.token, r.Authenticated(), r.PINUVAuthParam) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	var p ctap2.CredentialManagementParams
	if len(r.SubcommandParams) > 0 {
		if err := ctap2.Unmarshal(r.SubcommandParams, &p); err != nil {
			return nil, err
		}
	}
	switch r.Subcommand {
	case ctap2.SubGetCredsMetadata:
		return &ctap2.CredentialManagementResponse{ExistingCredentials: new(uint(k.rps * k.perRP)), RemainingCredentials: new(uint(7))}, nil
	case ctap2.SubEnumerateRPsBegin:
		if k.rps == 0 {
			return nil, ctap2.ErrNoCredentials
		}
		k.next, k.last = 0, k.rps
		resp := k.party()
		resp.TotalRPs = new(uint(k.rps))
		return resp, nil
	case ctap2.SubEnumerateCredentialsBegin:
		k.rp = int(binary.BigEndian.Uint32(p.RPIDHash))
		if k.rp >= k.rps || k.perRP == 0 {
			return nil, ctap2.ErrNoCredentials
		}
		k.next, k.last = 0, k.perRP
		resp := k.credential()
		resp.TotalCredentials = new(uint(k.perRP))
		return resp, nil
	case ctap2.SubEnumerateRPsGetNextRP, ctap2.SubEnumerateCredentialsGetNext:
		if k.next >= k.last {
			return nil, ctap2.ErrNotAllowed
		}
		if r.Subcommand == ctap2.SubEnumerateRPsGetNextRP {
			return k.party(), nil
		}
		return k.credential(), nil
	case ctap2.SubDeleteCredential:
		if p.CredentialID.Transports != nil {
			return nil, ctap2.ErrInvalidParameter
		}
		k.deleted = p.CredentialID.ID
		return nil, nil
	case ctap2.SubUpdateUserInformation:
		k.updated = p.User
		return nil, nil
	}
	return nil, ctap2.ErrInvalidSubcommand
}

func (k *managedKey) party() *ctap2.CredentialManagementResponse {
	hash := binary.BigEndian.AppendUint32(nil, uint32(k.next))
	resp := &ctap2.CredentialManagementResponse{RP: &ctap2.RP{ID: fmt.Sprint("rp", k.next)}, RPIDHash: append(hash, make([]byte, 28)...)}
	k.next++
	return resp
}

func (k *managedKey) credential() *ctap2.CredentialManagementResponse {
	resp := &ctap2.CredentialManagementResponse{
		User:         &ctap2.User{ID: []byte{byte(k.rp), byte(k.next >> 8), byte(k.next)}, Name: "n"},
		CredentialID: &ctap2.CredentialDescriptor{ID: []byte{1, byte(k.next >> 8), byte(k.next)}, Type: ctap2.TypePublicKey},
		PublicKey:    new(agreementKey(k.t)),
		CredProtect:  2,
		LargeBlobKey: repeat(4, 32),
	}
	k.next++
	return resp
}

func (k *managedKey) manager(options ...string) *ctap2.CredentialManager {
	k.t.Helper()
	info := &ctap2.Info{Options: map[string]bool{}}
	for _, option := range options {
		info.Options[option] = true
	}
	m, err := ctap2.NewClient(k, nil).CredentialManager(info, ctap2.NewToken(pinuv.Two, k.token))
	if err != nil {
		k.t.Fatal(err)
	}
	return m
}

func TestCredentialManager(t *testing.T) {
	for _, tt := range []struct {
		cmd     ctap2.Cmd
		options []string
	}{
		{ctap2.CmdCredentialManagement, []string{"credMgmt"}},
		{ctap2.CmdCredentialManagement, []string{"credMgmt", "credentialMgmtPreview"}},
		{ctap2.CmdCredentialManagementPreview, []string{"credentialMgmtPreview"}},
	} {
		k := &managedKey{t: t, cmd: tt.cmd, token: repeat(5, 32), rps: 3, perRP: 4}
		m := k.manager(tt.options...)
		if existing, remaining, err := m.Metadata(t.Context()); existing != 12 || remaining != 7 || err != nil {
			t.Errorf("Metadata = %d, %d, %v", existing, remaining, err)
		}
		rps, err := m.RPs(t.Context())
		if err != nil || len(rps) != 3 || rps[2].RP.ID != "rp2" || rps[2].RPIDHash[3] != 2 {
			t.Fatalf("RPs = %+v, %v", rps, err)
		}
		credentials, err := m.Credentials(t.Context(), rps[1].RPIDHash)
		if err != nil || len(credentials) != 4 {
			t.Fatalf("Credentials = %+v, %v", credentials, err)
		}
		want := ctap2.ManagedCredential{
			User: ctap2.User{ID: []byte{1, 0, 3}, Name: "n"}, CredentialID: ctap2.CredentialDescriptor{ID: []byte{1, 0, 3}, Type: ctap2.TypePublicKey},
			PublicKey: agreementKey(t), PublicKeyRaw: unhex(t, agreementKeyWire), CredProtect: 2, LargeBlobKey: repeat(4, 32),
		}
		if diff := cmp.Diff(want, credentials[3]); diff != "" {
			t.Errorf("credential (-want +got):\n%s", diff)
		}
		id := ctap2.CredentialDescriptor{ID: []byte{9}, Type: ctap2.TypePublicKey, Transports: []string{"usb"}}
		if err := m.Delete(t.Context(), id); err != nil || !bytes.Equal(k.deleted, []byte{9}) {
			t.Errorf("Delete: %v, deleted %x", err, k.deleted)
		}
		user := ctap2.User{ID: []byte{1}, Name: "new"}
		if err := m.UpdateUser(t.Context(), id, user); err != nil || k.updated == nil || !cmp.Equal(*k.updated, user) {
			t.Errorf("UpdateUser: %v, updated %+v", err, k.updated)
		}
	}
}

func TestNoCredentialsIsAnEmptyList(t *testing.T) {
	k := &managedKey{t: t, cmd: ctap2.CmdCredentialManagement, token: repeat(5, 32)}
	m := k.manager("credMgmt")
	if rps, err := m.RPs(t.Context()); err != nil || len(rps) != 0 {
		t.Errorf("RPs = %v, %v", rps, err)
	}
	if credentials, err := m.Credentials(t.Context(), [32]byte{}); err != nil || len(credentials) != 0 {
		t.Errorf("Credentials = %v, %v", credentials, err)
	}
	// A total of zero instead of the status.
	for wire, list := range map[string]func(m *ctap2.CredentialManager) (int, error){
		"00 a1 05 00": func(m *ctap2.CredentialManager) (int, error) { l, err := m.RPs(t.Context()); return len(l), err },
		"00 a1 09 00": func(m *ctap2.CredentialManager) (int, error) {
			l, err := m.Credentials(t.Context(), [32]byte{})
			return len(l), err
		},
	} {
		m, err := play(unhex(t, wire)).CredentialManager(&ctap2.Info{Options: map[string]bool{"credMgmt": true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := list(m); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", wire, n, err)
		}
	}
}

func TestCredentialManagementNotThere(t *testing.T) {
	for _, options := range []map[string]bool{nil, {"credMgmt": false}, {"credentialMgmtPreview": false}} {
		if m, err := play(nil).CredentialManager(&ctap2.Info{Options: options}, nil); !errors.Is(err, ctap2.ErrNotSupported) || m != nil {
			t.Errorf("%v: %v, %v", options, m, err)
		}
	}
}

func TestStatusesOfCredentialManagement(t *testing.T) {
	info := &ctap2.Info{Options: map[string]bool{"credMgmt": true}}
	for _, status := range []ctap2.Status{
		ctap2.ErrInvalidCommand, ctap2.ErrMissingParameter, ctap2.ErrPUATRequired, ctap2.ErrPINAuthInvalid,
		ctap2.ErrUnauthorizedPermission, ctap2.ErrInvalidSubcommand, ctap2.ErrInvalidParameter, ctap2.ErrKeyStoreFull, ctap2.ErrNotAllowed,
	} {
		m, err := play([]byte{byte(status)}).CredentialManager(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err1 := m.Metadata(t.Context())
		_, err2 := m.RPs(t.Context())
		_, err3 := m.Credentials(t.Context(), [32]byte{})
		err4 := m.Delete(t.Context(), ctap2.CredentialDescriptor{})
		err5 := m.UpdateUser(t.Context(), ctap2.CredentialDescriptor{}, ctap2.User{})
		for i, err := range []error{err1, err2, err3, err4, err5} {
			e, ok := errors.AsType[*ctap2.Error](err)
			if want := []uint{1, 2, 4, 6, 7}[i]; !ok || e.Status != status || e.Cmd != ctap2.CmdCredentialManagement || e.Subcommand != want {
				t.Errorf("%s: %v", status.Name(), err)
			}
		}
	}
	m, err := play([]byte{byte(ctap2.ErrNoCredentials)}).CredentialManager(info, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Delete(t.Context(), ctap2.CredentialDescriptor{}); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("deleting what is not there: %v", err)
	}
}

func TestHostileListings(t *testing.T) {
	marshal := func(r ctap2.CredentialManagementResponse) []byte {
		b, err := ctap2.MarshalResponse(&r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	party := func(total *uint) []byte {
		return marshal(ctap2.CredentialManagementResponse{RPIDHash: repeat(1, 32), TotalRPs: total})
	}
	credential := ctap2.CredentialManagementResponse{
		User: &ctap2.User{ID: []byte{1}}, CredentialID: &ctap2.CredentialDescriptor{ID: []byte{1}}, PublicKey: new(agreementKey(t)), TotalCredentials: new(uint(1)),
	}
	without := func(change func(r *ctap2.CredentialManagementResponse)) []byte {
		r := credential
		change(&r)
		return marshal(r)
	}
	notAllowed, none := []byte{byte(ctap2.ErrNotAllowed)}, []byte{byte(ctap2.ErrNoCredentials)}
	for _, tt := range []struct {
		name        string
		credentials bool
		answers     [][]byte
		want        error
	}{
		{"no total", false, [][]byte{party(nil)}, ctap2.ErrResponse},
		{"nothing", false, [][]byte{{0}}, ctap2.ErrResponse},
		{"total over the limit", false, [][]byte{party(new(uint(ctap2.MaxListed + 1)))}, ctap2.ErrResponse},
		{"huge total", false, [][]byte{party(new(^uint(0)))}, ctap2.ErrResponse},
		{"total of three and two there", false, [][]byte{party(new(uint(3))), party(nil), notAllowed}, ctap2.ErrResponse},
		{"the status is kept", false, [][]byte{party(new(uint(3))), notAllowed}, ctap2.ErrNotAllowed},
		{"no credentials in the middle", false, [][]byte{party(new(uint(2))), none}, ctap2.ErrResponse},
		{"another status in the middle", false, [][]byte{party(new(uint(2))), {byte(ctap2.ErrChannelBusy)}}, ctap2.ErrChannelBusy},
		{"next without hash", false, [][]byte{party(new(uint(2))), {0}}, ctap2.ErrResponse},
		{"hash of 31 bytes", false, [][]byte{marshal(ctap2.CredentialManagementResponse{RPIDHash: repeat(1, 31), TotalRPs: new(uint(1))})}, ctap2.ErrResponse},
		{"hash of 33 bytes", false, [][]byte{marshal(ctap2.CredentialManagementResponse{RPIDHash: repeat(1, 33), TotalRPs: new(uint(1))})}, ctap2.ErrResponse},
		{"RP is text", false, [][]byte{unhex(t, "00 a1 03 60")}, ctap2.ErrResponse},
		{"total is negative", false, [][]byte{unhex(t, "00 a1 05 20")}, ctap2.ErrResponse},
		{"one RP", false, [][]byte{party(new(uint(1)))}, nil},
		{"total of RPs for credentials", true, [][]byte{party(new(uint(1)))}, ctap2.ErrResponse},
		{"one credential", true, [][]byte{marshal(credential)}, nil},
		{"no user", true, [][]byte{without(func(r *ctap2.CredentialManagementResponse) { r.User = nil })}, ctap2.ErrResponse},
		{"no id", true, [][]byte{without(func(r *ctap2.CredentialManagementResponse) { r.CredentialID = nil })}, ctap2.ErrResponse},
		{"empty id", true, [][]byte{without(func(r *ctap2.CredentialManagementResponse) { r.CredentialID = &ctap2.CredentialDescriptor{} })}, ctap2.ErrResponse},
		{"no key", true, [][]byte{without(func(r *ctap2.CredentialManagementResponse) { r.PublicKey = nil })}, ctap2.ErrResponse},
		{"largeBlobKey of 31 bytes", true, [][]byte{without(func(r *ctap2.CredentialManagementResponse) { r.LargeBlobKey = repeat(1, 31) })}, ctap2.ErrResponse},
	} {
		s := &script{answers: map[byte][][]byte{10: tt.answers}}
		m, err := ctap2.NewClient(s, nil).CredentialManager(&ctap2.Info{Options: map[string]bool{"credMgmt": true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if tt.credentials {
			var list []ctap2.ManagedCredential
			list, err = m.Credentials(t.Context(), [32]byte{})
			n = len(list)
			if n == 1 && list[0].CredentialID.Type != ctap2.TypePublicKey {
				t.Errorf("%s: type %q", tt.name, list[0].CredentialID.Type)
			}
		} else {
			var list []ctap2.ManagedRP
			list, err = m.RPs(t.Context())
			n = len(list)
		}
		if !errors.Is(err, tt.want) || (err == nil) != (n == 1) || len(s.requests) != len(tt.answers) {
			t.Errorf("%s: %d, %v after %d requests", tt.name, n, err, len(s.requests))
		}
	}
	for _, wire := range []string{"00", "00 a0", "00 a1 01 01", "00 a1 02 01", "00 a2 01 f5 02 01"} {
		m, err := play(unhex(t, wire)).CredentialManager(&ctap2.Info{Options: map[string]bool{"credMgmt": true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Metadata(t.Context()); !errors.Is(err, ctap2.ErrResponse) {
			t.Errorf("metadata %s: %v", wire, err)
		}
	}
}

// TestLongestListing has as many entries as there may be, and checks that each costs one exchange.
func TestLongestListing(t *testing.T) {
	for _, n := range []int{ctap2.MaxListed - 1, ctap2.MaxListed} {
		k := &managedKey{t: t, cmd: ctap2.CmdCredentialManagement, token: repeat(5, 32), rps: 1, perRP: n}
		list, err := k.manager("credMgmt").Credentials(t.Context(), [32]byte{})
		if err != nil || len(list) != n || k.asked != n {
			t.Errorf("%d credentials: %d in %d exchanges, %v", n, len(list), k.asked, err)
		}
	}
}

func BenchmarkCredentials(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := &managedKey{t: b, cmd: ctap2.CmdCredentialManagement, token: repeat(5, 32), rps: 1, perRP: n}
			m := k.manager("credMgmt")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Credentials(b.Context(), [32]byte{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/credential")
		})
	}
}
