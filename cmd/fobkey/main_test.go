package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asProgram makes the test binary be fobkey itself.
const asProgram = "FOBKEY_TEST_MAIN"

// noSleep lets a program that is built with -race end at once.
const noSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process starts fobkey in a process of its own and waits until it is ready.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", noSleep)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("ready line %q, %v: %v", line, err, cmd.Wait())
	}
	return cmd
}

func TestExitStatus(t *testing.T) {
	for line, want := range map[string]int{
		"--version":                    0,
		"--help":                       0,
		"":                             2,
		"--bogus":                      2,
		"--listen /does/not/exist/key": 1,
		"--listen x --control /does/not/exist/ctl": 1,
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(line)...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), asProgram+"=1", noSleep)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want || want != 0 && !strings.HasPrefix(string(out), "fobkey: ") {
			t.Errorf("fobkey %s: status %d, want %d: %s", line, got, want, out)
		}
	}
}
