package main

import (
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

const page = "../../docs/emulated-key.md"

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what stands under a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(readPage(t), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", page, heading)
	}
	text, _, _ := strings.Cut(after, "\n## ")
	return text
}

func TestPageHasAllFlagsAndNoOthers(t *testing.T) {
	var have []string
	command(io.Discard, io.Discard).Flags().VisitAll(func(f *pflag.Flag) { have = append(have, f.Name) })
	var told []string
	for _, m := range regexp.MustCompile("`--([a-z0-9-]+)").FindAllStringSubmatch(readPage(t), -1) {
		told = append(told, m[1])
	}
	for _, m := range regexp.MustCompile("fobkey --([a-z0-9-]+)").FindAllStringSubmatch(readPage(t), -1) {
		told = append(told, m[1])
	}
	for _, name := range have {
		if !slices.Contains(told, name) {
			t.Errorf("%s does not tell of --%s", page, name)
		}
	}
	for _, name := range told {
		if !slices.Contains(have, name) {
			t.Errorf("%s tells of --%s, which there is not", page, name)
		}
	}
}

func TestPageHasAllOrdersAndNoOthers(t *testing.T) {
	told := map[string]bool{}
	for line := range strings.Lines(section(t, "## Orders on the control socket")) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			verb, _ := cutWord(m[1])
			told[verb] = true
			example := strings.NewReplacer("DURATION", "1s", "…", "").Replace(m[1])
			if _, err := parseLine(example); err != nil {
				t.Errorf("%s tells of %q: %v", page, m[1], err)
			}
		}
	}
	for _, verb := range slices.Sorted(maps.Keys(orders)) {
		if !told[verb] {
			t.Errorf("%s does not tell of the order %s", page, verb)
		}
		if help := command(io.Discard, io.Discard).Long; !strings.Contains(help, "\n  "+verb) && !strings.Contains(help, "; "+verb) {
			t.Errorf("the help does not tell of the order %s", verb)
		}
	}
}

func TestPageHasAllKindsOfSockets(t *testing.T) {
	text := section(t, "## Ways to be a key")
	for _, kind := range kinds {
		if !strings.Contains(text, "`--listen "+kind+":") {
			t.Errorf("%s does not tell of --listen %s:", page, kind)
		}
	}
	for _, name := range strings.Split(profiles(), ", ") {
		if !strings.Contains(section(t, "## Kinds of keys"), "`"+name+"`") {
			t.Errorf("%s does not tell of the profile %s", page, name)
		}
	}
}

// The table of faults is made from the program's own list.
func TestPageHasAllFaults(t *testing.T) {
	const begin, end = "-run Faults writes this table -->\n", "<!-- end of faults -->"
	text := readPage(t)
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table of faults", page)
	}
	var b strings.Builder
	b.WriteString("| Fault | What the key does |\n|---|---|\n")
	for _, f := range faultNames() {
		if f.doc == "" {
			t.Errorf("nothing says what the fault %s does", f.name)
		}
		name := f.name
		if f.value != "" {
			name += "=" + f.value
		}
		b.WriteString("| `" + strings.ReplaceAll(name, "|", "\\|") + "` | " + f.doc + " |\n")
	}
	want := before + begin + b.String() + end + after
	if want == text {
		return
	}
	if os.Getenv("FOBD_UPDATE") == "" {
		t.Fatalf("the table of faults in %s is not what there is; FOBD_UPDATE=1 go test ./cmd/fobkey -run Faults writes it", page)
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
