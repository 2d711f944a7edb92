//go:build vm

package vm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recipe gives the first block of a language in docs/ci.md.
func recipe(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(os.Getenv("FOBD_VM_TESTS"), "../../docs/ci.md"))
	if err != nil {
		t.Fatal(err)
	}
	return mustMatch(t, "docs/ci.md", string(text), "(?s)```"+language+"\n(.*?)```")
}

// TestRecipeForGitHubActions runs what docs/ci.md says, as a runner would.
func TestRecipeForGitHubActions(t *testing.T) {
	modprobe(t, "uhid")
	var script strings.Builder
	script.WriteString("set -e\nsudo() { if [ \"$1\" = modprobe ]; then :; else \"$@\"; fi; }\ntrap 'pkill -x fobkey' EXIT\n")
	for line := range strings.Lines(recipe(t, "yaml")) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(command)
		}
	}
	dir := t.TempDir()
	text := strings.ReplaceAll(script.String(), "/tmp/", dir+"/")
	out := run(t, "", "bash", "-c", text)
	if !regexp.MustCompile(`/dev/hidraw\d+: vendor=`).MatchString(out) {
		t.Errorf("the recipe says\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "id_test.pub")); err != nil {
		t.Error(err)
	}
}

// TestRecipeForContainers runs what docs/ci.md says, without any kernel device.
func TestRecipeForContainers(t *testing.T) {
	dir := t.TempDir()
	text := strings.ReplaceAll("set -e\ntrap 'pkill -x fobkey' EXIT\n"+recipe(t, "sh"), "/tmp/", dir+"/")
	text = strings.ReplaceAll(text, "$PWD/bin/", os.Getenv("FOBD_BIN")+"/")
	run(t, "", "bash", "-c", text)
	if _, err := os.Stat(filepath.Join(dir, "id_test.pub")); err != nil {
		t.Error(err)
	}
}
