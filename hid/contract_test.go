package hid_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
)

// pair is a device under test, seen from the host, and what stands behind it.
type pair struct {
	device hid.Device
	// peer is the other end: it reads what device writes.
	peer hid.Device
	// unplug takes the device away; peer.Close where it is nil.
	unplug func()
}

// testDevice holds a device to the promises of [hid.Device]. Each subtest gets a
// fresh pair.
func testDevice(t *testing.T, open func(t *testing.T) pair) {
	run := func(name string, test func(t *testing.T, p pair)) {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			p := open(t)
			if p.unplug == nil {
				p.unplug = func() { p.peer.Close() }
			}
			test(t, p)
			p.device.Close()
			p.unplug()
			p.peer.Close()
			if cleanup, ok := p.peer.(interface{ Cleanup() }); ok {
				cleanup.Cleanup()
			}
			noGoroutines(t, before)
		})
	}

	run("reports go both ways whole", func(t *testing.T, p pair) {
		input, output := p.device.ReportSizes()
		if gotIn, gotOut := p.peer.ReportSizes(); gotIn != output || gotOut != input {
			t.Fatalf("peer.ReportSizes() = %d, %d; want %d, %d", gotIn, gotOut, output, input)
		}
		for i := range 5 {
			mustWrite(t, p.device, fill(output, byte(i)))
			mustRead(t, p.peer, fill(output, byte(i)))
			mustWrite(t, p.peer, fill(input, byte(0x80+i)))
			mustRead(t, p.device, fill(input, byte(0x80+i)))
		}
		// A report that begins with zero bytes is not shortened.
		mustWrite(t, p.device, make([]byte, output))
		mustRead(t, p.peer, make([]byte, output))
	})

	run("reports are queued in order", func(t *testing.T, p pair) {
		input, _ := p.device.ReportSizes()
		for i := range 20 {
			mustWrite(t, p.peer, fill(input, byte(i)))
		}
		for i := range 20 {
			mustRead(t, p.device, fill(input, byte(i)))
		}
	})

	run("sizes are checked", func(t *testing.T, p pair) {
		input, output := p.device.ReportSizes()
		for _, size := range []int{0, output - 1, output + 1} {
			if _, err := p.device.Write(make([]byte, size)); !errors.Is(err, hid.ErrReportSize) {
				t.Errorf("Write of %d bytes: %v, want %v", size, err, hid.ErrReportSize)
			}
		}
		mustWrite(t, p.peer, fill(input, 7))
		if _, err := p.device.Read(make([]byte, input-1)); !errors.Is(err, hid.ErrReportSize) {
			t.Errorf("Read into a short buffer: %v, want %v", err, hid.ErrReportSize)
		}
		// Neither has spoilt the device, nor lost the report.
		mustRead(t, p.device, fill(input, 7))
	})

	run("a deadline ends a waiting read and spoils nothing", func(t *testing.T, p pair) {
		input, _ := p.device.ReportSizes()
		report := make([]byte, input)
		for range 3 {
			if err := p.device.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
				t.Fatalf("SetReadDeadline: %v", err)
			}
			if _, err := p.device.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
			}
		}
		// Past the deadline there is no report even if one is queued.
		mustWrite(t, p.peer, fill(input, 1))
		if _, err := p.device.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read past the deadline: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		if err := p.device.SetReadDeadline(time.Time{}); err != nil {
			t.Fatalf("SetReadDeadline: %v", err)
		}
		mustRead(t, p.device, fill(input, 1))
	})

	run("a deadline set meanwhile ends a waiting read", func(t *testing.T, p pair) {
		input, _ := p.device.ReportSizes()
		read := make(chan error)
		go func() {
			_, err := p.device.Read(make([]byte, input))
			read <- err
		}()
		if err := p.device.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Fatalf("SetReadDeadline: %v", err)
		}
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})

	run("close unblocks a read", func(t *testing.T, p pair) {
		input, output := p.device.ReportSizes()
		read := make(chan error)
		go func() {
			_, err := p.device.Read(make([]byte, input))
			read <- err
		}()
		if err := p.device.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-read; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read: %v, want %v", err, os.ErrClosed)
		}
		if _, err := p.device.Read(make([]byte, input)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close: %v, want %v", err, os.ErrClosed)
		}
		if _, err := p.device.Write(make([]byte, output)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write after Close: %v, want %v", err, os.ErrClosed)
		}
		if err := p.device.SetReadDeadline(time.Now()); !errors.Is(err, os.ErrClosed) {
			t.Errorf("SetReadDeadline after Close: %v, want %v", err, os.ErrClosed)
		}
		p.device.Close()
	})

	run("an unplugged device is gone", func(t *testing.T, p pair) {
		input, output := p.device.ReportSizes()
		read := make(chan error)
		go func() {
			_, err := p.device.Read(make([]byte, input))
			read <- err
		}()
		p.unplug()
		if err := <-read; !errors.Is(err, hid.ErrGone) {
			t.Errorf("waiting Read: %v, want %v", err, hid.ErrGone)
		}
		if _, err := p.device.Read(make([]byte, input)); !errors.Is(err, hid.ErrGone) {
			t.Errorf("Read: %v, want %v", err, hid.ErrGone)
		}
		// A stream may take a first report that nobody will read.
		_, err := p.device.Write(make([]byte, output))
		for range 100 {
			if err != nil {
				break
			}
			_, err = p.device.Write(make([]byte, output))
		}
		if !errors.Is(err, hid.ErrGone) {
			t.Errorf("Write: %v, want %v", err, hid.ErrGone)
		}
		if p.device.Close(); errors.Is(err, os.ErrClosed) {
			t.Errorf("Write before Close: %v", err)
		}
		if _, err := p.device.Read(make([]byte, input)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close: %v, want %v", err, os.ErrClosed)
		}
	})

	run("reading, writing, deadlines and close at the same time", func(t *testing.T, p pair) {
		input, output := p.device.ReportSizes()
		const reports = 500
		var wg sync.WaitGroup
		wg.Go(func() { // the key echoes
			report := make([]byte, output)
			for range reports {
				if _, err := p.peer.Read(report); err != nil {
					t.Errorf("peer.Read: %v", err)
					return
				}
				if _, err := p.peer.Write(fill(input, report[0])); err != nil {
					t.Errorf("peer.Write: %v", err)
					return
				}
			}
		})
		credit := make(chan struct{}, 16) // what the bounded queues surely hold
		wg.Go(func() {
			for i := range reports {
				credit <- struct{}{}
				if _, err := p.device.Write(fill(output, byte(i))); err != nil {
					t.Errorf("Write: %v", err)
					return
				}
			}
		})
		wg.Go(func() {
			report := make([]byte, input)
			for i := range reports {
				p.device.SetReadDeadline(time.Now().Add(time.Minute))
				n, err := p.device.Read(report)
				if err != nil || n != input || report[0] != byte(i) {
					t.Errorf("Read %d: %d bytes beginning with %#x, %v", i, n, report[0], err)
					return
				}
				<-credit
			}
		})
		wg.Wait()
		for range 4 {
			wg.Go(func() { p.device.Close() })
		}
		wg.Wait()
	})
}

func fill(size int, b byte) []byte { return bytes.Repeat([]byte{b}, size) }

func mustWrite(t *testing.T, d hid.Device, report []byte) {
	t.Helper()
	if n, err := d.Write(report); err != nil || n != len(report) {
		t.Fatalf("Write of %d bytes = %d, %v", len(report), n, err)
	}
}

func mustRead(t *testing.T, d hid.Device, want []byte) {
	t.Helper()
	// One byte more than needed: a device gives no more than one report.
	got := make([]byte, len(want)+1)
	n, err := d.Read(got)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	if !bytes.Equal(got[:n], want) {
		t.Fatalf("Read = %x, want %x", got[:n], want)
	}
}

// noGoroutines waits until no more goroutines run than before.
func noGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before,
				strings.TrimSpace(string(stacks)))
		}
		runtime.Gosched()
	}
}
