package main

import (
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string]order{
		"power on":       {"power", "on"},
		"power off":      {"power", "off"},
		"touch on":       {"touch", "on"},
		"touch off":      {"touch", "off"},
		" touch\t once ": {"touch", "once"},
		"uv on\r":        {"uv", "on"},
		"uv off":         {"uv", "off"},
		"status":         {"status", ""},
		"quit":           {"quit", ""},
	} {
		if got, err := parseLine(line); err != nil || got != want {
			t.Errorf("parseLine(%q) = %+v, %v, want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"", " ", "power", "power maybe", "power on off", "touch", "uv once", "status now", "quit 1", "POWER on",
		"bogus", "power\x00on", strings.Repeat("x", maxLine+1), "power on" + strings.Repeat(" ", maxLine),
	} {
		if got, err := parseLine(line); err == nil {
			t.Errorf("parseLine(%q) = %+v, want an error", line, got)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{"power on", "touch once", "uv off", "status", "quit", "", "x y z", "power \x00"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parseLine(line)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("parseLine(%q): the error %q is more than a line", line, err)
			}
			return
		}
		if again, err := parseLine(o.String()); err != nil || again != o {
			t.Fatalf("parseLine(%q) = %+v, which reads back as %+v, %v", line, o, again, err)
		}
	})
}
