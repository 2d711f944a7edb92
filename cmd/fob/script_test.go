package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fob": main})
}

// scriptTimeout bounds whatever a script waits for.
const scriptTimeout = 30 * time.Second

// fobdDir builds fobd once and gives the directory that holds it.
func fobdDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "github.com/fobd/fobd/cmd/fobd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build fobd: %v\n%s", err, out)
	}
	// The result depends on sources that this package does not import: looking at
	// them tells go test when it must not be taken from the cache.
	for _, tree := range []string{"ctap2", "daemon", "hid", "tokens", "u2f", "cmd/fobd"} {
		err := filepath.WalkDir(filepath.Join("../..", tree), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				_, err = os.Stat(path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestScripts(t *testing.T) {
	bin := fobdDir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// Not $WORK: its path can be too long for a socket.
			dir, err := os.MkdirTemp("", "fob")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(dir) })
			env.Setenv("SHORT", dir)
			env.Setenv("FOBD_SOCKET", filepath.Join(dir, "s"))
			env.Setenv("PATH", env.Getenv("PATH")+string(filepath.ListSeparator)+bin)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": startScriptDaemon,
			"status": checkStatus,
			"term":   runInTerminal,
		},
	})
}

// startScriptDaemon starts fobd with the arguments and waits until it is ready:
//
//	daemon [ARG...]
func startScriptDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: daemon [ARG...]")
	}
	dir := ts.Getenv("SHORT")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	ts.Check(err)
	defer notify.Close()
	program, err := exec.LookPath("fobd")
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p, e := exec.LookPath(filepath.Join(dir, "fobd")); e == nil {
			program, err = p, nil
		}
	}
	ts.Check(err)
	var log bytes.Buffer
	cmd := exec.Command(program, append([]string{"--socket", ts.Getenv("FOBD_SOCKET"), "--no-hid", "--state-dir", filepath.Join(dir, "state")}, args...)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
	cmd.Stdout, cmd.Stderr = &log, &log
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			ts.Logf("fobd: %v\n%s", err, &log)
		}
	})
	ts.Check(notify.SetReadDeadline(time.Now().Add(scriptTimeout)))
	for b := make([]byte, 4096); ; {
		n, err := notify.Read(b)
		if err != nil {
			ts.Fatalf("fobd is not ready: %v", err)
		}
		if isReady(b[:n]) {
			return
		}
	}
}

// checkStatus runs a program that must end with a status:
//
//	status N PROGRAM [ARG...]
func checkStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [arg...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := statusOf(err); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s ended with status %d (%v), want %s", strings.Join(args[1:], " "), got, err, args[0])
	}
}

func statusOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// runInTerminal runs a program in a terminal of its own and plays a person. Lines of
// the dialogue that begin with "< " are waited for, those with "> " are typed. What was
// on the screen is in $WORK/screen afterwards.
//
//	term N DIALOGUE PROGRAM [ARG...]
func runInTerminal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: term N dialogue program [arg...]")
	}
	var program string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p, err := exec.LookPath(filepath.Join(dir, args[2])); err == nil {
			program = p
			break
		}
	}
	cmd := exec.Command(program, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "FOBD_SOCKET", "SHORT"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
	ts.Check(err)
	s := &terminalScreen{grown: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(s, f) // ends with an error when the program has ended
	}()
	failure := s.play(f, ts.ReadFile(args[1]))
	if failure != nil {
		_ = cmd.Process.Kill()
	}
	err = cmd.Wait()
	<-read
	_ = f.Close()
	ts.Check(os.WriteFile(ts.MkAbs("screen"), []byte(s.text()), 0o600))
	if failure != nil {
		ts.Fatalf("%v; on the screen:\n%q", failure, s.text())
	}
	if got := statusOf(err); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s ended with status %d, want %s; on the screen:\n%q", strings.Join(args[2:], " "), got, args[0], s.text())
	}
}

// terminalScreen holds all that a program has written to its terminal.
type terminalScreen struct {
	mu    sync.Mutex
	b     []byte
	grown chan struct{}
}

func (s *terminalScreen) Write(b []byte) (int, error) {
	s.mu.Lock()
	s.b = append(s.b, b...)
	s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (s *terminalScreen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b)
}

// play waits for and types the lines of a dialogue.
func (s *terminalScreen) play(tty io.Writer, dialogue string) error {
	seen := 0
	late := time.After(scriptTimeout)
	for line := range strings.Lines(dialogue) {
		line = strings.TrimSuffix(line, "\n")
		if typed, ok := strings.CutPrefix(line, "> "); ok {
			typed = strings.ReplaceAll(typed, "^C", "\x03")
			if !strings.HasSuffix(typed, "\x03") {
				typed += "\r"
			}
			if _, err := io.WriteString(tty, typed); err != nil {
				return err
			}
			continue
		}
		want, ok := strings.CutPrefix(line, "< ")
		if !ok {
			return fmt.Errorf("a line of a dialogue begins with \"< \" or \"> \": %q", line)
		}
		for {
			if at := strings.Index(s.text()[seen:], want); at >= 0 {
				seen += at + len(want)
				break
			}
			select {
			case <-s.grown:
			case <-late:
				return fmt.Errorf("%q does not appear", want)
			}
		}
	}
	return nil
}
