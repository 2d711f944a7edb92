package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sessionBus starts a session's bus and returns its address.
func sessionBus(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"dbus-daemon", "gdbus"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir, err := os.MkdirTemp("", "bus") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1", "--address=unix:path="+filepath.Join(dir, "s"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// owned is what gdbus says of whether a name has an owner.
func owned(t *testing.T, address, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "gdbus", "call", "--address", address, "--dest", "org.freedesktop.DBus", "--object-path", "/", "--method", "org.freedesktop.DBus.NameHasOwner", name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// Each of the two is on the session's bus when the configuration says so, and only then.
func TestOtherProgramsNamesOnTheBus(t *testing.T) {
	const (
		credentialsd = "xyz.iinuwa.credentialsd.Credentials"
		detector     = "com.github.maximbaz.YubikeyTouchDetector"
	)
	for _, tt := range []struct {
		name, config string
		want         map[string]string // by name on the bus
	}{
		{"default", "", map[string]string{credentialsd: "(false,)", detector: "(false,)"}},
		{"credentialsd", "credentialsd = true\n", map[string]string{credentialsd: "(true,)", detector: "(false,)"}},
		{"touch-detector", "touch-detector-dbus = true\n", map[string]string{credentialsd: "(false,)", detector: "(true,)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := sessionBus(t)
			d := prepare(t, "")
			d.configure(t, tt.config)
			d.cmd.Env = append(d.cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+address)
			d.start(t)
			for name, want := range tt.want {
				if got := owned(t, address, name); got != want {
					t.Errorf("%s: got %s, want %s", name, got, want)
				}
			}
			d.stop(t)
		})
	}
}
