package hid_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
)

func TestFaultWords(t *testing.T) {
	for word, want := range map[string]hid.Fault{
		"report-drop":                    {Kind: hid.Drop},
		"report-drop=3":                  {Kind: hid.Drop, After: 3},
		"report-busy=out":                {Kind: hid.Busy, Direction: hid.ToDevice},
		"report-duplicate=in:2:4":        {Kind: hid.Duplicate, After: 2, Count: 4},
		"report-foreign=always":          {Kind: hid.Foreign, Count: -1},
		"report-delay=500ms":             {Kind: hid.Delay, Delay: 500 * time.Millisecond},
		"report-delay=out:1:once:2s":     {Kind: hid.Delay, Direction: hid.ToDevice, After: 1, Count: 1, Delay: 2 * time.Second},
		"report-disconnect=out:1:always": {Kind: hid.Disconnect, Direction: hid.ToDevice, After: 1, Count: -1},
	} {
		got, err := hid.ParseFault(word)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", word, got, err, want)
		}
	}
	for _, word := range []string{"", "drop", "report-", "report-drop=1:2:3", "report-drop=1s", "report-delay", "report-drop=in:1:0", "report-drop=:"} {
		if f, err := hid.ParseFault(word); err == nil {
			t.Errorf("%q: %+v", word, f)
		}
	}
	faults, others, err := hid.ParseFaults("slots=1", "report-drop", "soft-lock")
	if err != nil || len(faults) != 1 || !slices.Equal(others, []string{"slots=1", "soft-lock"}) {
		t.Errorf("%v, %v, %v", faults, others, err)
	}
	if turned := hid.KeyEnd(faults); turned[0].Direction != hid.ToDevice || faults[0].Direction != hid.FromDevice {
		t.Errorf("turned round: %v", turned)
	}
	for _, name := range hid.FaultNames() {
		word := name
		if name == "report-delay" {
			word += "=1s"
		}
		if _, err := hid.ParseFault(word); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	for _, word := range []string{"report-drop=in:3:once", "report-delay=out:1:always:2s", "report-x"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		fault, err := hid.ParseFault(word)
		if err != nil {
			return
		}
		again, err := hid.ParseFault(fault.String())
		if err != nil || again.String() != fault.String() {
			t.Errorf("%q: %v, then %v, %v", word, fault, again, err)
		}
	})
}

func TestFaultsAreSwitchedWhileADeviceWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(8, 8)
		device := hid.NewFaulty(host, 1)
		defer device.Close()
		got := make([]byte, 8)
		for i, fault := range [][]hid.Fault{nil, {{Kind: hid.Drop}}, nil} {
			device.SetFaults(fault...)
			mustWrite(t, key, fill(8, byte(i)))
			synctest.Wait()
		}
		for _, want := range []byte{0, 2} {
			if _, err := device.Read(got); err != nil || got[0] != want {
				t.Errorf("%x, %v, want %d", got, err, want)
			}
		}
	})
}

func TestForeignAndBusyReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := hid.NewPipe(64, 64)
		device := hid.NewFaulty(host, 1, hid.Fault{Kind: hid.Foreign}, hid.Fault{Kind: hid.Busy, Direction: hid.ToDevice})
		defer device.Close()
		message := append([]byte{1, 2, 3, 4, 0x90, 0, 1, 4}, make([]byte, 56)...)
		report := make([]byte, 64)
		mustWrite(t, device, message)
		if _, err := device.Read(report); err != nil || !bytes.Equal(report[:8], []byte{1, 2, 3, 4, 0xBF, 0, 1, 6}) {
			t.Errorf("a busy key answers %x, %v", report[:8], err)
		}
		mustWrite(t, device, message)
		if _, err := key.Read(report); err != nil || !bytes.Equal(report, message) {
			t.Errorf("the second one arrives as %x, %v", report[:8], err)
		}
		mustWrite(t, key, message)
		if _, err := device.Read(report); err != nil || bytes.Equal(report[:4], message[:4]) || report[4] != 0xBB {
			t.Errorf("before the answer comes %x, %v", report[:8], err)
		}
		if _, err := device.Read(report); err != nil || !bytes.Equal(report, message) {
			t.Errorf("the answer is %x, %v", report[:8], err)
		}
	})
}
