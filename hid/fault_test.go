package hid_test

import (
	"errors"
	"math/bits"
	"os"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func TestFaultyDevice(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		host, key := hid.NewPipe(64, 32)
		return pair{device: hid.NewFaulty(host, 1), peer: key}
	})
}

// passed writes reports beginning with 0, 1, … one way through a faulty device and
// returns how those that arrive begin, and after how many milliseconds.
func passed(t *testing.T, direction hid.Direction, reports int, faults ...hid.Fault) (first []byte, at []int64) {
	t.Helper()
	host, key := hid.NewPipe(8, 8)
	var device hid.Device = hid.NewFaulty(host, 1, faults...)
	defer device.Close()
	from, to := key, device
	if direction == hid.ToDevice {
		from, to = device, key
	}
	start := time.Now()
	for i := range reports {
		mustWrite(t, from, fill(8, byte(i)))
	}
	to.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		report := make([]byte, 8)
		if _, err := to.Read(report); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("Read: %v", err)
			}
			return first, at
		}
		first = append(first, report[0])
		at = append(at, time.Since(start).Milliseconds())
	}
}

func TestFaults(t *testing.T) {
	for _, direction := range []hid.Direction{hid.FromDevice, hid.ToDevice} {
		for _, test := range []struct {
			name   string
			faults []hid.Fault
			want   []byte
		}{
			{"none", nil, []byte{0, 1, 2, 3, 4}},
			{"drop", []hid.Fault{{Kind: hid.Drop, After: 1}}, []byte{0, 2, 3, 4}},
			{"drop two", []hid.Fault{{Kind: hid.Drop, After: 1, Count: 2}}, []byte{0, 3, 4}},
			{"drop all", []hid.Fault{{Kind: hid.Drop, After: 2, Count: -1}}, []byte{0, 1}},
			{"duplicate", []hid.Fault{{Kind: hid.Duplicate, After: 4}}, []byte{0, 1, 2, 3, 4, 4}},
			{"reorder", []hid.Fault{{Kind: hid.Reorder, After: 1}}, []byte{0, 2, 1, 3, 4}},
			{"reorder twice", []hid.Fault{{Kind: hid.Reorder, After: 1, Count: 2}}, []byte{0, 2, 1, 3, 4}},
			{"first of two wins", []hid.Fault{{Kind: hid.Drop}, {Kind: hid.Duplicate}}, []byte{1, 2, 3, 4}},
		} {
			synctest.Test(t, func(t *testing.T) {
				for i := range test.faults {
					test.faults[i].Direction = direction
				}
				if got, _ := passed(t, direction, 5, test.faults...); !slices.Equal(got, test.want) {
					t.Errorf("%v, %s: %v, want %v", direction, test.name, got, test.want)
				}
			})
		}
	}
}

func TestFaultDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, _ := passed(t, hid.FromDevice, 2, hid.Fault{Kind: hid.Drop, Direction: hid.ToDevice, Count: -1})
		if !slices.Equal(got, []byte{0, 1}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestFaultDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, direction := range []hid.Direction{hid.FromDevice, hid.ToDevice} {
			fault := hid.Fault{Kind: hid.Delay, Direction: direction, After: 1, Delay: 1500 * time.Millisecond}
			first, at := passed(t, direction, 3, fault)
			// The writer of a delayed report waits, so that reading begins later.
			want := []int64{0, 1500, 1500}
			if direction == hid.ToDevice {
				want[0] = 1500
			}
			if !slices.Equal(first, []byte{0, 1, 2}) || !slices.Equal(at, want) {
				t.Errorf("%v: %v at %v, want at %v", direction, first, at, want)
			}
		}

		host, key := hid.NewPipe(8, 8)
		var device hid.Device = hid.NewFaulty(host, 1,
			hid.Fault{Kind: hid.Delay, Delay: time.Hour},
			hid.Fault{Kind: hid.Delay, Delay: time.Hour, Direction: hid.ToDevice})
		start := time.Now()
		if _, err := device.Write(fill(8, 0)); !errors.Is(err, hid.ErrWriteTimeout) {
			t.Errorf("Write: %v, want %v", err, hid.ErrWriteTimeout)
		}
		mustWrite(t, key, fill(8, 0))
		device.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := device.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		device.Close() // waits for no delay
		if got, want := time.Since(start), hid.WriteTimeout+time.Second; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

func TestFaultCorrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corrupted := func(seed uint64, direction hid.Direction) []byte {
			host, key := hid.NewPipe(64, 64)
			var device hid.Device = hid.NewFaulty(host, seed, hid.Fault{Kind: hid.Corrupt, Direction: direction})
			defer device.Close()
			from, to := key, device
			if direction == hid.ToDevice {
				from, to = device, key
			}
			sent, got := make([]byte, 64), make([]byte, 64)
			mustWrite(t, from, sent)
			to.Read(got)
			if !slices.Equal(sent, make([]byte, 64)) {
				t.Error("the sender's report was changed")
			}
			return got
		}
		for _, direction := range []hid.Direction{hid.FromDevice, hid.ToDevice} {
			a := corrupted(7, direction)
			changed := 0
			for _, b := range a {
				if bits.OnesCount8(b) > 0 {
					changed++
				}
			}
			if changed != 1 {
				t.Errorf("%v: %d bytes changed, want 1", direction, changed)
			}
			if b := corrupted(7, direction); !slices.Equal(a, b) {
				t.Errorf("%v: the same seed gives %x and %x", direction, a, b)
			}
			if b := corrupted(8, direction); slices.Equal(a, b) {
				t.Errorf("%v: another seed gives %x, too", direction, b)
			}
		}
	})
}

func TestFaultDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, direction := range []hid.Direction{hid.FromDevice, hid.ToDevice} {
			host, key := hid.NewPipe(8, 8)
			var device hid.Device = hid.NewFaulty(host, 1, hid.Fault{Kind: hid.Disconnect, Direction: direction, After: 1})
			mustWrite(t, key, fill(8, 1))
			mustRead(t, device, fill(8, 1))
			mustWrite(t, device, fill(8, 2))
			if direction == hid.FromDevice {
				mustWrite(t, key, fill(8, 3))
				synctest.Wait()
			}
			if _, err := device.Write(fill(8, 4)); !errors.Is(err, hid.ErrGone) {
				t.Errorf("%v: Write: %v, want %v", direction, err, hid.ErrGone)
			}
			if _, err := device.Read(make([]byte, 8)); !errors.Is(err, hid.ErrGone) {
				t.Errorf("%v: Read: %v, want %v", direction, err, hid.ErrGone)
			}
			device.Close()
		}
	})
}

func TestRandomFaults(t *testing.T) {
	a := hid.RandomFaults(1, 10_000, 0.1, time.Second)
	if b := hid.RandomFaults(1, 10_000, 0.1, time.Second); !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives another schedule")
	}
	if b := hid.RandomFaults(2, 10_000, 0.1, time.Second); reflect.DeepEqual(a, b) {
		t.Error("another seed gives the same schedule")
	}
	if len(a) < 1800 || len(a) > 2200 {
		t.Errorf("%d faults in 20,000 reports, want about 2,000", len(a))
	}
	for _, f := range a {
		if f.Kind == hid.Disconnect || f.Delay < 0 || f.Delay >= time.Second {
			t.Errorf("fault %+v", f)
		}
	}
	for _, f := range hid.RandomFaults(1, 100, 1, 0, hid.Disconnect) {
		if f.Kind != hid.Disconnect {
			t.Errorf("fault %+v", f)
		}
	}
}
