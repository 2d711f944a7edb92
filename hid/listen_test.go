package hid_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func TestMemoryBusListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		var key hid.Device
		if err := bus.Attach(hid.Info{ID: "k"}, func() (host hid.Device, err error) {
			host, key = hid.NewPipe(64, 64)
			return host, nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := bus.Listen(t.Context(), "other"); !errors.Is(err, hid.ErrNotFound) {
			t.Errorf("Listen to a device that is not there: %v, want %v", err, hid.ErrNotFound)
		}
		if got := bus.Holder("k"); got != (hid.Holder{}) {
			t.Errorf("holder of a free device: %v, want none", got)
		}
		var ears [2]hid.Ear
		for i := range ears {
			var err error
			if ears[i], err = bus.Listen(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		device, err := bus.Open(t.Context(), "k", func(hid.Holder) { t.Error("who listens keeps others from the device") })
		if err != nil {
			t.Fatal(err)
		}
		defer device.Close()
		if got := bus.Holder("k"); got.PID != os.Getpid() {
			t.Errorf("holder %v, want this process", got)
		}
		pass := func(n byte) {
			t.Helper()
			if _, err := key.Write(fill(64, n)); err != nil {
				t.Fatal(err)
			}
			if _, err := device.Read(make([]byte, 64)); err != nil {
				t.Fatal(err)
			}
		}
		heard := func(ear hid.Ear, n byte) {
			t.Helper()
			report := make([]byte, ear.ReportSize())
			if _, err := ear.Read(report); err != nil || !bytes.Equal(report, fill(64, n)) {
				t.Fatalf("heard %x, %v; want %x", report, err, fill(64, n))
			}
		}
		pass(1)
		heard(ears[0], 1)
		heard(ears[1], 1)
		// One that does not read keeps nothing up.
		for n := range byte(100) {
			pass(n)
			heard(ears[0], n)
		}
		ears[1].Close()
		if _, err := ears[1].Read(make([]byte, 64)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close: %v, want %v", err, os.ErrClosed)
		}
		pass(7)
		heard(ears[0], 7)
		if err := ears[0].SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := ears[0].Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read past the deadline: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		ears[0].SetReadDeadline(time.Time{})
		gone := make(chan error)
		go func() {
			_, err := ears[0].Read(make([]byte, 64))
			gone <- err
		}()
		synctest.Wait()
		bus.Detach("k")
		if err := <-gone; !errors.Is(err, hid.ErrGone) {
			t.Errorf("Read when the device is unplugged: %v, want %v", err, hid.ErrGone)
		}
	})
}
