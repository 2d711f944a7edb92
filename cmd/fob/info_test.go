package main

import (
	"testing"

	"github.com/fobd/fobd/daemon/api"
)

func TestInfoShowsEveryMember(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpInfo] = api.InfoResult{
		Key: api.Key{ID: "k", Name: "Key", VendorID: 0x1050, ProductID: 0x407}, CTAPHID: "2, 5.4.3",
		Capabilities: []string{"wink", "cbor"},
		Info: map[string]any{
			"versions": []string{"FIDO_2_0", "evil\x1b[2J"}, "options": map[string]any{"rk": true, "up": false},
			"maxMsgSize": 7609, "absent": nil, "algorithms": []any{map[string]any{"alg": -7}, map[string]any{"alg": -8}},
		},
	}
	got := f.fob(t, "", "info", "k")
	want := `key           k
name          Key
usb id        1050:0407
path          -
serial        -
emulated      no
ctaphid       2, 5.4.3
capabilities  wink cbor
absent        -
algorithms    alg=-7; alg=-8
maxMsgSize    7609
options       rk=yes up=no
versions      FIDO_2_0 evil` + "\ufffd" + "[2J\n"
	if got.out != want || got.err != "" || got.status != 0 {
		t.Errorf("got %+v, want out\n%s", got, want)
	}
}
