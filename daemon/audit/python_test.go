package audit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The program in the package's comment says the same as Verify.
func TestPythonVerifies(t *testing.T) {
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(doc), "//\timport hashlib")
	script, _, ok := strings.Cut("//\timport hashlib"+script, "\n//\n")
	if !ok {
		t.Fatal("the package's comment has no program")
	}
	script = strings.ReplaceAll(script, "//\t", "")
	log, heads := sample(t)
	dir := t.TempDir()
	run := func() (string, error) {
		var args []string
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name := range log {
				yield(name)
			}
		}) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, log[name].Data, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
		out, err := exec.CommandContext(t.Context(), python, append([]string{"-c", script}, args...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if got, err := run(); err != nil || got != heads[len(heads)-1].Hash.String() {
		t.Errorf("got %s, %v; want %s", got, err, heads[len(heads)-1].Hash)
	}
	edit(second, func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("ann"), []byte("bob"), 1); return l })(log)
	if got, err := run(); err == nil || !strings.HasSuffix(got, second+":3: broken") {
		t.Errorf("got %s, %v; want line 3 broken", got, err)
	}
}
