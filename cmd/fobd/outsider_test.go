package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Another user cannot reach a user's daemon, and nothing in one that takes everyone's calls.
func TestAnotherUser(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs setpriv and root")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	nobody := func(d *instance, operation string) string {
		cmd := exec.CommandContext(t.Context(), setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
			"curl", "-sS", "-m", "20", "--unix-socket", d.socket, "http://fobd/v1/"+operation, "-d", "{}")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	d := prepare(t, "").start(t)
	if out := nobody(d, "list"); !strings.Contains(out, "Could not connect") && !strings.Contains(out, "Couldn't connect") {
		t.Errorf("a user's socket: %s", out)
	}
	open := prepare(t, "", "--emulate")
	open.configure(t, "[socket]\nmode = \"0666\"\n")
	open.start(t)
	if err := os.Chmod(filepath.Dir(open.socket), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{"list", "touch", "reset", "audit-list", "policy-list", "lease-list", "grant-list", "emulate-add"} {
		if out := nobody(open, operation); !strings.Contains(out, `"code":"denied"`) {
			t.Errorf("%s: %s", operation, out)
		}
	}
}
