package hid_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func memoryKey(t *testing.T, bus *hid.MemoryBus, id string) (ends chan hid.Device) {
	t.Helper()
	ends = make(chan hid.Device, 16)
	err := bus.Attach(hid.Info{ID: id}, func() (hid.Device, error) {
		host, key := hid.NewPipe(64, 64)
		ends <- key
		return host, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ends
}

func TestMemoryBusDevice(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		bus := hid.NewMemoryBus()
		ends := memoryKey(t, bus, "mem-1")
		device, err := bus.Open(t.Context(), "mem-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair{device: device, peer: <-ends, unplug: func() { bus.Detach("mem-1") }}
	})
}

func TestMemoryBusDevices(t *testing.T) {
	bus := hid.NewMemoryBus()
	memoryKey(t, bus, "b")
	memoryKey(t, bus, "a")
	if err := bus.Attach(hid.Info{ID: "a"}, nil); err == nil {
		t.Error("Attach of an attached ID: no error")
	}
	if err := bus.Attach(hid.Info{}, nil); err == nil {
		t.Error("Attach without an ID: no error")
	}
	got, err := bus.Devices()
	want := hid.Info{UsagePage: hid.UsagePageFIDO, Usage: hid.UsageFIDO, InputSize: 64, OutputSize: 64}
	wantA, wantB := want, want
	wantA.ID, wantB.ID = "a", "b"
	if err != nil || !slices.Equal(got, []hid.Info{wantA, wantB}) {
		t.Errorf("Devices() = %+v, %v", got, err)
	}
	if _, err := bus.Open(t.Context(), "c", nil); !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open: %v, want %v", err, hid.ErrNotFound)
	}
}

func TestMemoryBusWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		memoryKey(t, bus, "a")
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error)
		go func() {
			ended <- bus.Watch(ctx, func(e hid.Event) {
				got = append(got, fmt.Sprint(e.Kind, " ", e.Info.ID))
			})
		}()
		step := func(f func()) {
			f()
			synctest.Wait()
		}
		step(func() {})
		step(func() { memoryKey(t, bus, "b") })
		step(func() { bus.Detach("a") })
		step(func() { bus.Detach("nobody") })
		step(func() { bus.Detach("b"); memoryKey(t, bus, "b") }) // another device
		step(cancel)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v, want %v", err, context.Canceled)
		}
		want := []string{"attached a", "attached b", "detached a", "detached b", "attached b"}
		if !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

func TestMemoryBusOpenIsFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		memoryKey(t, bus, "a")
		first, err := bus.Open(t.Context(), "a", func(hid.Holder) { t.Error("the first had to wait") })
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 4 {
			go func() {
				ctx := t.Context()
				if i == 1 { // this one gives up
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				waits := 0
				device, err := bus.Open(ctx, "a", func(h hid.Holder) {
					if waits++; waits > 1 || h.PID != os.Getpid() {
						t.Errorf("wait %d for %v", waits, h)
					}
				})
				if i == 1 {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Open: %v, want %v", err, context.DeadlineExceeded)
					}
					return
				}
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				order = append(order, i)
				time.Sleep(time.Second)
				device.Close()
				device.Close()
			}()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		first.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []int{0, 2, 3}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
}

func TestMemoryBusDetachEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		memoryKey(t, bus, "a")
		device, err := bus.Open(t.Context(), "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error)
		go func() {
			_, err := bus.Open(t.Context(), "a", nil)
			opened <- err
		}()
		synctest.Wait()
		bus.Detach("a")
		if err := <-opened; !errors.Is(err, hid.ErrNotFound) {
			t.Errorf("Open: %v, want %v", err, hid.ErrNotFound)
		}
		if _, err := device.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
			t.Errorf("Read: %v, want %v", err, hid.ErrGone)
		}
	})
}

func TestMemoryBusConnectFails(t *testing.T) {
	bus := hid.NewMemoryBus()
	failure := errors.New("no key")
	bus.Attach(hid.Info{ID: "a"}, func() (hid.Device, error) { return nil, failure })
	for range 2 { // a failure does not leave the device taken
		if _, err := bus.Open(t.Context(), "a", nil); !errors.Is(err, failure) {
			t.Errorf("Open: %v, want %v", err, failure)
		}
	}
}
