package hid_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func TestStreamUnix(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		here, there := unixConns(t)
		return pair{device: hid.NewStream(here, 64, 32), peer: hid.NewStream(there, 32, 64)}
	})
}

func TestStreamReportInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		device := hid.NewStream(here, 64, 64)
		go there.Write(fill(40, 9))
		device.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := device.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		go there.Write(fill(24, 9))
		device.SetReadDeadline(time.Time{})
		mustRead(t, device, fill(64, 9))
	})
}

func TestStreamEndsWithinAReport(t *testing.T) {
	here, there := net.Pipe()
	device := hid.NewStream(here, 64, 64)
	go func() {
		there.Write(fill(63, 9))
		there.Close()
	}()
	_, err := device.Read(make([]byte, 64))
	if !errors.Is(err, hid.ErrGone) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Read: %v, want %v and %v", err, hid.ErrGone, io.ErrUnexpectedEOF)
	}
}

func TestStreamWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		device := hid.NewStream(here, 64, 64)
		start := time.Now()
		if _, err := device.Write(fill(64, 0)); !errors.Is(err, hid.ErrWriteTimeout) {
			t.Fatalf("Write: %v, want %v", err, hid.ErrWriteTimeout)
		}
		if got := time.Since(start); got != hid.WriteTimeout {
			t.Errorf("Write gave up after %v, want %v", got, hid.WriteTimeout)
		}
		// A report sent in part cannot be taken back.
		go there.Read(make([]byte, 10))
		synctest.Wait()
		if n, err := device.Write(fill(64, 0)); n != 10 || !errors.Is(err, hid.ErrWriteTimeout) {
			t.Fatalf("Write = %d, %v; want 10, %v", n, err, hid.ErrWriteTimeout)
		}
		if _, err := device.Write(fill(64, 0)); !errors.Is(err, hid.ErrGone) {
			t.Errorf("Write: %v, want %v", err, hid.ErrGone)
		}
	})
}

func TestStreamAllocatesNothingPerReport(t *testing.T) {
	here, there := unixConns(t)
	a, b := hid.NewStream(here, 64, 64), hid.NewStream(there, 64, 64)
	defer a.Close()
	defer b.Close()
	report := make([]byte, 64)
	got := testing.AllocsPerRun(200, func() {
		a.Write(report)
		b.SetReadDeadline(time.Now().Add(time.Second))
		b.Read(report)
	})
	if got != 0 {
		t.Errorf("%v allocations per report, want 0", got)
	}
}

// unixConns returns the ends of a Unix connection.
func unixConns(t *testing.T) (here, there net.Conn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if here, err = net.Dial("unix", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return here, there
}
