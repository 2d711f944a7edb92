package hid_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/fobd/fobd/hid"
)

// echo is a device that gives back the last feature report.
type echo struct {
	last []byte
	err  error
}

func (e *echo) SetFeature(report []byte) error {
	e.last = append([]byte(nil), report...)
	return e.err
}

func (e *echo) GetFeature(report []byte) (int, error) { return copy(report, e.last), e.err }

func testFeatures(t *testing.T, host hid.FeatureReports, device *echo) {
	t.Helper()
	want := []byte("12345678")
	if err := host.SetFeature(want); err != nil {
		t.Fatalf("SetFeature: %v", err)
	}
	got := make([]byte, 16)
	if n, err := host.GetFeature(got); err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("GetFeature = %q, %v; want %q", got[:n], err, want)
	}
	if err := host.SetFeature(want[:7]); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("SetFeature of 7 bytes: %v, want %v", err, hid.ErrReportSize)
	}
	if _, err := host.GetFeature(got[:7]); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("GetFeature into 7 bytes: %v, want %v", err, hid.ErrReportSize)
	}
	device.err = hid.ErrFeature
	if err := host.SetFeature(want); !errors.Is(err, hid.ErrFeature) {
		t.Errorf("SetFeature refused: %v, want %v", err, hid.ErrFeature)
	}
	if _, err := host.GetFeature(got); !errors.Is(err, hid.ErrFeature) {
		t.Errorf("GetFeature refused: %v, want %v", err, hid.ErrFeature)
	}
}

func TestFeaturePipe(t *testing.T) {
	device := &echo{}
	host, key := hid.NewFeaturePipe(device, 8, 8, 1)
	testFeatures(t, host, device)
	device.err = nil

	// Input and output reports go their own way.
	if _, err := key.Write(make([]byte, 8)); err != nil {
		t.Errorf("Write: %v", err)
	}
	if n, err := host.Read(make([]byte, 8)); n != 8 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	key.Close()
	if err := host.SetFeature(make([]byte, 8)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("SetFeature after unplugging: %v, want %v", err, hid.ErrGone)
	}
	host.Close()
	if _, err := host.GetFeature(make([]byte, 8)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("GetFeature after Close: %v, want %v", err, os.ErrClosed)
	}
}

func TestMemoryBusFeatures(t *testing.T) {
	bus := hid.NewMemoryBus()
	device := &echo{}
	bus.Attach(hid.Info{ID: "slots", UsagePage: 1, Usage: 6, InputSize: 8, OutputSize: 1, FeatureSize: 8}, func() (hid.Device, error) {
		host, _ := hid.NewFeaturePipe(device, 8, 8, 1)
		return host, nil
	})
	bus.Attach(hid.Info{ID: "fido"}, func() (hid.Device, error) {
		host, _ := hid.NewPipe(64, 64)
		return host, nil
	})
	open := func(id string) hid.FeatureDevice {
		t.Helper()
		d, err := bus.Open(t.Context(), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.(hid.FeatureDevice)
	}
	slots := open("slots")
	testFeatures(t, slots, device)
	bus.Detach("slots")
	if err := slots.SetFeature(make([]byte, 8)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("SetFeature after unplugging: %v, want %v", err, hid.ErrGone)
	}

	fido := open("fido")
	defer fido.Close()
	if err := fido.SetFeature(make([]byte, 8)); !errors.Is(err, hid.ErrFeature) {
		t.Errorf("SetFeature of a device that has none: %v, want %v", err, hid.ErrFeature)
	}
	if _, err := fido.GetFeature(make([]byte, 8)); !errors.Is(err, hid.ErrFeature) {
		t.Errorf("GetFeature of a device that has none: %v, want %v", err, hid.ErrFeature)
	}
}

func TestInterfaceMatch(t *testing.T) {
	keyboard := hid.Collection{UsagePage: 1, Usage: 6, InputSize: 8, OutputSize: 1, FeatureSize: 8}
	plain := keyboard
	plain.FeatureSize = 0
	numbered := keyboard
	numbered.ReportIDs = []uint8{1}
	for name, test := range map[string]struct {
		i               hid.Interface
		vendor, product uint16
		collection      hid.Collection
		want            bool
	}{
		"YubiKey":             {hid.YubiKeyOTP, 0x1050, 0x0407, keyboard, true},
		"keyboard of another": {hid.YubiKeyOTP, 0x046D, 0x0407, keyboard, false},
		"without features":    {hid.YubiKeyOTP, 0x1050, 0x0407, plain, false},
		"with numbers":        {hid.YubiKeyOTP, 0x1050, 0x0407, numbered, false},
		"its FIDO interface":  {hid.YubiKeyOTP, 0x1050, 0x0407, hid.Collection{UsagePage: 0xF1D0, Usage: 1, FeatureSize: 8}, false},
		"Nitrokey Pro":        {hid.NitrokeyPro, 0x20A0, 0x4108, hid.Collection{UsagePage: 1, Usage: 6, FeatureSize: 64}, true},
		"Nitrokey 3":          {hid.NitrokeyPro, 0x20A0, 0x42B2, hid.Collection{UsagePage: 1, Usage: 6, FeatureSize: 64}, false},
		"Token2":              {hid.Token2, 0x349E, 0x0022, hid.Collection{UsagePage: 0xF1D0, Usage: 1, FeatureSize: 64}, true},
		"no vendor":           {hid.Interface{UsagePage: 1, Usage: 6}, 0, 0, keyboard, false},
	} {
		got, ok := test.i.Match(test.vendor, test.product, []hid.Collection{{UsagePage: 9}, test.collection})
		if ok != test.want || ok && got.FeatureSize != test.collection.FeatureSize {
			t.Errorf("%s: Match = %+v, %v; want %v", name, got, ok, test.want)
		}
	}
}
