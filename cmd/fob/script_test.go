package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/fobd/fobd/cmd/internal/aws/ststest"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
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
			// With -race the program would otherwise take a second to end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("FOBD_SOCKET", filepath.Join(dir, "s"))
			env.Setenv("PATH", env.Getenv("PATH")+string(filepath.ListSeparator)+bin)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "botocore" {
				return false, fmt.Errorf("no such condition: %s", name)
			}
			err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import botocore.session").Run()
			if err != nil && os.Getenv("CI") != "" {
				return false, fmt.Errorf("botocore is not there (Debian's python3-botocore): %w", err)
			}
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":  awaitEvent,
			"daemon": startScriptDaemon,
			"guide":  followGuide,
			"status": checkStatus,
			"sts":    startSTS,
			"term":   runInTerminal,
		},
	})
}

// startSTS starts a stand-in for AWS's Security Token Service that knows a token with the seed of the RFCs, with steps of 30 and of 2 seconds:
//
//	sts SERIAL
func startSTS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sts SERIAL")
	}
	s := &ststest.Server{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "longterm", Serial: args[0], Valid: func(code string) bool {
		for _, period := range []uint{30, 2} {
			for _, ago := range []time.Duration{0, 1} {
				want, err := totp.GenerateCodeCustom("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", time.Now().Add(-ago*time.Duration(period)*time.Second), totp.ValidateOpts{Period: period, Digits: otp.DigitsSix})
				if err == nil && code == want {
					return true
				}
			}
		}
		return false
	}}
	server := httptest.NewServer(s)
	ts.Defer(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	for name, file := range map[string]string{"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials", "XDG_RUNTIME_DIR": "run", "XDG_CACHE_HOME": "cache", "HOME": "."} {
		ts.Setenv(name, ts.MkAbs(file))
	}
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
	config := filepath.Join(dir, "fobd.toml")
	ts.Check(os.WriteFile(config, nil, 0o600))
	var log bytes.Buffer
	cmd := program(ts, append([]string{"fobd", "--config", config, "--socket", ts.Getenv("FOBD_SOCKET"), "--no-hid", "--no-dbus", "--state-dir", filepath.Join(dir, "state")}, args...))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify.LocalAddr().String())
	cmd.Stdout, cmd.Stderr = &log, &log
	ts.Check(cmd.Start())
	ts.Check(notify.SetReadDeadline(time.Now().Add(scriptTimeout)))
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		_ = notify.Close() // whoever waits for it to be ready waits in vain
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			ts.Logf("fobd: %v\n%s", err, &log)
		}
	})
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

// awaitEvent waits until fob watch would show a line that matches:
//
//	await REGEXP
func awaitEvent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await regexp")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	c := client.New(ts.Getenv("FOBD_SOCKET"))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	err = c.Events(ctx, func(e api.Event) error {
		if want.MatchString(eventLine(e)) {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		ts.Fatalf("no event matches %s: %v", want, err)
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
// the dialogue that begin with "< " are waited for, those with "> " are typed, those
// with "! " are run. What was on the screen is in $WORK/screen afterwards.
//
//	term N DIALOGUE PROGRAM [ARG...]
func runInTerminal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: term N dialogue program [arg...]")
	}
	cmd := program(ts, args[2:])
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
	ts.Check(err)
	s := &terminalScreen{grown: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(s, f) // ends with an error when the program has ended
	}()
	failure := s.play(f, ts.ReadFile(args[1]), func(args []string) error { return program(ts, args).Run() })
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

// program prepares a program with the environment of the script.
func program(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p, err := exec.LookPath(filepath.Join(dir, args[0])); err == nil {
			path = p
			break
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "FOBD_SOCKET", "SHORT", "GORACE", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL_STS"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
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

// play waits for, types and runs the lines of a dialogue.
func (s *terminalScreen) play(tty io.Writer, dialogue string, run func(args []string) error) error {
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
		if command, ok := strings.CutPrefix(line, "! "); ok {
			if err := run(strings.Fields(command)); err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
			continue
		}
		want, ok := strings.CutPrefix(line, "< ")
		if !ok {
			return fmt.Errorf("a line of a dialogue begins with one of < > ! and a space: %q", line)
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
