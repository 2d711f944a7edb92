package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid/ctaphid"
)

func TestListAndInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		if got := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil); got.Keys == nil || len(got.Keys) != 0 {
			t.Errorf("got %v, want an empty list", got.Keys)
		}
		k := newToy()
		k.info.Options = map[string]bool{"clientPin": true, "rk": true}
		k.info.MinPINLength = 6
		l.plug("k2", k, toyServer)
		l.plug("k1", newToy(), toyServer)
		list := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys
		if len(list) != 2 || list[0].ID != "k1" || list[1].ID != "k2" {
			t.Fatalf("got %+v, want k1 and k2", list)
		}
		if got := list[1]; got.Name != "Yubico Key k2" || got.VendorID != 0x1050 || got.Serial != "serial-k2" || got.Versions != nil {
			t.Errorf("got %+v", got)
		}

		// By id, and by serial number.
		for _, name := range []string{"k2", "serial-k2"} {
			info := must[api.InfoResult](l, api.OpInfo, api.KeyRequest{Key: name}, nil)
			if info.Key.ID != "k2" || info.CTAPHID != "2, 5.4.3" || !slices.Equal(info.Capabilities, []string{"wink", "cbor"}) {
				t.Errorf("got %+v", info)
			}
			data, err := json.Marshal(info.Info)
			if err != nil {
				t.Fatal(err)
			}
			want := `{"aaguid":"01000000-0000-0000-0000-000000000000","minPINLength":6,"options":{"clientPin":true,"rk":true},"versions":["FIDO_2_1"]}`
			if string(data) != want {
				t.Errorf("got %s, want %s", data, want)
			}
		}
		known := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys[1]
		if known.PINSet == nil || !*known.PINSet || !slices.Equal(known.Versions, []string{"FIDO_2_1"}) || known.AAGUID == "" {
			t.Errorf("list does not tell what info found out: %+v", known)
		}
		l.bus.Detach("k2")
		l.settle()
		l.plug("k2", k, toyServer)
		if got := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys[1]; got.Versions != nil {
			t.Errorf("what was known of a key outlived its being pulled out: %+v", got)
		}
	})
}

func TestInfoAsksTheOneThatIsTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a, b := newToy(), newToy()
		l.plug("a", a, toyServer)
		l.plug("b", b, toyServer)
		b.touches <- struct{}{}
		if got := must[api.InfoResult](l, api.OpInfo, api.KeyRequest{}, &person{}).Key.ID; got != "b" {
			t.Errorf("got %s, want the touched one, b", got)
		}
	})
}

func TestWink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("k1", newToy(), toyServer)
		if got := must[api.KeyResult](l, api.OpWink, api.KeyRequest{}, nil).Key.ID; got != "k1" {
			t.Errorf("got %s", got)
		}
		l.plug("k2", newToy(), ctaphid.ServerConfig{Capabilities: ctaphid.CapCBOR})
		l.fails(api.OpWink, api.KeyRequest{Key: "k2"}, nil, api.CodeUnsupported)
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("k1", newToy(), toyServer)
		got := must[api.StatusResult](l, api.OpStatus, api.StatusRequest{}, nil)
		if got.Version != "1.2.3" || got.Mode != "user" || got.Socket != "/s" || got.Keys != 1 || got.API != api.Version ||
			got.Running != 0 || got.Waiting != 0 || got.PID == 0 || got.StartedAt == "" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPolicyComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		// Rules can speak of sites: these two are decoded first.
		sites := map[string]any{
			api.OpRegister: api.RegisterRequest{Origin: "https://example.org", Options: creation("alice", "", "")},
			api.OpAssert:   api.AssertRequest{Origin: "https://example.org", Options: json.RawMessage(`{"challenge":"AAAAAAAAAAAAAAAAAAAAAA","rpId":"example.org"}`)},
		}
		mallory := policy.Actor{UID: 1001, PID: 1, User: "mallory"}
		for _, op := range daemon.Operations() {
			decode := func(any) error { t.Error("decoded for one who may not"); return nil }
			if r, ok := sites[op.Name]; ok {
				decode = decoder(r)
			}
			_, err := l.engine.Do(l.ctx, mallory, op.Name, decode, nil)
			if e := wantCode(t, err, api.CodeDenied); !strings.Contains(e.Message, op.Name) {
				t.Errorf("%s: got %q", op.Name, e.Message)
			}
		}
		err := l.engine.Events(l.ctx, mallory, func(api.Event) error { t.Error("got an event"); return nil })
		wantCode(t, err, api.CodeDenied)
		root := policy.Actor{UID: 0}
		if _, err := l.engine.Do(l.ctx, root, api.OpList, decoder(api.ListRequest{}), nil); err != nil {
			t.Errorf("root: %v", err)
		}
	})
}

func TestBadRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.fails("no-such-thing", nil, nil, api.CodeUnknownOperation)
		_, err := l.engine.Do(l.ctx, alice, api.OpList, func(any) error { return errors.New("unknown member") }, nil)
		if e := wantCode(t, err, api.CodeInvalidRequest); !strings.Contains(e.Message, "unknown member") {
			t.Errorf("got %q", e.Message)
		}
		l.fails(api.OpCheck, api.CheckRequest{}, nil, api.CodeUnsupported)
	})
}

func TestOperationsAreSortedAndWhole(t *testing.T) {
	ops := daemon.Operations()
	if !slices.IsSortedFunc(ops, func(a, b daemon.Operation) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted")
	}
	var names []string
	for _, op := range ops {
		names = append(names, op.Name)
		if op.Summary == "" || strings.HasSuffix(op.Summary, ".") || op.Scope == "" || op.Request == nil || op.Result == nil {
			t.Errorf("%+v lacks something", op)
		}
	}
	want := []string{
		api.OpAssert, api.OpEmulateAdd, api.OpEmulateList, api.OpEmulatePower, api.OpEmulateRemove, api.OpEmulateSet,
		api.OpEmulateTouch, api.OpInfo, api.OpList, api.OpPINChange, api.OpPINSet, api.OpPINStatus, api.OpRegister,
		api.OpReset, api.OpStatus, api.OpTouch, api.OpCheck, api.OpWink,
		api.OpCredentialList, api.OpCredentialShow, api.OpCredentialDelete, api.OpCredentialRename,
		api.OpFingerprintList, api.OpFingerprintAdd, api.OpFingerprintRename, api.OpFingerprintDelete,
		api.OpBlobList, api.OpBlobGet, api.OpBlobSet, api.OpBlobDelete, api.OpBlobCollect,
		api.OpConfigShow, api.OpConfigIdentify, api.OpConfigEnterprise, api.OpConfigAlwaysUV,
		api.OpConfigMinPIN, api.OpConfigLongTouch, api.OpConfigVendor,
		api.OpEmulateFault, api.OpEmulateClock, api.OpEmulateFinger, api.OpEmulateSnapshot, api.OpEmulateRestore,
		api.OpEmulateClone, api.OpEmulateImport, api.OpEmulateExport, api.OpEmulateObserve,
		api.OpLease, api.OpLeaseEnd, api.OpLeaseList, api.OpLeaseSend,
		api.OpCode, api.OpAccountList, api.OpAccountAdd, api.OpAccountDelete, api.OpAccountRename, api.OpAccountProtect, api.OpAccountReset, api.OpTokenCode, api.OpSlotShow, api.OpSlotRespond, api.OpSlotCode, api.OpSlotSet, api.OpSlotSwap, api.OpSlotDelete,
		api.OpUserEnroll, api.OpUserVerify, api.OpUserList, api.OpUserShow, api.OpUserRemove, api.OpInventory, api.OpStatementKeys, api.OpStatementCheck,
		api.OpTokenCreate, api.OpTokenExport, api.OpTokenChallenge, api.OpTokenAnswer, api.OpStoreBackup, api.OpStoreRestore, api.OpStoreCheck, api.OpStoreReseal,
		api.OpPolicyCheck, api.OpPolicyExplain, api.OpPolicyList, api.OpGrantList, api.OpGrantRevoke, api.OpAuditList, api.OpAuditVerify,
		api.OpTokenAssign, api.OpTokenDisable, api.OpTokenEnable, api.OpTokenEnroll, api.OpTokenFind, api.OpTokenImport, api.OpTokenList, api.OpTokenLost, api.OpTokenResync, api.OpTokenRetire, api.OpTokenShow, api.OpTokenVerify, api.OpRecoveryCodes, api.OpUserUnlock,
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestLyingKey(t *testing.T) {
	for name, answer := range map[string][]byte{
		"empty":          {},
		"not CBOR":       {0, 0xFF, 0xFF},
		"another type":   {0, 0x01},
		"lacks versions": {0, 0xA0},
		"long":           append([]byte{0, 0xA1, 0x01}, make([]byte, 7000)...),
		"status":         {byte(ctap2.ErrOther)},
		"vendor status":  {0xF7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				k := newToy()
				k.cbor = func(context.Context, []byte, func(byte)) ([]byte, error) { return answer, nil }
				l.plug("k1", k, toyServer)
				e := l.fails(api.OpTouch, api.TouchRequest{Key: "k1"}, &person{}, api.CodeKeyError)
				if e.Key != "k1" || !strings.Contains(e.Message, "Key k1") || e.Hint == "" {
					t.Errorf("got %+v", e)
				}
				// Others go on.
				good := newToy()
				l.plug("k2", good, toyServer)
				good.touches <- struct{}{}
				must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, &person{})
			})
		})
	}
}
