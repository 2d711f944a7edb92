package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fobd/fobd/hid"
)

func TestTraceOfEachOpening(t *testing.T) {
	bus := hid.NewMemoryBus()
	err := bus.Attach(hid.Info{ID: "k", InputSize: 64, OutputSize: 64}, func() (hid.Device, error) {
		host, _ := hid.NewPipe(64, 64)
		return host, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trace")
	b := &tracedBus{Bus: bus, file: file}
	for i, name := range []string{file + ".1", file + ".2"} {
		d, err := b.Open(t.Context(), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		report := make([]byte, 64)
		report[0] = byte(i + 1)
		if _, err := d.Write(report); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		trace, err := hid.ReadTrace(f)
		f.Close()
		if err != nil || len(trace.Records) != 1 || trace.Records[0].Report[0] != byte(i+1) {
			t.Errorf("%s: got %+v, %v", name, trace, err)
		}
	}
}
