package ctap2_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// listKey answers silent assertions: it has one credential, takes so many in a list and so many bytes in a
// request.
type listKey struct {
	t       testing.TB
	has     []byte // nil: none
	count   int
	size    int
	tooMany ctap2.Status

	asked   int
	refused int
	seen    int // credentials
	largest int // request
}

func (k *listKey) CBOR(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	k.asked++
	k.largest = max(k.largest, len(request))
	if len(request) > k.size {
		k.refused++
		return []byte{byte(ctap2.ErrRequestTooLarge)}, nil
	}
	var r ctap2.GetAssertionRequest
	if err := ctap2.Unmarshal(request[1:], &r); err != nil {
		k.t.Error(err)
	}
	if len(r.AllowList) > k.count {
		k.refused++
		return []byte{byte(k.tooMany)}, nil
	}
	k.seen += len(r.AllowList)
	for _, d := range r.AllowList {
		if k.has != nil && string(d.ID) == string(k.has) {
			return ctap2.MarshalResponse(&ctap2.GetAssertionResponse{Credential: &d, AuthData: []byte{1}, Signature: []byte{1}})
		}
	}
	return []byte{byte(ctap2.ErrNoCredentials)}, nil
}

// longList gives n descriptors with ids of size bytes.
func longList(n, size int) []ctap2.CredentialDescriptor {
	list := make([]ctap2.CredentialDescriptor, n)
	for i := range list {
		id := make([]byte, size)
		binary.BigEndian.PutUint16(id, uint16(i))
		list[i] = ctap2.CredentialDescriptor{ID: id, Type: ctap2.TypePublicKey, Transports: []string{"usb", "nfc"}}
	}
	return list
}

func TestPreflightKeepsTheMessageSize(t *testing.T) {
	for _, size := range []int{2, 23, 24, 100, 255, 256, 900} {
		for _, limit := range []uint{1024, 1200, 2048, 7609} {
			for _, token := range []*ctap2.Token{nil, ctap2.NewToken(pinuv.Two, repeat(5, 32))} {
				list := longList(60, size)
				k := &listKey{t: t, has: list[59].ID, count: 1000, size: int(limit)}
				info := &ctap2.Info{MaxMsgSize: limit, MaxCredentialCountInList: 1000}
				d, ok, err := ctap2.NewClient(k, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: info, RPID: "example.org", List: list, Token: token})
				if err != nil || !ok || string(d.ID) != string(k.has) || k.seen != 60 || k.refused > 0 {
					t.Errorf("ids of %d, messages of %d: %v, %v, %d seen, %d refused", size, limit, ok, err, k.seen, k.refused)
				}
				// Full as far as possible: another credential would not have had room.
				if one := size + 30; k.asked > 1 && k.largest+one < int(limit) {
					t.Errorf("ids of %d: the largest message has %d of %d bytes", size, k.largest, limit)
				}
			}
		}
	}
}

func TestPreflightOfAnIDThatDoesNotFit(t *testing.T) {
	k := &listKey{t: t, count: 1000, size: 1024}
	_, _, err := ctap2.NewClient(k, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: &ctap2.Info{}, RPID: "a.b", List: longList(3, 2000)})
	if !errors.Is(err, ctap2.ErrRequestTooLarge) || k.asked != 1 {
		t.Errorf("%v after %d requests", err, k.asked)
	}
}

func TestPreflightWithListsRefused(t *testing.T) {
	for _, status := range []ctap2.Status{ctap2.ErrLimitExceeded, ctap2.ErrRequestTooLarge} {
		for _, count := range []int{1, 2, 3, 7, 31, 32, 33} {
			list := longList(100, 16)
			k := &listKey{t: t, has: list[99].ID, count: count, size: 1 << 16, tooMany: status}
			info := &ctap2.Info{MaxMsgSize: 7609, MaxCredentialCountInList: 32} // which is not true
			_, ok, err := ctap2.NewClient(k, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: info, RPID: "a.b", List: list})
			if err != nil || !ok || k.seen != 100 || k.refused > 5 {
				t.Errorf("%s, lists of %d: %v, %v, %d seen, %d refused", status.Name(), count, ok, err, k.seen, k.refused)
			}
		}
		k := &listKey{t: t, count: 0, size: 1 << 16, tooMany: status}
		_, _, err := ctap2.NewClient(k, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: &ctap2.Info{MaxCredentialCountInList: 8}, RPID: "a.b", List: longList(100, 16)})
		if !errors.Is(err, status) || k.asked != 4 {
			t.Errorf("%s for every list: %v after %d requests", status.Name(), err, k.asked)
		}
	}
}

func TestPreflightSilenceRefused(t *testing.T) {
	for _, status := range []ctap2.Status{
		ctap2.ErrUPRequired, ctap2.ErrUnsupportedOption, ctap2.ErrInvalidOption, ctap2.ErrPUATRequired, ctap2.ErrPINAuthInvalid, ctap2.ErrUserActionTimeout, ctap2.ErrOther,
	} {
		s := &script{answers: map[byte][][]byte{2: {{byte(ctap2.ErrNoCredentials)}, {byte(status)}}}}
		_, ok, err := ctap2.NewClient(s, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: &ctap2.Info{}, RPID: "a.b", List: longList(3, 16)})
		if ok || !errors.Is(err, status) || len(s.requests) != 2 {
			t.Errorf("%s: %v, %v after %d requests", status.Name(), ok, err, len(s.requests))
		}
	}
}

func TestPreflightOfNothing(t *testing.T) {
	c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) {
		t.Error("the key was asked")
		return nil, nil
	}), nil)
	list := longList(3, 17)
	for _, r := range []ctap2.PreflightRequest{{Info: &ctap2.Info{}}, {Info: &ctap2.Info{MaxCredentialIDLength: 16}, List: list}, {Info: &ctap2.Info{}, List: []ctap2.CredentialDescriptor{{ID: []byte{1}, Type: "else"}}}} {
		if _, ok, err := c.Preflight(t.Context(), r); ok || err != nil {
			t.Errorf("%d credentials: %v, %v", len(r.List), ok, err)
		}
	}
}

// TestListFits compares the answer with the size of the request itself, at every size around it.
func TestListFits(t *testing.T) {
	for _, n := range []int{0, 1, 2, 10, 23, 24, 25, 300} {
		for _, size := range []int{2, 23, 24, 255, 256} {
			for _, rpID := range []string{"a.b", "a-name-of-more-than-23-characters.example.org"} {
				list := longList(n, size)
				if n == 2 {
					list[0].Transports = nil
				}
				request, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: make([]byte, 32), AllowList: list})
				if err != nil {
					t.Fatal(err)
				}
				for _, extra := range []int{0, 100} {
					need := len(request) + extra
					for _, limit := range []int{need - 1, need, need + 1} {
						info := &ctap2.Info{MaxMsgSize: uint(limit), MaxCredentialCountInList: 300}
						if got, want := info.ListFits(rpID, list, extra), limit >= need || n == 0; got != (want && (need <= 7609 || n == 0)) {
							t.Errorf("%d ids of %d, %s, %d extra, %d bytes of %d: %v", n, size, rpID, extra, need, limit, got)
						}
					}
				}
			}
		}
	}
	for _, tt := range []struct {
		n     int
		limit uint
		want  bool
	}{{0, 0, true}, {1, 0, true}, {2, 0, false}, {7, 8, true}, {8, 8, true}, {9, 8, false}} {
		info := &ctap2.Info{MaxMsgSize: 7609, MaxCredentialCountInList: tt.limit}
		if got := info.ListFits("a.b", longList(tt.n, 16), 0); got != tt.want {
			t.Errorf("%d credentials where %d are taken: %v", tt.n, tt.limit, got)
		}
	}
}

// TestPreflightIsLinear counts requests and credentials sent for a list of a thousand.
func TestPreflightIsLinear(t *testing.T) {
	list := longList(1000, 64)
	for _, count := range []uint{1, 8, 64} {
		k := &listKey{t: t, count: int(count), size: 7609}
		info := &ctap2.Info{MaxMsgSize: 7609, MaxCredentialCountInList: count}
		_, ok, err := ctap2.NewClient(k, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: info, RPID: "a.b", List: list})
		if want := (1000 + int(count) - 1) / int(count); err != nil || ok || k.seen != 1000 || k.asked != want {
			t.Errorf("lists of %d: %v, %v, %d credentials in %d requests, want %d", count, ok, err, k.seen, k.asked, want)
		}
	}
}

func BenchmarkPreflight(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := longList(n, 64)
			c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) { return []byte{byte(ctap2.ErrNoCredentials)}, nil }), nil)
			r := ctap2.PreflightRequest{Info: &ctap2.Info{MaxMsgSize: 7609, MaxCredentialCountInList: 8}, RPID: "a.b", List: list}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.Preflight(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/credential")
		})
	}
}
