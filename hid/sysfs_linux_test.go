package hid_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/hid"
)

// fakeSys is a sysfs in a temporary directory, with the layout of the kernel's.
type fakeSys struct {
	t    *testing.T
	root string
}

func newFakeSys(t *testing.T) fakeSys {
	t.Helper()
	return fakeSys{t, t.TempDir()}
}

func (s fakeSys) write(path, content string) {
	s.t.Helper()
	path = filepath.Join(s.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// add makes a HID device at a path below devices and its hidraw child. It returns the
// child's DEVPATH.
func (s fakeSys) add(name, device, uevent string, descriptor []byte) string {
	s.t.Helper()
	s.write("devices/"+device+"/uevent", uevent)
	s.write("devices/"+device+"/report_descriptor", string(descriptor))
	child := "devices/" + device + "/hidraw/" + name
	s.write(child+"/dev", "244:0\n")
	s.symlink("../..", child+"/device")
	s.symlink("../../"+child, "class/hidraw/"+name)
	return "/" + child
}

func (s fakeSys) symlink(target, path string) {
	s.t.Helper()
	path = filepath.Join(s.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		s.t.Fatal(err)
	}
}

func (s fakeSys) remove(name string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.root, "class/hidraw", name)); err != nil {
		s.t.Fatal(err)
	}
}

const usbUevent = `DRIVER=hid-generic
HID_ID=0003:00001050:00000407
HID_NAME=Yubico YubiKey OTP+FIDO+CCID
HID_PHYS=usb-0000:00:14.0-5/input1
HID_UNIQ=
MODALIAS=hid:b0003g0001v00001050p00000407
`

const uhidUevent = `DRIVER=hid-generic
HID_ID=0003:00001209:0000F0BD
HID_NAME=fobd emulated key
HID_PHYS=fobd/0
HID_UNIQ=F0BD-1
`

const (
	usbDevice  = "pci0000:00/0000:00:14.0/usb1/1-5"
	usbHID     = usbDevice + "/1-5:1.1/0003:1050:0407.0004"
	uhidDevice = "virtual/misc/uhid/0003:1209:F0BD.0007"
)

func (s fakeSys) addUSB(name string) string {
	s.t.Helper()
	for file, content := range map[string]string{
		"busnum": "1\n", "devnum": "12\n", "bcdDevice": "0543\n",
		"manufacturer": "Yubico\n", "product": "YubiKey OTP+FIDO+CCID\n",
	} {
		s.write("devices/"+usbDevice+"/"+file, content)
	}
	s.write("devices/"+usbDevice+"/1-5:1.1/bInterfaceNumber", "01\n")
	return s.add(name, usbHID, usbUevent, hid.FIDOReportDescriptor(64, 64))
}

func (s fakeSys) addUHID(name string) string {
	s.t.Helper()
	return s.add(name, uhidDevice, uhidUevent, hid.FIDOReportDescriptor(64, 32))
}

func TestLinuxBusDevices(t *testing.T) {
	sys := newFakeSys(t)
	sys.addUSB("hidraw3")
	sys.addUHID("hidraw10")
	sys.add("hidraw0", usbDevice+"/1-5:1.0/0003:1050:0407.0003", usbUevent, fromHex(t, keyboardDescriptor))
	sys.add("hidraw1", "virtual/misc/uhid/0003:0001:0001.0008", "HID_ID=0003:00000001:00000001\n", []byte{0x06, 0xD0})
	sys.symlink("../../devices/nowhere", "class/hidraw/hidraw2") // just unplugged
	var log bytes.Buffer
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, Log: slog.New(slog.NewTextHandler(&log, nil))})
	got, err := bus.Devices()
	if err != nil {
		t.Fatal(err)
	}
	want := []hid.Info{
		{
			ID: "hid-0003:1209:F0BD.0007", Path: "/dev/hidraw10", BusType: 3,
			VendorID: 0x1209, ProductID: 0xF0BD, Product: "fobd emulated key", Serial: "F0BD-1",
			UsagePage: 0xF1D0, Usage: 1, InputSize: 64, OutputSize: 32, Emulated: true,
		},
		{
			Device: "usb-1-12", ID: "usb-1-12.1", Path: "/dev/hidraw3", BusType: 3,
			VendorID: 0x1050, ProductID: 0x0407, Version: 0x543,
			Manufacturer: "Yubico", Product: "YubiKey OTP+FIDO+CCID",
			UsagePage: 0xF1D0, Usage: 1, InputSize: 64, OutputSize: 64,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Devices() (-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "hidraw1") || strings.Contains(log.String(), "hidraw2") {
		t.Errorf("log should name the bad descriptor only:\n%s", &log)
	}
}

func TestLinuxBusDevicesWithoutSysfs(t *testing.T) {
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: t.TempDir()})
	if got, err := bus.Devices(); err != nil || len(got) != 0 {
		t.Errorf("Devices() = %v, %v; want none", got, err)
	}
}

func TestLinuxBusCleansText(t *testing.T) {
	sys := newFakeSys(t)
	sys.add("hidraw0", uhidDevice, "HID_ID=x\nHID_NAME=\x1b[31mred\xff\u202e "+strings.Repeat("é", 500)+
		"\nHID_UNIQ= \t1 \n", hid.FIDOReportDescriptor(64, 64))
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root})
	got, err := bus.Devices()
	if err != nil || len(got) != 1 {
		t.Fatalf("Devices() = %v, %v", got, err)
	}
	if want := "[31mred " + strings.Repeat("é", 120); got[0].Product != want {
		t.Errorf("Product = %q, want %q", got[0].Product, want)
	}
	if got[0].Serial != "1" || got[0].VendorID != 0 || got[0].BusType != 0 {
		t.Errorf("got %+v", got[0])
	}
}
