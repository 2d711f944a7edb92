package hid_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
)

// The virtual key that fobd shows comes back to the real keys: no fobd takes it for one.
func TestSharedKeyIsOnNoBus(t *testing.T) {
	sys := newFakeSys(t)
	uevent := func(phys string) string {
		return "HID_ID=0003:00001209:0000F0BD\nHID_NAME=key\nHID_PHYS=" + phys + "\nHID_UNIQ=\n"
	}
	sys.add("hidraw0", "virtual/misc/uhid/0003:1209:F0BD.0001", uevent("fobd/uhid"), hid.FIDOReportDescriptor(64, 64))
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: "/dev"})
	if path, ok := bus.SharedNode(); ok {
		t.Errorf("%s is taken for the shared key", path)
	}
	sys.add("hidraw1", "virtual/misc/uhid/0003:1209:F0BD.0002", uevent(hid.SharedPhys), hid.FIDOReportDescriptor(64, 64))
	infos, err := bus.Devices()
	if err != nil || len(infos) != 1 || infos[0].Path != "/dev/hidraw0" {
		t.Errorf("got %+v, %v, want the other key only", infos, err)
	}
	if path, ok := bus.SharedNode(); !ok || path != "/dev/hidraw1" {
		t.Errorf("the shared key is %q, %v", path, ok)
	}
}

func TestUsersOfANode(t *testing.T) {
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{})
	path := filepath.Join(t.TempDir(), "node")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	only := func(what string) {
		t.Helper()
		if users := bus.Users(path); len(users) != 1 || users[0].PID != os.Getpid() || users[0].Program == "" {
			t.Errorf("%s: got %+v, want this process", what, users)
		}
	}
	only("open")
	// A lock outlives the table of open files that this test could not see.
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	only("locked")
	file.Close()
	other.Close()
	if users := bus.Users(path); len(users) != 0 {
		t.Errorf("closed: got %+v", users)
	}
	if users := bus.Users(path + "x"); len(users) != 0 {
		t.Errorf("not there: got %+v", users)
	}
}
