//go:build libusb || !linux

package hid_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	karalabe "github.com/karalabe/hid"

	"github.com/fobd/fobd/hid"
)

// fakeHIDAPI behaves as an open device of karalabe/hid does, and remembers if it was
// closed while it was in use, which is undefined behaviour in C.
type fakeHIDAPI struct {
	karalabe.Device
	t     *testing.T
	host  hid.Device
	busy  atomic.Int32
	ended atomic.Bool
}

func (f *fakeHIDAPI) use() func() {
	if f.ended.Load() {
		f.t.Error("used after Close")
	}
	f.busy.Add(1)
	return func() { f.busy.Add(-1) }
}

func (f *fakeHIDAPI) ReadTimeout(b []byte, milliseconds int) (int, error) {
	defer f.use()()
	f.host.SetReadDeadline(time.Now().Add(time.Duration(milliseconds) * time.Millisecond))
	n, err := f.host.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	return n, err
}

func (f *fakeHIDAPI) Write(b []byte) (int, error) {
	defer f.use()()
	if runtime.GOOS != "windows" {
		if b[0] != 0 {
			f.t.Errorf("report number %d, want 0", b[0])
		}
		b = b[1:]
	}
	return f.host.Write(b)
}

func (f *fakeHIDAPI) Close() error {
	if f.busy.Load() > 0 {
		f.t.Error("closed while in use")
	}
	f.ended.Store(true)
	return f.host.Close()
}

func TestLibusbDevice(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		host, key := hid.NewPipe(64, 32)
		device := hid.NewLibusbDevice(&fakeHIDAPI{t: t, host: host}, 64, 32)
		return pair{device: device, peer: key}
	})
}

// Whatever is attached here can be listed, and a FIDO device answers deadlines.
func TestLibusbBus(t *testing.T) {
	if !karalabe.Supported() {
		t.Skip("built without cgo")
	}
	bus := hid.NewLibusbBus(nil)
	if _, err := bus.Open(t.Context(), "usb-0-0", nil); !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open: %v, want %v", err, hid.ErrNotFound)
	}
	infos, err := bus.Devices()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	attached := 0
	if err := bus.Watch(ctx, func(e hid.Event) { attached++ }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Watch: %v, want %v", err, context.DeadlineExceeded)
	}
	if attached != len(infos) {
		t.Errorf("Watch told of %d devices, Devices of %d", attached, len(infos))
	}
	if len(infos) == 0 {
		t.Skip("no FIDO device here")
	}
	device, err := bus.Open(t.Context(), infos[0].ID, nil)
	if err != nil {
		t.Skip(err)
	}
	defer device.Close()
	device.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := device.Read(make([]byte, infos[0].InputSize)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
	}
}
