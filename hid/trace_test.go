package hid_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/hid"
)

func TestRecorderDevice(t *testing.T) {
	testDevice(t, func(t *testing.T) pair {
		host, key := hid.NewPipe(64, 32)
		return pair{device: hid.NewRecorder(host, io.Discard), peer: key}
	})
}

func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(16, 8)
		var out bytes.Buffer
		recorder := hid.NewRecorder(host, &out)
		time.Sleep(1500 * time.Microsecond)
		mustWrite(t, recorder, []byte{1, 2, 3, 0, 0, 0, 0, 0})
		time.Sleep(2 * time.Second)
		mustWrite(t, key, append([]byte{0}, fill(15, 0xFF)...))
		mustRead(t, recorder, append([]byte{0}, fill(15, 0xFF)...))
		recorder.SetReadDeadline(time.Now().Add(time.Second))
		recorder.Read(make([]byte, 16))
		recorder.SetReadDeadline(time.Time{})
		mustWrite(t, key, fill(16, 0))
		mustRead(t, recorder, fill(16, 0))
		key.Close()
		for range 3 {
			recorder.Read(make([]byte, 16))
		}
		recorder.Close()
		want := `fobd-trace 1 input=16 output=8
0.001500000 > 010203
2.001500000 < 00ffffffffffffffffffffffffffffff
3.001500000 < 
3.001500000 ! gone
`
		if got := out.String(); got != want || recorder.Err() != nil {
			t.Errorf("trace\n%s(%v), want\n%s", got, recorder.Err(), want)
		}

		trace, err := hid.ReadTrace(&out)
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		trace.WriteTo(&again)
		if again.String() != want {
			t.Errorf("round trip\n%s, want\n%s", &again, want)
		}
	})
}

// failing takes one write.
type failing struct{ writes int }

func (f *failing) Write(b []byte) (int, error) {
	if f.writes++; f.writes > 1 {
		return 0, os.ErrPermission
	}
	return len(b), nil
}

func TestRecorderFailureDisturbsNothing(t *testing.T) {
	host, key := hid.NewPipe(64, 64)
	out := &failing{}
	recorder := hid.NewRecorder(host, out)
	for i := range 3 {
		mustWrite(t, recorder, fill(64, byte(i)))
		mustRead(t, key, fill(64, byte(i)))
	}
	if !errors.Is(recorder.Err(), os.ErrPermission) || out.writes != 2 {
		t.Errorf("Err() = %v after %d writes", recorder.Err(), out.writes)
	}
}

const head = "fobd-trace 1 input=8 output=8\n"

func TestReadTrace(t *testing.T) {
	got, err := hid.ReadTrace(strings.NewReader(head + "\n# a comment\n0.5 > 01\n1.000000001 < \n2 ! gone\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &hid.Trace{InputSize: 8, OutputSize: 8, Records: []hid.TraceRecord{
		{At: 500 * time.Millisecond, Kind: hid.TraceWrite, Report: []byte{1, 0, 0, 0, 0, 0, 0, 0}},
		{At: time.Second + 1, Kind: hid.TraceRead, Report: make([]byte, 8)},
		{At: 2 * time.Second, Kind: hid.TraceGone},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadTrace (-want +got):\n%s", diff)
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"another format":  "pcap\n",
		"no sizes":        "fobd-trace 1\n",
		"size 0":          "fobd-trace 1 input=0 output=8\n",
		"huge size":       "fobd-trace 1 input=8 output=99999\n",
		"no time":         head + "> 01\n",
		"negative time":   head + "-1 > 01\n",
		"unknown kind":    head + "0 = 01\n",
		"odd digits":      head + "0 > 012\n",
		"no digits":       head + "0 > xy\n",
		"report too long": head + "0 > 010203040506070809\n",
		"bad end":         head + "0 ! 01\n",
		"endless line":    head + strings.Repeat("0", 1<<17),
	} {
		if _, err := hid.ReadTrace(strings.NewReader(text)); !errors.Is(err, hid.ErrTrace) {
			t.Errorf("%s: %v, want %v", name, err, hid.ErrTrace)
		}
	}
	if _, err := hid.ReadTrace(strings.NewReader(head + "0 > 01\n0 ? 01\n")); !strings.Contains(err.Error(), "line 3") {
		t.Errorf("error %q does not name line 3", err)
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add([]byte(head + "\n# a comment\n0.5 > 01\n1.000000001 < \n2 ! gone\n"))
	f.Add([]byte("fobd-trace 1 input=16384 output=1\n1e3 > 01\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		trace, err := hid.ReadTrace(bytes.NewReader(data))
		if err != nil {
			return
		}
		var text bytes.Buffer
		trace.WriteTo(&text)
		again, err := hid.ReadTrace(&text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(trace, again); diff != "" {
			t.Errorf("round trip (-want +got):\n%s", diff)
		}
	})
}

func TestReplay(t *testing.T) {
	trace := &hid.Trace{InputSize: 8, OutputSize: 8, Records: []hid.TraceRecord{
		{Kind: hid.TraceRead, Report: fill(8, 1)},
		{Kind: hid.TraceWrite, Report: fill(8, 2)},
		{Kind: hid.TraceRead, Report: fill(8, 3)},
		{Kind: hid.TraceRead, Report: fill(8, 4)},
		{Kind: hid.TraceWrite, Report: fill(8, 5)},
		{Kind: hid.TraceRead, Report: fill(8, 6)},
		{Kind: hid.TraceGone},
	}}
	replay := hid.NewReplay(trace, nil)
	mustRead(t, replay, fill(8, 1))
	replay.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := replay.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read before the write: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	replay.SetReadDeadline(time.Time{})
	if _, err := replay.Write(fill(8, 0xAB)); !errors.Is(err, hid.ErrTrace) || strings.Contains(err.Error(), "ab") {
		t.Errorf("Write of another report: %v, want %v", err, hid.ErrTrace)
	}
	if _, err := replay.Write(fill(7, 2)); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Write: %v, want %v", err, hid.ErrReportSize)
	}
	mustWrite(t, replay, fill(8, 2))
	mustRead(t, replay, fill(8, 3))
	if got := replay.Rest(); got != 3 {
		t.Errorf("Rest() = %d, want 3", got)
	}
	mustWrite(t, replay, fill(8, 5))
	mustRead(t, replay, fill(8, 4))
	mustRead(t, replay, fill(8, 6))
	if _, err := replay.Read(make([]byte, 8)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read: %v, want %v", err, hid.ErrGone)
	}
	if _, err := replay.Write(fill(8, 5)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Write: %v, want %v", err, hid.ErrGone)
	}
	if got := replay.Rest(); got != 0 {
		t.Errorf("Rest() = %d, want 0", got)
	}
	replay.Close()
	if _, err := replay.Read(make([]byte, 8)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v, want %v", err, os.ErrClosed)
	}
}

func TestReplayMatch(t *testing.T) {
	trace := &hid.Trace{InputSize: 8, OutputSize: 8, Records: []hid.TraceRecord{
		{Kind: hid.TraceWrite, Report: fill(8, 2)},
	}}
	replay := hid.NewReplay(trace, func(want, got []byte) bool { return want[0] == got[0] })
	mustWrite(t, replay, []byte{2, 9, 9, 9, 9, 9, 9, 9}) // a nonce, perhaps
	if _, err := replay.Write(fill(8, 2)); !errors.Is(err, hid.ErrTrace) {
		t.Errorf("Write after the end: %v, want %v", err, hid.ErrTrace)
	}
}

// A message of 129 reports may come without a write in between.
func TestReplayManyReads(t *testing.T) {
	trace := &hid.Trace{InputSize: 8, OutputSize: 8}
	for i := range 500 {
		trace.Records = append(trace.Records, hid.TraceRecord{Kind: hid.TraceRead, Report: fill(8, byte(i))})
	}
	replay := hid.NewReplay(trace, nil)
	for i := range 500 {
		mustRead(t, replay, fill(8, byte(i)))
	}
}
