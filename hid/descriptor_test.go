package hid_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fobd/fobd/hid"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of CTAP 2.2, section 11.2.8.1.
const fidoDescriptor = `06d0f1 0901 a101 0920 1500 26ff00 7508 9540 8102 0921 1500 26ff00 7508 9540 9102 c0`

// The boot keyboard of HID 1.11, appendix B.1.
const keyboardDescriptor = `0501 0906 a101 0507 19e0 29e7 1500 2501 7501 9508 8102 9501 7508 8101
	9505 7501 0508 1901 2905 9102 9501 7503 9101 9506 7508 1500 2565 0507 1900 2965 8100 c0`

func TestParseDescriptor(t *testing.T) {
	fido := hid.Collection{UsagePage: 0xF1D0, Usage: 1, InputSize: 64, OutputSize: 64}
	keyboard := hid.Collection{UsagePage: 1, Usage: 6, InputSize: 8, OutputSize: 1}
	for _, test := range []struct {
		name, descriptor string
		want             []hid.Collection
	}{
		{"none", "", nil},
		{"FIDO", fidoDescriptor, []hid.Collection{fido}},
		{"keyboard", keyboardDescriptor, []hid.Collection{keyboard}},
		{"composite", keyboardDescriptor + fidoDescriptor, []hid.Collection{keyboard, fido}},
		{"usage of 32 bits", `0501 0b0100d0f1 a101 7508 9540 8102 9102 c0`, []hid.Collection{fido}},
		{"usage page after the usage", `0901 06d0f1 a101 7508 9540 8102 9102 c0`, []hid.Collection{fido}},
		{"first usage of a delimited set", `06d0f1 a901 0901 0902 a900 a101 7508 9540 8102 9102 c0`, []hid.Collection{fido}},
		{"long item", `fe03 f0 ffffff` + fidoDescriptor, []hid.Collection{fido}},
		{"sizes in four bytes", `06d0f1 0901 a101 7708000000 9740000000 8102 9102 c0`, []hid.Collection{fido}},
		{
			"push and pop", `06d0f1 7508 9540 a4 0501 7501 9501 b4 0901 a101 8102 9102 c0`,
			[]hid.Collection{fido},
		},
		{
			"several items in a report, inner collections, a feature",
			`06d0f1 0901 a101 7508 9520 8102 a100 8102 c0 9540 9102 7501 9503 b102 c0`,
			[]hid.Collection{{UsagePage: 0xF1D0, Usage: 1, InputSize: 64, OutputSize: 64, FeatureSize: 1}},
		},
		{
			"report numbers", `06d0f1 0901 a101 7508 8501 9540 8102 9102 8502 9508 8102 c0`,
			[]hid.Collection{{UsagePage: 0xF1D0, Usage: 1, InputSize: 64, OutputSize: 64, ReportIDs: []uint8{1, 2}}},
		},
		{"items outside of collections", `7508 9540 8102 9102`, nil},
	} {
		got, err := hid.ParseDescriptor(fromHex(t, test.descriptor))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", test.name, got, err, test.want)
		}
	}
}

func TestParseDescriptorRefuses(t *testing.T) {
	for name, descriptor := range map[string]string{
		"cut item":                `06d0`,
		"cut long item":           `fe`,
		"cut long item's data":    `fe0400ffffff`,
		"no end of collection":    `06d0f1 0901 a101`,
		"end without collection":  `c0`,
		"pop without push":        `b4`,
		"endless push":            strings.Repeat("a4", 100),
		"endless collections":     strings.Repeat("a101", 1000),
		"report number 0":         `8500`,
		"report number 256":       `860001`,
		"reserved item":           `0c`,
		"usage page of 32 bits":   `07d0f10100`,
		"report of 2^64 bits":     `a101 77ffffffff 97ffffffff 8102 8102 c0`,
		"report of many items":    `a101 7508 96ff3f` + strings.Repeat("8102", 5) + `c0`,
		"descriptor of 4097 zero": strings.Repeat("00", 4097),
	} {
		if _, err := hid.ParseDescriptor(fromHex(t, descriptor)); !errors.Is(err, hid.ErrDescriptor) {
			t.Errorf("%s: %v, want %v", name, err, hid.ErrDescriptor)
		}
	}
}

func TestFIDOCollection(t *testing.T) {
	for _, test := range []struct {
		name, descriptor string
		want             bool
	}{
		{"FIDO", fidoDescriptor, true},
		{"composite", keyboardDescriptor + fidoDescriptor, true},
		{"keyboard", keyboardDescriptor, false},
		{"another usage", `06d0f1 0902 a101 7508 9540 8102 9102 c0`, false},
		{"no output", `06d0f1 0901 a101 7508 9540 8102 c0`, false},
		{"tiny reports", `06d0f1 0901 a101 7508 9507 8102 9102 c0`, false},
		{"huge reports", `06d0f1 0901 a101 7508 960104 8102 9102 c0`, false},
		{"report numbers", `06d0f1 0901 a101 7508 8501 9540 8102 9102 c0`, false},
	} {
		collections, err := hid.ParseDescriptor(fromHex(t, test.descriptor))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, got := hid.FIDOCollection(collections); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestFIDOReportDescriptor(t *testing.T) {
	if got, want := hid.FIDOReportDescriptor(64, 64), fromHex(t, fidoDescriptor); !bytes.Equal(got, want) {
		t.Errorf("FIDOReportDescriptor(64, 64) = %x, want %x", got, want)
	}
	for _, sizes := range [][2]int{{8, 8}, {64, 32}, {255, 256}, {1024, 512}} {
		collections, err := hid.ParseDescriptor(hid.FIDOReportDescriptor(sizes[0], sizes[1]))
		got, ok := hid.FIDOCollection(collections)
		if err != nil || !ok || len(collections) != 1 || got.InputSize != sizes[0] || got.OutputSize != sizes[1] {
			t.Errorf("sizes %v: %+v, %v", sizes, collections, err)
		}
	}
}

func FuzzParseDescriptor(f *testing.F) {
	for _, seed := range []string{
		fidoDescriptor, keyboardDescriptor, `fe0300ffffff`, `a4b4`, `0b0100d0f1a101c0`,
		`a101 77ffffffff 97ffffffff 8102 8102 c0`,
	} {
		f.Add(fromHex(f, seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		collections, err := hid.ParseDescriptor(data)
		if err != nil {
			if !errors.Is(err, hid.ErrDescriptor) {
				t.Errorf("error %v is not ErrDescriptor", err)
			}
			return
		}
		if len(collections) > len(data)/2 {
			t.Errorf("%d collections from %d bytes", len(collections), len(data))
		}
		for _, c := range collections {
			for _, size := range []int{c.InputSize, c.OutputSize, c.FeatureSize} {
				if size < 0 || size > 16384 {
					t.Errorf("report of %d bytes", size)
				}
			}
		}
		if c, ok := hid.FIDOCollection(collections); ok {
			again, err := hid.ParseDescriptor(hid.FIDOReportDescriptor(c.InputSize, c.OutputSize))
			if err != nil || again[0].InputSize != c.InputSize || again[0].OutputSize != c.OutputSize {
				t.Errorf("round trip of %+v: %+v, %v", c, again, err)
			}
		}
	})
}
