package hid_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
)

const kernelUevent = "add@/devices/virtual/misc/uhid/0003:1209:F0BD.0007/hidraw/hidraw3\x00" + ueventProperties

const ueventProperties = "ACTION=add\x00DEVPATH=/devices/virtual/misc/uhid/0003:1209:F0BD.0007/hidraw/hidraw3\x00" +
	"SUBSYSTEM=hidraw\x00MAJOR=244\x00MINOR=3\x00DEVNAME=hidraw3\x00SEQNUM=1234\x00"

// udevUevent makes a message of udev.
func udevUevent(magic, offset, length uint32, properties string) []byte {
	m := append([]byte("libudev\x00"), make([]byte, 32)...)
	binary.BigEndian.PutUint32(m[8:], magic)
	binary.NativeEndian.PutUint32(m[12:], 40)
	binary.NativeEndian.PutUint32(m[16:], offset)
	binary.NativeEndian.PutUint32(m[20:], length)
	return append(m, properties...)
}

func TestParseUevent(t *testing.T) {
	size := uint32(len(ueventProperties))
	for name, message := range map[string][]byte{
		"kernel":            []byte(kernelUevent),
		"udev":              udevUevent(0xFEEDCAFE, 40, size, ueventProperties),
		"udev, longer head": udevUevent(0xFEEDCAFE, 44, size, "\x00\x00\x00\x00"+ueventProperties),
	} {
		action, subsystem, devpath, err := hid.ParseUevent(message)
		if err != nil || action != "add" || subsystem != "hidraw" ||
			devpath != "/devices/virtual/misc/uhid/0003:1209:F0BD.0007/hidraw/hidraw3" {
			t.Errorf("%s: %q %q %q, %v", name, action, subsystem, devpath, err)
		}
	}
	for name, message := range map[string][]byte{
		"nothing":              {},
		"no head":              []byte(ueventProperties),
		"head alone":           []byte("add@/devices"),
		"no properties":        []byte("add@/devices\x00"),
		"udev, cut":            []byte("libudev\x00\xfe\xed"),
		"udev, bad magic":      udevUevent(0xCAFEFEED, 40, size, ueventProperties),
		"udev, into the head":  udevUevent(0xFEEDCAFE, 0, size, ueventProperties),
		"udev, too long":       udevUevent(0xFEEDCAFE, 40, size+1, ueventProperties),
		"udev, overflow":       udevUevent(0xFEEDCAFE, 0xFFFFFFFF, 0xFFFFFFFF, ueventProperties),
		"udev, far properties": udevUevent(0xFEEDCAFE, 1<<20, 0, ueventProperties),
	} {
		if _, _, _, err := hid.ParseUevent(message); !errors.Is(err, hid.ErrUevent) {
			t.Errorf("%s: %v, want %v", name, err, hid.ErrUevent)
		}
	}
}

func FuzzUevent(f *testing.F) {
	f.Add([]byte(kernelUevent))
	f.Add(udevUevent(0xFEEDCAFE, 40, uint32(len(ueventProperties)), ueventProperties))
	f.Add(udevUevent(0xFEEDCAFE, 0xFFFFFFFF, 0xFFFFFFFF, ""))
	f.Fuzz(func(t *testing.T, message []byte) {
		action, subsystem, devpath, err := hid.ParseUevent(message)
		if (err == nil) == (action == "" || devpath == "") {
			t.Errorf("%q %q %q, %v", action, subsystem, devpath, err)
		}
		for _, value := range []string{action, subsystem, devpath} {
			if !bytes.Contains(message, []byte(value)) {
				t.Errorf("%q is not in the message", value)
			}
		}
	})
}

func listenNetlink(t *testing.T, group uint32) hid.Netlink {
	t.Helper()
	conn, err := hid.ListenNetlink(group)
	if err != nil {
		t.Skipf("no uevents here: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestNetlinkInterrupt(t *testing.T) {
	conn := listenNetlink(t, 1)
	received := make(chan error)
	go func() {
		for {
			if _, _, _, err := conn.Receive(); err != nil {
				received <- err
				return
			}
		}
	}()
	conn.Interrupt()
	if err := <-received; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("receive: %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// The kernel sends a message about /dev/null when root asks it to.
func TestNetlinkKernelMessage(t *testing.T) {
	conn := listenNetlink(t, 1)
	const device = "/sys/devices/virtual/mem/null/uevent"
	if err := os.WriteFile(device, []byte("change"), 0); err != nil {
		t.Skipf("cannot make the kernel send: %v", err)
	}
	time.AfterFunc(10*time.Second, conn.Interrupt)
	for {
		action, subsystem, devpath, err := conn.Receive()
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if devpath == "/devices/virtual/mem/null" {
			if action != "change" || subsystem != "mem" {
				t.Errorf("got %q %q", action, subsystem)
			}
			return
		}
	}
}

// What a program puts into the kernel's group is not believed, even root's; what root
// puts into udev's is.
func TestNetlinkSenders(t *testing.T) {
	sender, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(sender)
	send := func(group uint32, message string) error {
		return unix.Sendto(sender, []byte(message), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group})
	}
	const marker = "/devices/fobd-test"
	forged := "add@" + marker + "\x00ACTION=add\x00DEVPATH=" + marker + "\x00SUBSYSTEM=hidraw\x00"

	kernel := listenNetlink(t, 1)
	if err := send(1, forged); err != nil {
		t.Skipf("cannot send: %v", err)
	}
	udev := listenNetlink(t, 2)
	if err := send(2, forged); err != nil {
		t.Fatal(err)
	}
	for {
		_, _, devpath, err := udev.Receive()
		if err != nil {
			t.Fatalf("udev's group: %v", err)
		}
		if devpath == marker {
			break
		}
	}
	// The forged one was sent first, so it would be here by now.
	time.AfterFunc(100*time.Millisecond, kernel.Interrupt)
	for {
		_, _, devpath, err := kernel.Receive()
		if err != nil {
			break
		}
		if devpath == marker {
			t.Fatal("a message forged in the kernel's group was believed")
		}
	}
}

// Messages that nobody reads are lost in the end; the reader hears of it, and goes on.
func TestNetlinkOverrun(t *testing.T) {
	sender, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(sender)
	conn := listenNetlink(t, 2)
	const marker = "/devices/fobd-overrun"
	message := []byte("add@" + marker + "\x00ACTION=add\x00DEVPATH=" + marker + "\x00SUBSYSTEM=hidraw\x00")
	for range 5000 {
		err := unix.Sendto(sender, message, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 2})
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ECONNREFUSED) {
			t.Skipf("cannot send: %v", err)
		}
	}
	_, _, _, err = conn.Receive()
	for range 5000 {
		if err != nil {
			break
		}
		_, _, _, err = conn.Receive()
	}
	if !errors.Is(err, hid.ErrOverrun) {
		t.Fatalf("receive: %v, want %v", err, hid.ErrOverrun)
	}
	if _, _, devpath, err := conn.Receive(); err != nil || devpath != marker {
		t.Errorf("receive = %q, %v; want what was queued", devpath, err)
	}
}
