package hid_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
)

// socketpair returns two connected files that keep the bounds of what is written, as
// hidraw does.
func socketpair(t testing.TB) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "hidraw"), os.NewFile(uintptr(fds[1]), "kernel")
}

// kernelEnd is what the kernel does behind hidraw: it takes reports with a report
// number, 0, and gives them without.
type kernelEnd struct {
	*os.File
	input, output int // as the kernel reads and writes
}

func (k kernelEnd) Read(report []byte) (int, error) {
	frame := make([]byte, 1+k.input+1)
	n, err := k.File.Read(frame)
	if err != nil {
		return 0, err
	}
	if n != 1+k.input || frame[0] != 0 {
		return 0, errors.New("frame without report number 0")
	}
	return copy(report, frame[1:n]), nil
}

func (k kernelEnd) ReportSizes() (input, output int) { return k.input, k.output }

// openHidraw opens a device of a fake sysfs over a socket.
func openHidraw(t testing.TB, sys fakeSys) (hid.Device, kernelEnd) {
	t.Helper()
	here, there := socketpair(t)
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{
		SysRoot: sys.root,
		Open:    func(string) (*os.File, error) { return here, nil },
	})
	device, err := bus.Open(t.Context(), "hid-0003:1209:F0BD.0007", nil)
	if err != nil {
		t.Fatal(err)
	}
	return device, kernelEnd{there, 32, 64}
}

func TestHidrawDevice(t *testing.T) {
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	testDevice(t, func(t *testing.T) pair {
		device, kernel := openHidraw(t, sys)
		return pair{device: device, peer: kernel}
	})
}

func TestHidrawShortReport(t *testing.T) {
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	device, kernel := openHidraw(t, sys)
	defer device.Close()
	defer kernel.Close()
	kernel.Write(fill(63, 1))
	kernel.Write(fill(64, 2))
	if _, err := device.Read(make([]byte, 64)); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Read: %v, want %v", err, hid.ErrReportSize)
	}
	mustRead(t, device, fill(64, 2))
}

// A device that takes no reports: the write times out, goes on in the background, and
// holds up neither Read nor Close.
func TestHidrawSilentDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for real")
	}
	t.Parallel()
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	device, kernel := openHidraw(t, sys)
	defer kernel.Close()
	var err error
	start := time.Now()
	for range 10_000 {
		start = time.Now()
		if _, err = device.Write(fill(32, 1)); err != nil {
			break
		}
	}
	if !errors.Is(err, hid.ErrWriteTimeout) {
		t.Fatalf("Write: %v, want %v", err, hid.ErrWriteTimeout)
	}
	if took := time.Since(start); took < hid.WriteTimeout || took > hid.WriteTimeout+time.Second {
		t.Errorf("Write gave up after %v, want %v", took, hid.WriteTimeout)
	}
	kernel.Write(fill(64, 2))
	mustRead(t, device, fill(64, 2))

	// The device wakes up: the report that timed out arrives, then new ones.
	wrote := make(chan error)
	go func() {
		_, err := device.Write(fill(32, 3))
		wrote <- err
	}()
	report := make([]byte, 32)
	for report[0] != 3 {
		if _, err := kernel.Read(report); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-wrote; err != nil {
		t.Errorf("Write: %v", err)
	}
	go func() {
		for range 10_000 {
			if _, err := device.Write(fill(32, 4)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond) // until the socket is full again, most likely
	start = time.Now()
	device.Close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := <-wrote; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v, want %v", err, os.ErrClosed)
	}
}

func BenchmarkHidraw(b *testing.B) {
	here, there := socketpair(b)
	defer there.Close()
	device := hid.NewHidraw(here, 64, 64)
	defer device.Close()
	report, frame := make([]byte, 64), make([]byte, 65)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := device.Write(report); err != nil {
				b.Fatal(err)
			}
			there.Read(frame)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			there.Write(report)
			device.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := device.Read(report); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor/write and read of a socket", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			here.Write(report)
			there.Read(frame)
		}
	})
}

func TestHidrawAllocatesNothingPerReport(t *testing.T) {
	here, there := socketpair(t)
	defer there.Close()
	device := hid.NewHidraw(here, 64, 64)
	defer device.Close()
	report, frame := make([]byte, 64), make([]byte, 65)
	got := testing.AllocsPerRun(200, func() {
		device.Write(report)
		there.Read(frame)
		there.Write(report)
		device.SetReadDeadline(time.Now().Add(time.Second))
		device.Read(report)
	})
	if got != 0 {
		t.Errorf("%v allocations per report, want 0", got)
	}
	if !bytes.Equal(frame, make([]byte, 65)) {
		t.Errorf("frame %x", frame)
	}
}
