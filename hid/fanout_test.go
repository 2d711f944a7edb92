package hid_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func TestFanoutDevice(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		host, key := hid.NewPipe(64, 32)
		fanout := hid.NewFanout(host)
		t.Cleanup(func() { fanout.Close() })
		return pair{device: fanout.Connect(), peer: key}
	})
}

func TestFanoutEveryHostGetsEveryReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		fanout := hid.NewFanout(host)
		defer fanout.Close()
		a, b := fanout.Connect(), fanout.Connect()
		mustWrite(t, a, fill(64, 1))
		mustWrite(t, b, fill(64, 2))
		mustRead(t, key, fill(64, 1))
		mustRead(t, key, fill(64, 2))
		mustWrite(t, key, fill(64, 3))
		mustRead(t, a, fill(64, 3))
		mustRead(t, b, fill(64, 3))
		late := fanout.Connect() // does not see the past
		late.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := late.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("late Read: %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})
}

func TestFanoutSlowReaderLosesReportsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		fanout := hid.NewFanout(host)
		defer fanout.Close()
		slow, quick := fanout.Connect(), fanout.Connect()
		for i := range 100 {
			mustWrite(t, key, fill(64, byte(i)))
			mustRead(t, quick, fill(64, byte(i)))
		}
		for i := range 64 { // as in the kernel, what comes to a full ring is lost
			mustRead(t, slow, fill(64, byte(i)))
		}
		mustWrite(t, key, fill(64, 200))
		mustRead(t, slow, fill(64, 200))
	})
}

func TestFanoutWritersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, _ := hid.NewPipe(64, 64)
		fanout := hid.NewFanout(host)
		defer fanout.Close()
		first, second := fanout.Connect(), fanout.Connect()
		for range 64 {
			mustWrite(t, first, fill(64, 0))
		}
		go first.Write(fill(64, 0)) // the key does not read
		synctest.Wait()
		time.Sleep(time.Second)
		if _, err := second.Write(fill(64, 0)); !errors.Is(err, hid.ErrWriteTimeout) {
			t.Errorf("Write: %v, want %v", err, hid.ErrWriteTimeout)
		}
		synctest.Wait()
	})
}

func TestFanoutClose(t *testing.T) {
	host, key := hid.NewPipe(64, 64)
	fanout := hid.NewFanout(host)
	end := fanout.Connect()
	fanout.Close()
	for _, end := range []hid.Device{end, fanout.Connect()} {
		if _, err := end.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
			t.Errorf("Read: %v, want %v", err, hid.ErrGone)
		}
		if _, err := end.Write(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
			t.Errorf("Write: %v, want %v", err, hid.ErrGone)
		}
	}
	if _, err := key.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("key: Read: %v, want %v", err, hid.ErrGone)
	}
}
