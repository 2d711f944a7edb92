//go:build vm

package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startUSBKey starts a fobkey that is a USB device of the kernel.
func startUSBKey(t *testing.T, args ...string) *emulated {
	t.Helper()
	if _, err := os.Stat("/sys/devices/platform/vhci_hcd.0"); err != nil {
		t.Fatalf("the kernel has no virtual USB host controller: %v", err)
	}
	k := &emulated{control: filepath.Join(t.TempDir(), "control")}
	k.process = start(t, nil, bin("fobkey"), append([]string{"--usbip", "--control", k.control}, args...)...)
	k.line("ready")
	k.node()
	return k
}

// libusbDaemon starts the fobd that is built with the tag libusb.
func libusbDaemon(t *testing.T) *daemon {
	t.Helper()
	if _, err := os.Stat(bin("fobd-libusb")); err != nil {
		t.Fatalf("test.sh has built no fobd with the tag libusb: %v", err)
	}
	return startProgram(t, bin("fobd-libusb"))
}

// startProgram is startDaemon for another build.
func startProgram(t *testing.T, program string) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{socket: filepath.Join(dir, "fobd.sock")}
	t.Setenv("FOBD_SOCKET", d.socket)
	d.process = start(t, nil, program, "--socket", d.socket, "--state-dir", dir)
	until(t, "fobd listens", func() bool {
		c, err := net.Dial("unix", d.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return d
}

// until waits for something.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

func hidrawNodes() int {
	nodes, _ := filepath.Glob("/dev/hidraw*")
	return len(nodes)
}

func TestUSBKeyIsAUSBDevice(t *testing.T) {
	k := startUSBKey(t, "--serial", "F0B-1", "--name", "USB test key", "--vendor-id", "0x1209", "--product-id", "0xf0be")
	node := k.node()
	if out := run(t, "", "fido2-token", "-L"); !strings.Contains(out, node+": vendor=0x1209, product=0xf0be (fobd USB test key)") {
		t.Errorf("fido2-token -L says %q, want %s with its names", out, node)
	}
	if out := run(t, "", "fido2-token", "-I", node); !strings.Contains(out, "FIDO_2_1") {
		t.Errorf("fido2-token -I says %s", out)
	}
	if out := run(t, "", "udevadm", "info", node); !strings.Contains(out, "ID_FIDO_TOKEN=1") || !strings.Contains(out, "uaccess") {
		t.Errorf("udev knows %s, want a FIDO token that the person at the seat may use", out)
	}
	devices, err := filepath.Glob("/sys/bus/usb/devices/*/serial")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range devices {
		if text, _ := os.ReadFile(file); strings.TrimSpace(string(text)) != "F0B-1" {
			continue
		}
		read := func(name string) string {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(file), name))
			if err != nil {
				t.Error(err)
			}
			return strings.TrimSpace(string(text))
		}
		if got := read("speed"); got != "12" {
			t.Errorf("the speed is %s Mbit/s, want 12", got)
		}
		usbfs := "/dev/bus/usb/" + pad(read("busnum")) + "/" + pad(read("devnum"))
		descriptors, err := os.ReadFile(usbfs)
		if err != nil {
			t.Fatalf("no node of usbfs: %v", err)
		}
		if len(descriptors) < 18 || binary.LittleEndian.Uint16(descriptors[8:]) != 0x1209 {
			t.Errorf("%s gives the descriptors %x", usbfs, descriptors)
		}
		return
	}
	t.Errorf("no USB device has the serial number F0B-1: %q", devices)
}

func pad(number string) string { return strings.Repeat("0", max(0, 3-len(number))) + number }

func TestUSBKeyIsPulledOutAndPutInAgain(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startUSBKey(t)
	e.line(`"attached"`)
	k.must("power off")
	e.line(`"detached"`)
	until(t, "the node is gone", func() bool { return hidrawNodes() == 0 })
	k.must("power on")
	e.line(`"attached"`)
	registerAndAssert(t, "")
	k.Signal()
	e.line(`"detached"`)
}

// Signal ends the program as a person at a terminal does, and waits for it.
func (k *emulated) Signal() {
	k.t.Helper()
	k.cmd.Process.Signal(os.Interrupt)
	if _, err := k.wait(); err != nil {
		k.t.Errorf("fobkey: %v", err)
	}
}

func TestLibfido2WithUSBKey(t *testing.T) { libfido2(t, startUSBKey(t)) }

// held asks for a touch and calls what while the daemon holds the key.
func held(t *testing.T, k *emulated, what func()) {
	t.Helper()
	k.must("touch off")
	touch := start(t, nil, bin("fob"), "touch", "--json")
	k.blinks()
	what()
	k.must("touch on")
	if out, err := touch.wait(); err != nil {
		t.Errorf("fob touch: %v\n%s%s", err, out, touch.stderr)
	}
}

func TestDefaultBuildLeavesHidrawToOthers(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startUSBKey(t)
	e.line(`"attached"`)
	registerAndAssert(t, "")
	if out := run(t, "", "fido2-token", "-I", k.node()); !strings.Contains(out, "FIDO_2_1") {
		t.Errorf("fido2-token -I while the daemon runs says %s", out)
	}
	held(t, k, func() {
		if n := hidrawNodes(); n != 1 {
			t.Errorf("%d hidraw nodes while the daemon has the key, want 1", n)
		}
		if out := run(t, "", "fido2-token", "-L"); !strings.Contains(out, k.node()) {
			t.Errorf("fido2-token -L while the daemon has the key says %q, want %s", out, k.node())
		}
	})
	run(t, "", "fido2-token", "-I", k.node())
}

func TestLibusbBuildRegistersAndAssertsAndTakesHidrawAway(t *testing.T) {
	libusbDaemon(t)
	e := events(t)
	k := startUSBKey(t)
	e.line(`"attached"`)
	if out := run(t, "", bin("fob"), "list", "--json"); !strings.Contains(out, `"path":"1-1:1.0"`) {
		t.Errorf("fob list says %s, want a path of libusb", out)
	}
	registerAndAssert(t, "")
	pinFD(t, "1234\n1234\n", "pin", "set")
	registerAndAssert(t, "1234")
	held(t, k, func() {
		if n := hidrawNodes(); n != 0 {
			t.Errorf("%d hidraw nodes while libusb has the key, want none", n)
		}
		if out := run(t, "", "fido2-token", "-L"); out != "" {
			t.Errorf("fido2-token -L while libusb has the key says %q, want nothing", out)
		}
	})
	until(t, "the node is back", func() bool { return hidrawNodes() == 1 })
	run(t, "", "fido2-token", "-I", k.node())
	k.must("power off")
	e.line(`"detached"`)
}

// A host on this machine may import the key over TCP, without the kernel's own server.
func TestUSBIPOverTCPIntoTheKernel(t *testing.T) {
	k := start(t, nil, bin("fobkey"), "--usbip-listen", "127.0.0.1:0")
	ready := k.line("ready")
	_, at, _ := strings.Cut(ready, "usbip-listen=tcp:")
	conn, err := net.Dial("tcp", strings.Fields(at)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// OP_REQ_IMPORT, as the usbip tool does it.
	request := append([]byte{1, 0x11, 0x80, 3, 0, 0, 0, 0}, append([]byte("1-1"), make([]byte, 29)...)...)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 8+312)
	if _, err := io.ReadFull(conn, answer); err != nil || !bytes.Equal(answer[:8], []byte{1, 0x11, 0, 3, 0, 0, 0, 0}) {
		t.Fatalf("import: %x, %v", answer[:8], err)
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	device := binary.BigEndian.Uint32(answer[8+288:])<<16 | binary.BigEndian.Uint32(answer[8+292:])
	plugIn(t, 0, file, device)
	conn.Close()
	node := (&emulated{process: k}).node()
	if out := run(t, "", "fido2-token", "-I", node); !strings.Contains(out, "FIDO_2_1") {
		t.Errorf("fido2-token -I says %s", out)
	}
}

// plugIn hands the kernel a connection to a full-speed device.
func plugIn(t *testing.T, port int, file *os.File, device uint32) {
	t.Helper()
	order := fmt.Sprintf("%d %d %d 2", port, file.Fd(), device)
	if err := os.WriteFile("/sys/devices/platform/vhci_hcd.0/attach", []byte(order), 0); err != nil {
		t.Fatal(err)
	}
	file.Close()
}

// The kernel's own tool is a judge of what comes before the import.
func TestUSBIPToolImportsTheKey(t *testing.T) {
	const usbip = "/usr/sbin/usbip"
	if _, err := os.Stat(usbip); err != nil {
		t.Skipf("Debian's package usbip is not installed: %v", err)
	}
	k := start(t, nil, bin("fobkey"), "--usbip-listen", "127.0.0.1:0")
	_, at, _ := strings.Cut(k.line("ready"), "usbip-listen=tcp:127.0.0.1:")
	port := strings.Fields(at)[0]
	if out := run(t, "", usbip, "--tcp-port", port, "list", "-r", "127.0.0.1"); !strings.Contains(out, "1-1:") || !strings.Contains(out, "1209:f0bd") {
		t.Errorf("usbip list says %s", out)
	}
	run(t, "", usbip, "--tcp-port", port, "attach", "-r", "127.0.0.1", "-b", "1-1")
	node := (&emulated{process: k}).node()
	if out := run(t, "", "fido2-token", "-I", node); !strings.Contains(out, "FIDO_2_1") {
		t.Errorf("fido2-token -I says %s", out)
	}
	if out, stderr, err := try(t, "", usbip, "--tcp-port", port, "attach", "-r", "127.0.0.1", "-b", "1-1"); err == nil {
		t.Errorf("usbip imports it a second time: %s%s", out, stderr)
	}
	run(t, "", usbip, "detach", "-p", "0")
	until(t, "the node is gone", func() bool { return hidrawNodes() == 0 })
	// Once it is free, it can be imported again.
	run(t, "", usbip, "--tcp-port", port, "attach", "-r", "127.0.0.1", "-b", "1-1")
	run(t, "", "fido2-token", "-I", (&emulated{process: k}).node())
	run(t, "", usbip, "detach", "-p", "0")
	until(t, "the node is gone", func() bool { return hidrawNodes() == 0 })
}

// A fault pulls the key out in the middle of a message; the program lives on.
func TestFaultPullsOutTheKernelKey(t *testing.T) {
	for _, way := range []string{"--uhid", "--usbip"} {
		t.Run(way[2:], func(t *testing.T) {
			k := &emulated{control: filepath.Join(t.TempDir(), "control")}
			k.process = start(t, nil, bin("fobkey"), way, "--control", k.control)
			k.line("ready")
			node := k.node()
			k.must("fault on report-disconnect=out:1")
			// It ends well all the same, with what it had learnt before.
			if out, _, _ := try(t, "", "fido2-token", "-I", node); strings.Contains(out, "FIDO_2_1") {
				t.Errorf("fido2-token -I at a key that was pulled out says %s", out)
			}
			until(t, "the node is gone", func() bool { return hidrawNodes() == 0 })
			until(t, "the power is off", func() bool { return strings.HasPrefix(k.say("status"), "ok power=off") })
			k.must("fault clear")
			k.must("power on")
			run(t, "", "fido2-token", "-I", k.node())
		})
	}
}
