//go:build soak

// Package soak lets many programs use one daemon for a while: the daemon is the released binary in a
// process of its own, the programs are in the test's. SOAK_DURATION is how long (60s if not set).
package soak

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// keys is how many emulated keys there are.
const keys = 8

func duration() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SOAK_DURATION")); err == nil && d > 0 {
		return d
	}
	return time.Minute
}

// fobd is the daemon's process.
type fobd struct {
	t      testing.TB
	cmd    *exec.Cmd
	socket string
	log    *lockedBuffer
	ended  chan error
	// ledgers are what the storms over it know of their requests.
	ledgers []*ledger
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start builds and starts a daemon whose keys behave as presence says, with an emulated person who needs delay. env is
// added to its environment.
func start(t testing.TB, presence string, delay time.Duration, env ...string) *fobd {
	t.Helper()
	dir, err := os.MkdirTemp("", "soak") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "fobd")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "github.com/fobd/fobd/cmd/fobd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	config := "[log]\nlevel = \"warn\"\n[timeouts]\noperation = \"20s\"\n"
	for i := range keys {
		config += fmt.Sprintf("[[emulate]]\nname = %q\npresence = %q\ndelay = %q\n", keyName(i), presence, delay)
	}
	file := filepath.Join(dir, "fobd.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &fobd{t: t, socket: filepath.Join(dir, "s"), log: new(lockedBuffer), ended: make(chan error, 1)}
	d.cmd = exec.Command(program, "--user", "--no-hid", "--no-dbus", "--config", file, "--socket", d.socket, "--state-dir", dir)
	d.cmd.Stderr, d.cmd.Env = d.log, append(os.Environ(), env...)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the daemon said:\n%.20000s", collected.ReplaceAllString(d.log.String(), ""))
		}
	})
	c := client.New(d.socket)
	defer c.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		var list api.ListResult
		if err := c.Do(t.Context(), api.OpList, nil, &list, nil); err == nil && len(list.Keys) == keys {
			return d
		} else if time.Now().After(deadline) {
			t.Fatalf("the daemon does not come: %v, %s", err, d.log)
		}
	}
}

func keyName(i int) string { return fmt.Sprintf("soak%d", i) }

// stop ends it as a service manager does: it must end well, and soon.
func (d *fobd) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	begin := time.Now()
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("the daemon ended with %v", err)
		}
		d.t.Logf("the daemon ended %v after SIGTERM", time.Since(begin).Round(time.Millisecond))
	case <-time.After(15 * time.Second):
		d.t.Error("the daemon does not end")
	}
}

// usage is what a daemon has of the machine.
type usage struct {
	files, threads int
	rss            int // KiB
	cpu            time.Duration
}

func (d *fobd) usage() usage {
	d.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		d.t.Fatal(err)
	}
	u := usage{files: len(files)}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		d.t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			u.rss = n
		case "Threads":
			u.threads = n
		}
	}
	tasks, err := filepath.Glob(proc + "task/*/schedstat")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err == nil {
			u.cpu += time.Duration(ns)
		}
	}
	return u
}

func (u usage) String() string {
	return fmt.Sprintf("%d files, %d threads, %d KiB, %v of the processor", u.files, u.threads, u.rss, u.cpu.Round(time.Millisecond))
}

// silent is a person who sees prompts and answers nothing.
type silent struct{ seen func(api.Prompt) }

func (s silent) Show(p api.Prompt) {
	if s.seen != nil {
		s.seen(p)
	}
}
func (silent) Withdraw(string) {}
func (silent) PIN(context.Context, api.Prompt) (api.Secret, error) {
	return api.Secret{}, errNobody
}
func (silent) Choose(context.Context, api.Prompt) (int, error)   { return 0, errNobody }
func (silent) Confirm(context.Context, api.Prompt) (bool, error) { return false, errNobody }
