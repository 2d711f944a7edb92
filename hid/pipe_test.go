package hid_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func TestPipe(t *testing.T) {
	for _, sizes := range [][2]int{{64, 64}, {8, 32}, {32, 8}} {
		testDevice(t, func(t *testing.T) pair {
			host, key := hid.NewPipe(sizes[0], sizes[1])
			return pair{device: host, peer: key}
		})
	}
}

func TestPipeFromTheKey(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		host, key := hid.NewPipe(64, 32)
		return pair{device: key, peer: host}
	})
}

func TestPipeDefaultSizes(t *testing.T) {
	host, _ := hid.NewPipe(0, -1)
	if input, output := host.ReportSizes(); input != 64 || output != 64 {
		t.Errorf("ReportSizes() = %d, %d; want 64, 64", input, output)
	}
}

func TestPipeDeliversWhatWasSentBeforeClose(t *testing.T) {
	host, key := hid.NewPipe(64, 64)
	mustWrite(t, key, fill(64, 1))
	key.Close()
	mustRead(t, host, fill(64, 1))
	if _, err := host.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read: %v, want %v", err, hid.ErrGone)
	}
	if _, err := host.Write(fill(64, 2)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Write: %v, want %v", err, hid.ErrGone)
	}
}

func TestPipeWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		for i := range 64 {
			mustWrite(t, host, fill(64, byte(i)))
		}
		for range 2 {
			start := time.Now()
			if _, err := host.Write(fill(64, 64)); !errors.Is(err, hid.ErrWriteTimeout) {
				t.Fatalf("Write: %v, want %v", err, hid.ErrWriteTimeout)
			}
			if got := time.Since(start); got != hid.WriteTimeout {
				t.Errorf("Write gave up after %v, want %v", got, hid.WriteTimeout)
			}
		}
		// Nothing was lost and nothing added; a reader makes room for a writer that waits.
		go func() {
			time.Sleep(time.Second)
			for i := range 65 {
				mustRead(t, key, fill(64, byte(i)))
			}
		}()
		start := time.Now()
		mustWrite(t, host, fill(64, 64))
		if got := time.Since(start); got != time.Second {
			t.Errorf("Write waited %v, want 1s", got)
		}
		synctest.Wait()
	})
}

func TestPipeCloseUnblocksWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, own := range []bool{true, false} {
			host, key := hid.NewPipe(64, 64)
			for range 64 {
				mustWrite(t, host, fill(64, 0))
			}
			wrote := make(chan error)
			go func() {
				_, err := host.Write(fill(64, 0))
				wrote <- err
			}()
			synctest.Wait()
			want := hid.ErrGone
			if own {
				host.Close()
				want = os.ErrClosed
			} else {
				key.Close()
			}
			if err := <-wrote; !errors.Is(err, want) {
				t.Errorf("Write: %v, want %v", err, want)
			}
		}
	})
}

func TestPipeDeadlineIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		start := time.Now()
		host.SetReadDeadline(start.Add(time.Hour))
		read := make(chan error, 1)
		go func() {
			_, err := host.Read(make([]byte, 64))
			read <- err
		}()
		synctest.Wait()
		host.SetReadDeadline(start.Add(time.Second)) // moves a deadline that is being waited for
		if err := <-read; err == nil {
			t.Fatal("Read: no error")
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("Read gave up after %v, want 1s", got)
		}
		host.SetReadDeadline(time.Now().Add(time.Second))
		host.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Minute, func() { key.Write(fill(64, 1)) })
		mustRead(t, host, fill(64, 1))
	})
}

func BenchmarkPipe(b *testing.B) {
	host, key := hid.NewPipe(64, 64)
	report := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		host.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := key.Write(report); err != nil {
			b.Fatal(err)
		}
		if _, err := host.Read(report); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPipeRoundTrip(b *testing.B) {
	host, key := hid.NewPipe(64, 64)
	go func() {
		report := make([]byte, 64)
		for {
			if _, err := key.Read(report); err != nil {
				return
			}
			key.Write(report)
		}
	}()
	defer host.Close()
	report := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		host.Write(report)
		if _, err := host.Read(report); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPipeAllocatesNothingPerReport(t *testing.T) {
	host, key := hid.NewPipe(64, 64)
	report := make([]byte, 64)
	host.SetReadDeadline(time.Now().Add(time.Minute))
	got := testing.AllocsPerRun(1000, func() {
		host.SetReadDeadline(time.Now().Add(time.Minute))
		key.Write(report)
		host.Read(report)
	})
	if got != 0 {
		t.Errorf("%v allocations per report, want 0", got)
	}
}
