package hid_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/hid"
)

// yubiKeyDescriptor is that of a YubiKey's keyboard: a feature report of 8 bytes stands beside
// the keys and lights.
const yubiKeyDescriptor = "05010906a101050719e029e715002501750195088102950175088101" +
	"950575010508190129059102950175039101950675081500256505071900296581000903750895" + "08b102c0"

// featureSys is a sysfs with a YubiKey's two interfaces and somebody's keyboard.
func featureSys(t *testing.T) fakeSys {
	t.Helper()
	sys := newFakeSys(t)
	sys.addUSB("hidraw3")
	sys.add("hidraw2", usbDevice+"/1-5:1.0/0003:1050:0407.0003", usbUevent, fromHex(t, yubiKeyDescriptor))
	sys.write("devices/"+usbDevice+"/1-5:1.0/bInterfaceNumber", "00\n")
	sys.add("hidraw0", "pci0000:00/usb1/1-6/1-6:1.0/0003:046D:C31C.0001", "HID_ID=0003:0000046D:0000C31C\n", fromHex(t, keyboardDescriptor))
	return sys
}

func TestLinuxFeatureBusDevices(t *testing.T) {
	sys := featureSys(t)
	fido, err := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root}).Devices()
	if err != nil || len(fido) != 1 || fido[0].ID != "usb-1-12.1" || fido[0].FeatureSize != 0 {
		t.Errorf("the FIDO bus has %+v, %v; want what it always had", fido, err)
	}
	bus := hid.NewLinuxFeatureBus(hid.LinuxBusConfig{SysRoot: sys.root}, hid.NitrokeyPro, hid.YubiKeyOTP)
	got, err := bus.Devices()
	if err != nil {
		t.Fatal(err)
	}
	want := []hid.Info{{
		ID: "usb-1-12", Path: "/dev/hidraw2", BusType: 3,
		VendorID: 0x1050, ProductID: 0x0407, Version: 0x543,
		Manufacturer: "Yubico", Product: "YubiKey OTP+FIDO+CCID",
		UsagePage: 1, Usage: 6, InputSize: 8, OutputSize: 1, FeatureSize: 8, Device: "usb-1-12",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Devices() (-want +got):\n%s", diff)
	}
	if none, err := hid.NewLinuxFeatureBus(hid.LinuxBusConfig{SysRoot: sys.root}).Devices(); err != nil || len(none) != 0 {
		t.Errorf("a bus of nothing has %+v, %v", none, err)
	}
}

func TestLinuxFeatureBusWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := featureSys(t)
		bus := hid.NewLinuxFeatureBus(hid.LinuxBusConfig{SysRoot: sys.root}, hid.YubiKeyOTP)
		feed := hid.FeedUevents(bus, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error)
		go func() {
			ended <- bus.Watch(ctx, func(e hid.Event) { got = append(got, e.Kind.String()+" "+e.Info.ID) })
		}()
		synctest.Wait()
		feed.Send("remove", "hidraw", "/devices/"+usbDevice+"/1-5:1.0/0003:1050:0407.0003/hidraw/hidraw2")
		synctest.Wait()
		if diff := cmp.Diff([]string{"attached usb-1-12", "detached usb-1-12"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		cancel()
		<-ended
	})
}

// A file that is no hidraw node knows no feature reports; a closed one nothing at all.
func TestHidrawFeatureErrors(t *testing.T) {
	here, there := socketpair(t)
	defer there.Close()
	device := hid.NewHidraw(here, 8, 1).(hid.FeatureDevice)
	report := make([]byte, 8)
	if err := device.SetFeature(report); err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("SetFeature: %v", err)
	}
	for _, n := range []int{0, 4096} {
		if err := device.SetFeature(make([]byte, n)); !errors.Is(err, hid.ErrReportSize) {
			t.Errorf("SetFeature of %d bytes: %v, want %v", n, err, hid.ErrReportSize)
		}
		if _, err := device.GetFeature(make([]byte, n)); !errors.Is(err, hid.ErrReportSize) {
			t.Errorf("GetFeature of %d bytes: %v, want %v", n, err, hid.ErrReportSize)
		}
	}
	device.Close()
	if err := device.SetFeature(report); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetFeature after Close: %v, want %v", err, os.ErrClosed)
	}
	if _, err := device.GetFeature(report); !errors.Is(err, os.ErrClosed) {
		t.Errorf("GetFeature after Close: %v, want %v", err, os.ErrClosed)
	}
}
