package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const units = "../../packaging/systemd"

// TestUnits checks the units with systemd's own tools, where they are installed.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, scope := range []string{"system", "user"} {
		t.Run(scope, func(t *testing.T) {
			dir, runtime := t.TempDir(), t.TempDir()
			from, args := units, []string{"verify"}
			if scope == "user" {
				from, args = filepath.Join(units, "user"), []string{"--user", "verify"}
			}
			names := []string{"fobd.service", "fobd.socket"}
			if scope == "user" {
				names = append(names, "fob-agent.service")
			}
			for _, name := range names {
				unit, err := os.ReadFile(filepath.Join(from, name))
				if err != nil {
					t.Fatal(err)
				}
				// What is not installed here is not what is tested.
				text := strings.ReplaceAll(string(unit), "Documentation=man:fobd(8)\n", "")
				text = strings.NewReplacer("Documentation=man:fob(1)\n", "", "ExecStart=fobd ", "ExecStart=/bin/true ", "ExecStart=fob ", "ExecStart=/bin/true ").Replace(text)
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, path)
			}
			cmd := exec.CommandContext(t.Context(), analyze, args...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime)
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
			if scope == "user" {
				return
			}
			// The threshold is in tenths of systemd's scale from 0 (safe) to 10.
			cmd = exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=15", "--no-pager", filepath.Join(dir, "fobd.service"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("systemd-analyze security: %v\n%s", err, out)
			}
		})
	}
}

// TestUnitsStartTheDaemonWithFlagsItHas needs no systemd.
func TestUnitsStartTheDaemonWithFlagsItHas(t *testing.T) {
	for _, file := range []string{"fobd.service", "user/fobd.service"} {
		unit, err := os.ReadFile(filepath.Join(units, file))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(string(unit)) {
			start, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=fobd ")
			if !ok {
				continue
			}
			found = true
			cmd := command()
			if err := cmd.ParseFlags(strings.Fields(start)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		if !found {
			t.Errorf("%s does not start fobd", file)
		}
	}
}
