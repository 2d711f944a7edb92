package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string]order{
		"power on":             {verb: "power", word: "on"},
		"power off":            {verb: "power", word: "off"},
		"touch on":             {verb: "touch", word: "on"},
		"touch off":            {verb: "touch", word: "off"},
		" touch\t once ":       {verb: "touch", word: "once"},
		"uv on\r":              {verb: "uv", word: "on"},
		"uv off":               {verb: "uv", word: "off"},
		"fault on a=b:c  d":    {verb: "fault", word: "on", args: []string{"a=b:c", "d"}},
		"fault off a":          {verb: "fault", word: "off", args: []string{"a"}},
		"fault clear":          {verb: "fault", word: "clear"},
		"fault":                {verb: "fault"},
		"clock +1m30s":         {verb: "clock", args: []string{"+1m30s"}},
		"sample good too-fast": {verb: "sample", args: []string{"good", "too-fast"}},
		"snapshot /tmp/a file": {verb: "snapshot", args: []string{"/tmp/a file"}},
		"restore x":            {verb: "restore", args: []string{"x"}},
		"import x.json":        {verb: "import", args: []string{"x.json"}},
		"export /tmp/x.json":   {verb: "export", args: []string{"/tmp/x.json"}},
		"observe":              {verb: "observe"},
		"status":               {verb: "status"},
		"quit":                 {verb: "quit"},
		"clock +" + "876000h":  {verb: "clock", args: []string{"+876000h"}},
		"sample x" + strings.Repeat(" ", maxLine-8): {verb: "sample", args: []string{"x"}},
	} {
		if got, err := parseLine(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parseLine(%q) = %+v, %v, want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"", " ", "power", "power maybe", "power on off", "touch", "uv once", "status now", "quit 1", "POWER on",
		"bogus", "power\x00on", "fault on", "fault off", "fault maybe", "fault clear x", "clock 1m", "clock +", "clock +1m 2",
		"clock +-1m", "clock +876001h", "clock", "sample", "snapshot", "import ", "observe x", strings.Repeat("x", maxLine+1), "power on" + strings.Repeat(" ", maxLine),
	} {
		if got, err := parseLine(line); err == nil {
			t.Errorf("parseLine(%q) = %+v, want an error", line, got)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{"power on", "touch once", "uv off", "status", "quit", "fault on a b", "clock +1s", "snapshot a  b", "", "x y z", "power \x00"} {
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
		if again, err := parseLine(o.String()); err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("parseLine(%q) = %+v, which reads back as %+v, %v", line, o, again, err)
		}
	})
}
