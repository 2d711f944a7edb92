package uhid_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/uhid"
)

// kernel is the other end of an injected /dev/uhid.
type kernel struct {
	t *testing.T
	*os.File
}

func newKernel(t *testing.T) (kernel, func() (*os.File, error)) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	k := kernel{t, os.NewFile(uintptr(fds[1]), "kernel")}
	t.Cleanup(func() { k.Close() })
	return k, func() (*os.File, error) { return os.NewFile(uintptr(fds[0]), "uhid"), nil }
}

func (k kernel) send(event []byte) {
	k.t.Helper()
	if _, err := k.Write(event); err != nil {
		k.t.Fatal(err)
	}
}

// receive gives the next event padded with zeros, as the kernel reads it.
func (k kernel) receive() []byte {
	k.t.Helper()
	k.SetReadDeadline(time.Now().Add(5 * time.Second))
	event := make([]byte, uhid.EventSize+1)
	n, err := k.Read(event)
	if err != nil {
		k.t.Fatal(err)
	}
	if n > uhid.EventSize {
		k.t.Fatalf("event of more than %d bytes", uhid.EventSize)
	}
	return event[:uhid.EventSize]
}

func create(t *testing.T, config uhid.Config) (*uhid.Device, kernel) {
	t.Helper()
	k, open := newKernel(t)
	config.Open = open
	k.send(kernelEvent(2, uint64(0)))
	d, err := uhid.Create(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, k
}

func TestCreate(t *testing.T) {
	_, k := create(t, uhid.Config{
		Name: "Schlüssel", Serial: "12", Phys: "7",
		VendorID: 0x1050, ProductID: 0x0407, Version: 0x543, InputSize: 64, OutputSize: 32,
	})
	got := k.receive()
	text := func(at, n int) string { return string(bytes.TrimRight(got[at:at+n], "\x00")) }
	u16 := func(at int) uint16 { return binary.NativeEndian.Uint16(got[at:]) }
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(got[at:]) }
	if u32(0) != 11 || text(4, 128) != "Schlüssel" || text(132, 64) != "fobd/7" || text(196, 64) != "12" {
		t.Errorf("type %d, name %q, phys %q, uniq %q", u32(0), text(4, 128), text(132, 64), text(196, 64))
	}
	if u16(262) != 3 || u32(264) != 0x1050 || u32(268) != 0x0407 || u32(272) != 0x543 || u32(276) != 0 {
		t.Errorf("bus %d, vendor %#x, product %#x, version %#x, country %d", u16(262), u32(264), u32(268), u32(272), u32(276))
	}
	collections, err := hid.ParseDescriptor(got[280 : 280+u16(260)])
	fido, ok := hid.FIDOCollection(collections)
	if err != nil || !ok || fido.InputSize != 64 || fido.OutputSize != 32 {
		t.Errorf("descriptor: %+v, %v", collections, err)
	}
}

func TestCreateDefaults(t *testing.T) {
	d, k := create(t, uhid.Config{})
	got := k.receive()
	if vendor := binary.NativeEndian.Uint32(got[264:]); vendor != uhid.DefaultVendorID {
		t.Errorf("vendor %#x", vendor)
	}
	if !bytes.HasPrefix(got[132:], []byte(hid.EmulatedPhys)) {
		t.Errorf("phys %q", got[132:140])
	}
	if input, output := d.ReportSizes(); input != 64 || output != 64 {
		t.Errorf("ReportSizes() = %d, %d; want 64, 64", input, output)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, config := range map[string]uhid.Config{
		"long name":         {Name: strings.Repeat("x", 128)},
		"control character": {Name: "a\nb"},
		"long serial":       {Serial: strings.Repeat("x", 64)},
		"serial not ASCII":  {Serial: "№1"},
		"phys not ASCII":    {Phys: "é"},
		"tiny reports":      {InputSize: 7},
		"huge reports":      {OutputSize: 1025},
		"negative reports":  {OutputSize: -1},
	} {
		config.Open = func() (*os.File, error) {
			t.Errorf("%s: opened", name)
			return nil, os.ErrInvalid
		}
		if _, err := uhid.Create(t.Context(), config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCreateWithoutKernel(t *testing.T) {
	denied := func() (*os.File, error) { return nil, os.ErrPermission }
	if _, err := uhid.Create(t.Context(), uhid.Config{Open: denied}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Create: %v, want %v", err, os.ErrPermission)
	}
	_, open := newKernel(t) // never starts the device
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := uhid.Create(ctx, uhid.Config{Open: open}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Create: %v, want %v", err, context.DeadlineExceeded)
	}
	k, open := newKernel(t)
	k.send([]byte{1})
	if _, err := uhid.Create(t.Context(), uhid.Config{Open: open}); !errors.Is(err, uhid.ErrEvent) {
		t.Errorf("Create: %v, want %v", err, uhid.ErrEvent)
	}
}

func TestReports(t *testing.T) {
	d, k := create(t, uhid.Config{InputSize: 64, OutputSize: 32})
	k.receive()
	report := make([]byte, 32)
	for i := range 100 {
		want := bytes.Repeat([]byte{byte(i)}, 32)
		k.send(outputEvent(append([]byte{0}, want...)))
		n, err := d.Read(report)
		if err != nil || !bytes.Equal(report[:n], want) {
			t.Fatalf("Read = %x, %v; want %x", report[:n], err, want)
		}
	}
	// What is no report of this device is passed over.
	k.send(outputEvent(make([]byte, 32)))
	k.send(outputEvent(append([]byte{1}, make([]byte, 32)...)))
	k.send(kernelEvent(3))
	k.send(kernelEvent(99))
	k.send(outputEvent(append([]byte{0}, bytes.Repeat([]byte{9}, 32)...)))
	if _, err := d.Read(report); err != nil || report[0] != 9 {
		t.Errorf("Read = %x, %v", report, err)
	}

	want := bytes.Repeat([]byte{5}, 64)
	if n, err := d.Write(want); n != 64 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	got := k.receive()
	if kind, size := binary.NativeEndian.Uint32(got), binary.NativeEndian.Uint16(got[4:]); kind != 12 || size != 64 ||
		!bytes.Equal(got[6:6+64], want) {
		t.Errorf("event %d of size %d: %x", kind, size, got[6:6+64])
	}
	if _, err := d.Write(make([]byte, 32)); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Write: %v, want %v", err, hid.ErrReportSize)
	}

	d.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := d.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

func TestRequestsAreRefused(t *testing.T) {
	_, k := create(t, uhid.Config{})
	k.receive()
	k.send(kernelEvent(9, uint32(21), uint8(0), uint8(0)))
	if got, want := k.receive(), kernelEvent(10, uint32(21), uint16(unix.EIO), uint16(0)); !bytes.Equal(got, want) {
		t.Errorf("get report: answer %x", got[:16])
	}
	k.send(kernelEvent(13, uint32(22), uint8(0), uint8(0), uint16(0)))
	if got, want := k.receive(), kernelEvent(14, uint32(22), uint16(unix.EIO)); !bytes.Equal(got, want) {
		t.Errorf("set report: answer %x", got[:16])
	}
}

func TestOpened(t *testing.T) {
	opened := make(chan bool)
	_, k := create(t, uhid.Config{Opened: func(open bool) { opened <- open }})
	for _, event := range []struct {
		kind uint32
		want bool
	}{{4, true}, {5, false}, {4, true}} {
		k.send(kernelEvent(event.kind))
		if got := <-opened; got != event.want {
			t.Errorf("event %d: opened = %v", event.kind, got)
		}
	}
}

func TestClose(t *testing.T) {
	d, k := create(t, uhid.Config{})
	k.receive()
	read := make(chan error)
	go func() {
		_, err := d.Read(make([]byte, 64))
		read <- err
	}()
	d.Close()
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v, want %v", err, os.ErrClosed)
	}
	if _, err := d.Write(make([]byte, 64)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v, want %v", err, os.ErrClosed)
	}
	if got := k.receive(); binary.NativeEndian.Uint32(got) != 1 {
		t.Errorf("event %x, want UHID_DESTROY", got[:4])
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestKernelGoesAway(t *testing.T) {
	d, k := create(t, uhid.Config{})
	k.Close()
	if _, err := d.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read: %v, want %v", err, hid.ErrGone)
	}
	if _, err := d.Write(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Write: %v, want %v", err, hid.ErrGone)
	}
}

func BenchmarkWrite(b *testing.B) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	there := os.NewFile(uintptr(fds[1]), "kernel")
	defer there.Close()
	there.Write(kernelEvent(2, uint64(0)))
	d, err := uhid.Create(b.Context(), uhid.Config{Open: func() (*os.File, error) {
		return os.NewFile(uintptr(fds[0]), "uhid"), nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	event, report := make([]byte, uhid.EventSize), make([]byte, 64)
	there.Read(event)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Write(report); err != nil {
			b.Fatal(err)
		}
		there.Read(event)
	}
}
