package ctap2_test

import (
	"errors"
	"strings"
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

func TestCheckNewPIN(t *testing.T) {
	plain := &ctap2.Info{}
	six := &ctap2.Info{MinPINLength: 6, MaxPINLength: 8}
	for _, tt := range []struct {
		name string
		info *ctap2.Info
		pin  string
		want error
	}{
		{"3 characters", plain, "123", pinuv.ErrPINTooShort},
		{"4 characters", plain, "1234", nil},
		{"63 bytes", plain, strings.Repeat("x", 63), nil},
		{"64 bytes", plain, strings.Repeat("x", 64), pinuv.ErrPINTooLong},
		{"5 of 6", six, "12345", pinuv.ErrPINTooShort},
		{"6 of 6", six, "123456", nil},
		{"7 of 6", six, "1234567", nil},
		{"8 of 8", six, "12345678", nil},
		{"9 of 8", six, "123456789", pinuv.ErrPINTooLong},
		{"8 of 8 in 32 bytes", six, strings.Repeat("\U0001F511", 8), nil},
		{"16 characters in 64 bytes", plain, strings.Repeat("\U0001F511", 16), pinuv.ErrPINTooLong},
		{"15 characters in 60 bytes", plain, strings.Repeat("\U0001F511", 15), nil},
		{"6 letters that are 3 characters", plain, "e\u0301e\u0301e\u0301", pinuv.ErrPINTooShort},
		{"12 letters that are 6 characters", six, strings.Repeat("e\u0301", 6), nil},
		{"8 characters of 16 letters", six, strings.Repeat("e\u0301", 8), nil},
		{"not UTF-8", plain, "\xff\xfe\xfd\xfc", pinuv.ErrPINInvalid},
		{"a zero", plain, "12\x0034", pinuv.ErrPINInvalid},
		{"a maximum that is no limit", &ctap2.Info{MaxPINLength: 200}, strings.Repeat("x", 63), nil},
	} {
		pin := []byte(tt.pin)
		if err := tt.info.CheckNewPIN(pin); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if string(pin) != tt.pin {
			t.Errorf("%s: the caller's PIN was changed", tt.name)
		}
	}
	if plain.MaxPIN() != 63 || six.MaxPIN() != 8 || plain.MinPIN() != 4 || six.MinPIN() != 6 {
		t.Errorf("limits %d %d %d %d", plain.MinPIN(), plain.MaxPIN(), six.MinPIN(), six.MaxPIN())
	}
}
