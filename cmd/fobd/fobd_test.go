package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this binary the daemon when a test starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv("FOBD_TEST_RUN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// instance is a daemon that runs as a process of its own.
type instance struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	socket string
	notify *net.UnixConn // what it tells its service manager
	http   *http.Client
}

// prepare makes a daemon that is not started yet; program is empty for this binary.
func prepare(t testing.TB, program string, args ...string) *instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "fobd") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &instance{socket: filepath.Join(dir, "s")}
	d.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.notify.Close() })
	env := "FOBD_TEST_RUN=1"
	if program == "" {
		program = os.Args[0]
	} else {
		env = "FOBD_TEST_RUN="
	}
	d.cmd = exec.Command(program, append([]string{"--user", "--no-hid", "--socket", d.socket, "--state-dir", dir}, args...)...)
	d.cmd.Env = append(os.Environ(), env, "NOTIFY_SOCKET="+filepath.Join(dir, "n"), "XDG_CONFIG_HOME="+dir, "JOURNAL_STREAM=",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent")
	d.cmd.Stderr = &d.stderr
	d.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", d.socket)
		},
	}}
	return d
}

// configure gives it a configuration file.
func (d *instance) configure(t testing.TB, text string) {
	t.Helper()
	file := filepath.Join(filepath.Dir(d.socket), "fobd.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.cmd.Args = append(d.cmd.Args, "--config", file)
}

// start starts it and waits until it is ready.
func (d *instance) start(t testing.TB) *instance {
	t.Helper()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.http.CloseIdleConnections()
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the daemon said:\n%s", &d.stderr)
		}
	})
	d.told(t, "READY=1")
	return d
}

// told waits for a message to the service manager.
func (d *instance) told(t testing.TB, want string) {
	t.Helper()
	buf := make([]byte, 256)
	if err := d.notify.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := d.notify.Read(buf)
		if err != nil {
			t.Fatalf("waiting for %s: %v\n%s", want, err, &d.stderr)
		}
		if string(buf[:n]) == want {
			return
		}
	}
}

// post calls an operation.
func (d *instance) post(op, body string) (int, string, error) {
	resp, err := d.http.Post("http://fobd/v1/"+op, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func TestServesUntilItIsTold(t *testing.T) {
	d := prepare(t, "").start(t)
	info, err := os.Stat(d.socket)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("socket: got %v, %v, want mode 0600", info.Mode(), err)
	}
	status, body, err := d.post("status", "{}")
	var got struct {
		PID             int
		Mode, Socket    string
		Version, Absent string
	}
	if err != nil || status != http.StatusOK || json.Unmarshal([]byte(body), &got) != nil {
		t.Fatalf("status: got %d %s, %v", status, body, err)
	}
	if got.PID != d.cmd.Process.Pid || got.Socket != d.socket || got.Version != version {
		t.Errorf("status: got %s", body)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") && !strings.Contains(line, " 0 ") {
			t.Errorf("core dumps are possible: %s", line)
		}
	}
	d.stop(t)
}

// stop sends SIGTERM and checks that nothing is left behind.
func (d *instance) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.told(t, "STOPPING=1")
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	for _, path := range []string{d.socket, d.socket + ".lock"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind", path)
		}
	}
}

func TestRefusesToServeTwice(t *testing.T) {
	d := prepare(t, "").start(t)
	second := exec.Command(os.Args[0], "--user", "--no-hid", "--socket", d.socket)
	second.Env = append(os.Environ(), "FOBD_TEST_RUN=1")
	out, err := second.CombinedOutput()
	var exit *exec.ExitError
	want := fmt.Sprintf("another fobd (process %d)", d.cmd.Process.Pid)
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(string(out), want) || !strings.Contains(string(out), "hint: ") {
		t.Errorf("got %v, %s, want exit status 1, %q and a hint", err, out, want)
	}
	if status, body, err := d.post("list", "{}"); err != nil || status != http.StatusOK {
		t.Errorf("the first daemon: got %d %s, %v", status, body, err)
	}
	d.stop(t)
}

// A daemon that nobody locked out, as one behind systemd's socket, is found by asking it.
func TestRefusesASocketThatAnswers(t *testing.T) {
	d := prepare(t, "")
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = d.cmd.Run()
	if err == nil || !strings.Contains(d.stderr.String(), "another fobd") {
		t.Errorf("got %v, %s", err, &d.stderr)
	}
}

func TestReplacesASocketThatNobodyAnswers(t *testing.T) {
	d := prepare(t, "")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	// The lock of a daemon that was killed is a file like any other.
	if err := os.WriteFile(d.socket+".lock", []byte("123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(t)
	if status, body, err := d.post("list", "{}"); err != nil || status != http.StatusOK {
		t.Errorf("got %d %s, %v", status, body, err)
	}
	d.stop(t)
}

func TestLeavesOtherFilesAlone(t *testing.T) {
	d := prepare(t, "")
	if err := os.WriteFile(d.socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Run(); err == nil || !strings.Contains(d.stderr.String(), "not a socket") {
		t.Errorf("got %v, %s", err, &d.stderr)
	}
	if data, err := os.ReadFile(d.socket); err != nil || string(data) != "precious" {
		t.Errorf("the file holds %q now, %v", data, err)
	}
}

func TestTakesTheSocketFromSystemd(t *testing.T) {
	d := prepare(t, "")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// LISTEN_PID is the daemon's own number, sd_listen_fds(3).
	d.cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" --user --no-hid --socket /nonexistent/s`}, os.Args[0])
	if d.cmd.Path, err = exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	d.cmd.ExtraFiles = []*os.File{file}
	d.start(t)
	if status, body, err := d.post("status", "{}"); err != nil || status != http.StatusOK || !strings.Contains(body, d.socket) {
		t.Errorf("got %d %s, %v", status, body, err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if _, err := os.Lstat(d.socket); err != nil {
		t.Errorf("systemd's socket is gone: %v", err)
	}
}

func TestFeedsTheWatchdog(t *testing.T) {
	d := prepare(t, "")
	d.cmd.Env = append(d.cmd.Env, "WATCHDOG_USEC=200000", "WATCHDOG_PID=")
	d.start(t)
	d.told(t, "WATCHDOG=1")
	d.told(t, "WATCHDOG=1")
	d.stop(t)
}

// A running operation is cancelled, its caller hears so, and then the daemon ends.
func TestStopsInTheMiddleOfAnOperation(t *testing.T) {
	d := prepare(t, "")
	file := filepath.Join(filepath.Dir(d.socket), "fobd.toml")
	if err := os.WriteFile(file, []byte("[[emulate]]\nname = \"shy\"\npresence = \"manual\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.cmd.Args = append(d.cmd.Args, "--config", file)
	d.start(t)
	req, err := http.NewRequest(http.MethodPost, "http://fobd/v1/touch", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := d.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line := make([]byte, 4096)
	if n, err := resp.Body.Read(line); err != nil || !strings.Contains(string(line[:n]), `"kind":"touch"`) {
		t.Fatalf("got %q, %v, want a touch prompt", line[:n], err)
	}
	d.stop(t)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(rest), `"code":"shutting-down"`) {
		t.Errorf("got %q, %v, want the code shutting-down", rest, err)
	}
}

func TestEmulatedKeysFromTheCommandLine(t *testing.T) {
	d := prepare(t, "", "--emulate=first", "--emulate").start(t)
	status, body, err := d.post("emulate-list", "{}")
	if err != nil || status != http.StatusOK || strings.Count(body, `"power":true`) != 2 || !strings.Contains(body, `"name":"first"`) {
		t.Errorf("got %d %s, %v, want two keys, one of them first", status, body, err)
	}
	if status, body, err := d.post("touch", "{}"); err != nil || status != http.StatusOK {
		t.Errorf("touch: got %d %s, %v", status, body, err)
	}
	d.stop(t)
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for file, text := range map[string]string{good: "hid = false\n", bad: "\nhidd = false\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	tests := []struct {
		args string
		exit int
		want string
	}{
		{"--version", 0, "fobd unknown\n"},
		{"check-config --config " + good, 0, good + ": ok\n"},
		{"check-config --user", 0, "no file at " + filepath.Join(dir, "fobd", "fobd.toml") + ": the defaults hold\n"},
		{"check-config --config " + bad, 1, bad + ":2: hidd: unknown key"},
		{"check-config --emulate=a --emulate=a", 1, `two emulated keys are named "a"`},
		{"--user --socket /" + strings.Repeat("x", 120), 1, "at most 107"},
		{"--user --system", exitUsage, "hint: fobd --help"},
		{"--log-level loud", exitUsage, "want debug, info, warn or error, not loud"},
		{"--log-format xml", exitUsage, "want one of text, json"},
		{"--frobnicate", exitUsage, "unknown flag: --frobnicate"},
		{"serve", exitUsage, `unexpected argument "serve"`},
		{"--help", 0, "--emulate name"},
	}
	for _, tt := range tests {
		cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(tt.args)...)
		cmd.Env = append(os.Environ(), "FOBD_TEST_RUN=1")
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != tt.exit || !strings.Contains(string(out), tt.want) {
			t.Errorf("fobd %s: got exit status %d, %q (%v), want %d, %q", tt.args, got, out, err, tt.exit, tt.want)
		}
	}
}

func TestJournalGetsPriorities(t *testing.T) {
	d := prepare(t, "", "--log-level", "debug")
	d.cmd.Env = append(d.cmd.Env, "JOURNAL_STREAM=1:2")
	d.start(t)
	d.stop(t)
	said := d.stderr.String()
	if !strings.Contains(said, `<6>level=INFO msg=ready`) || strings.Contains(said, "time=") {
		t.Errorf("got log\n%s\nwant priorities and no times", said)
	}
}
