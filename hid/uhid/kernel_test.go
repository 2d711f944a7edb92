package uhid_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/uhid"
)

// The whole way through a real kernel that has uhid, for whoever may open it: hot-plug, open,
// reports, unplug.
func TestKernel(t *testing.T) {
	if _, err := os.Stat(uhid.Path); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{})
	events := make(chan hid.Event, 64)
	watched := make(chan error)
	go func() { watched <- bus.Watch(ctx, func(e hid.Event) { events <- e }) }()
	next := func(kind hid.EventKind) hid.Info {
		t.Helper()
		for {
			select {
			case e := <-events:
				if e.Info.Serial == "uhid-test" {
					if e.Kind != kind {
						t.Fatalf("event %v, want %v", e.Kind, kind)
					}
					return e.Info
				}
			case <-ctx.Done():
				t.Fatalf("no event %v", kind)
			}
		}
	}

	opened := make(chan bool, 16)
	create := func() *uhid.Device {
		t.Helper()
		key, err := uhid.Create(ctx, uhid.Config{
			Serial: "uhid-test", InputSize: 64, OutputSize: 32,
			Opened: func(open bool) { opened <- open },
		})
		if errors.Is(err, os.ErrPermission) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key := create()
	info := next(hid.Attached)
	if !info.Emulated || info.VendorID != uhid.DefaultVendorID || info.InputSize != 64 || info.OutputSize != 32 || info.BusType != 3 {
		t.Errorf("attached %+v", info)
	}

	// A program that has it open hears the answers to others, too. The key reads
	// slowly, as keys do: both have their own queue.
	host, err := bus.Open(ctx, info.ID, func(h hid.Holder) { t.Logf("held by %v", h) })
	if err != nil {
		t.Fatal(err)
	}
	for !<-opened {
	}
	report := make([]byte, 64)
	for i := range 100 {
		want := bytes.Repeat([]byte{byte(i)}, 32)
		if _, err := host.Write(want); err != nil {
			t.Fatalf("host: Write: %v", err)
		}
		if n, err := key.Read(report); err != nil || !bytes.Equal(report[:n], want) {
			t.Fatalf("key: Read = %x, %v; want %x", report[:n], err, want)
		}
		want = bytes.Repeat([]byte{byte(0xFF - i)}, 64)
		if _, err := key.Write(want); err != nil {
			t.Fatalf("key: Write: %v", err)
		}
		if n, err := host.Read(report); err != nil || !bytes.Equal(report[:n], want) {
			t.Fatalf("host: Read = %x, %v; want %x", report[:n], err, want)
		}
	}
	host.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := host.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("host: Read: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	host.SetReadDeadline(time.Time{})

	// One program at a time; closing from another goroutine ends a read.
	waited := make(chan hid.Holder, 1)
	second := make(chan error)
	go func() {
		d, err := bus.Open(ctx, info.ID, func(h hid.Holder) { waited <- h })
		if err == nil {
			_, err = d.Read(make([]byte, 64))
			d.Close()
		}
		second <- err
	}()
	if h := <-waited; h.PID != os.Getpid() {
		t.Errorf("held by %v, want this process", h)
	}
	if _, err := key.Write(bytes.Repeat([]byte{1}, 64)); err != nil { // for the first, not the second
		t.Fatal(err)
	}
	host.Close()
	time.Sleep(time.Second) // until the second reads
	key.Close()
	if err := <-second; !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read of an unplugged key: %v, want %v", err, hid.ErrGone)
	}
	next(hid.Detached)
	if _, err := bus.Open(ctx, info.ID, nil); !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open of an unplugged key: %v, want %v", err, hid.ErrNotFound)
	}

	// The next one gets the same path and another ID.
	key = create()
	if again := next(hid.Attached); again.ID == info.ID {
		t.Errorf("ID %s is used again", again.ID)
	}
	key.Close()
	next(hid.Detached)
	cancel()
	<-watched
}
