package ctap2_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

func readInfo(t *testing.T, wire string) (*ctap2.Info, error) {
	t.Helper()
	info := new(ctap2.Info)
	return info, ctap2.UnmarshalLenient(unhex(t, "a"+wire), info)
}

const infoHead = "01 81 63 582e59  03 50 00000000000000000000000000000000 "

func TestInfoTakesWhatRealKeysSend(t *testing.T) {
	info, err := readInfo(t, "6"+infoHead+`
		04 a4 62 726b f5  62 7576 00  62 7570 f6  68 75 6e6b6e6f776e21 f4
		13 a2 61 61 01  61 62 61 78
		1864 82 01 a0
		61 7a 00`)
	if err != nil {
		t.Fatal(err)
	}
	want := &ctap2.Info{
		Versions:       []string{"X.Y"}, // of which nobody knows anything
		Options:        map[string]bool{"rk": true, "unknown!": false},
		Certifications: map[string]uint64{"a": 1},
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, present := info.Option("uv"); present {
		t.Error("an option that is a number counts as an option")
	}
}

func TestInfoRefusesWrongTypes(t *testing.T) {
	for name, wire := range map[string]string{
		"policy URL as text":         "3" + infoHead + "181c 61 78",
		"identifier as text":         "3" + infoHead + "1819 61 78",
		"store state as numbers":     "3" + infoHead + "181e 81 01",
		"options as array":           "3" + infoHead + "04 80",
		"versions as text":           "2 01 61 78 03 50 00000000000000000000000000000000",
		"negative maxMsgSize":        "3" + infoHead + "05 20",
		"aaguid as array":            "2 01 80 03 80",
		"longTouchForReset a number": "3" + infoHead + "1818 01",
	} {
		if info, err := readInfo(t, wire); !errors.Is(err, ctap2.ErrCBORUnexpectedType) {
			t.Errorf("%s: %v, %+v", name, err, info)
		}
	}
	if _, err := readInfo(t, "3"+infoHead+"04 a2 62 726b f5 62 726b f5"); !errors.Is(err, ctap2.ErrInvalidCBOR) {
		t.Errorf("an option twice: %v", err)
	}
}

func TestInfoOptionsAreThreeValued(t *testing.T) {
	info := &ctap2.Info{Options: map[string]bool{"clientPin": false, "rk": true}}
	for name, want := range map[string][2]bool{"clientPin": {false, true}, "rk": {true, true}, "uv": {false, false}} {
		if value, present := info.Option(name); value != want[0] || present != want[1] {
			t.Errorf("Option(%s) = %v, %v, want %v", name, value, present, want)
		}
	}
}

func TestInfoProtocol(t *testing.T) {
	pin := map[string]bool{"clientPin": true}
	for _, tt := range []struct {
		protocols []pinuv.Protocol
		options   map[string]bool
		want      pinuv.Protocol
	}{
		{[]pinuv.Protocol{2, 1}, pin, 2},
		{[]pinuv.Protocol{1, 2}, pin, 1}, // the authenticator's order
		{[]pinuv.Protocol{9, 2}, pin, 2}, // what nobody knows is passed over
		{[]pinuv.Protocol{9}, pin, 0},
		{nil, pin, 1}, // CTAP 2.0
		{nil, nil, 0},
		{[]pinuv.Protocol{1}, nil, 1},
	} {
		info := &ctap2.Info{PINUVAuthProtocols: tt.protocols, Options: tt.options}
		if got := info.Protocol(); got != tt.want {
			t.Errorf("protocols %v, options %v: %v, want %v", tt.protocols, tt.options, got, tt.want)
		}
	}
}

func TestInfoDefaults(t *testing.T) {
	info := &ctap2.Info{}
	if info.MessageSize() != 1024 || info.MinPIN() != 4 {
		t.Errorf("defaults %d, %d", info.MessageSize(), info.MinPIN())
	}
	info = &ctap2.Info{MaxMsgSize: 1200, MinPINLength: 6, Versions: []string{"U2F_V2"}, Extensions: []string{"credProtect"}}
	if info.MessageSize() != 1200 || info.MinPIN() != 6 || !info.Supports("U2F_V2") || info.Supports("FIDO_2_0") ||
		!info.HasExtension("credProtect") || info.HasExtension("hmac-secret") {
		t.Errorf("%+v", info)
	}
	if !(ctap2.AAGUID{}).IsZero() || (ctap2.AAGUID{1}).IsZero() {
		t.Error("IsZero")
	}
}
