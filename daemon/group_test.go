package daemon_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestKeysNamedByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for _, name := range []string{"emulated", "00112233-4455-6677-8899-aabbccddeeff"} {
			e := l.fails(api.OpInfo, api.KeyRequest{Key: name}, nil, api.CodeNoKey)
			if !strings.Contains(e.Message, name) || e.Hint == "" {
				t.Errorf("%s: got %q", name, e.Message)
			}
		}
		// Two keys of different models, and one that fobd emulates.
		u2f, err := softkey.New(softkey.Config{Profile: softkey.ProfileU2F})
		if err != nil {
			t.Fatal(err)
		}
		real, err := softkey.New(softkey.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l.plug("old", u2f, ctaphid.ServerConfig{Capabilities: ctaphid.CapWink})
		l.plug("new", real, ctaphid.ServerConfig{})
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "mine", Profile: "u2f"}, nil)
		time.Sleep(time.Second)

		info := must[api.InfoResult](l, api.OpInfo, api.KeyRequest{Key: "emulated"}, nil)
		if info.Key.Serial != "mine" {
			t.Errorf("emulated: got %+v", info.Key)
		}
		model := must[api.InfoResult](l, api.OpInfo, api.KeyRequest{Key: "new"}, nil).Key.AAGUID
		if model == info.Key.AAGUID {
			t.Fatalf("both keys are of the model %s", model)
		}
		for _, name := range []string{model, strings.ToUpper(model), strings.ReplaceAll(model, "-", "")} {
			p := &person{}
			if got := must[api.TouchResult](l, api.OpTouch, api.TouchRequest{Key: name}, p).Key; got.ID != "new" {
				t.Errorf("%s: got %+v", name, got)
			}
			for _, seen := range p.seen {
				if seen.Key != "new" {
					t.Errorf("%s: %s was asked to blink", name, seen.Key)
				}
			}
		}
		e := l.fails(api.OpTouch, api.TouchRequest{Key: "00112233-4455-6677-8899-aabbccddeeff"}, nil, api.CodeNoKey)
		if !strings.Contains(e.Message, "00112233-4455-6677-8899-aabbccddeeff") {
			t.Errorf("got %q", e.Message)
		}
		// Zeros are the AAGUID of every U2F key: no model.
		l.fails(api.OpTouch, api.TouchRequest{Key: "00000000-0000-0000-0000-000000000000"}, nil, api.CodeNoKey)
		l.fails(api.OpTouch, api.TouchRequest{Key: "emulate"}, nil, api.CodeNoKey)
	})
}
