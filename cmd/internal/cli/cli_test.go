package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobd/fobd/cmd/internal/cli"
)

func TestReadSeed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed")
	for text, want := range map[string]bool{
		"00ff\n": true, strings.Repeat("a", 1024): true, strings.Repeat("a", 1025): false, "": false, "xyz": false, "abc": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		seed, err := cli.ReadSeed(file)
		if (err == nil) != want || want && len(seed) == 0 {
			t.Errorf("%.10q of %d bytes: %d bytes, %v", text, len(text), len(seed), err)
		}
		if err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
	if _, err := cli.ReadSeed(file + "x"); err == nil {
		t.Error("a file that is not there is a seed")
	}
}
