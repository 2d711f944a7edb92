package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// statusOf reads a process's status (proc_pid_status(5)).
func statusOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.TrimSpace(value)
	}
	return status
}

// children are the processes that one has started.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(data)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

// What it serves, it serves locked in: every thread of it, and its helper.
func TestIsLockedIn(t *testing.T) {
	d := prepare(t, "").start(t)
	pid := d.cmd.Process.Pid
	helpers := children(t, pid)
	if len(helpers) != 1 {
		t.Fatalf("helpers: %v", helpers)
	}
	if statusOf(t, pid)["Seccomp"] == "0" {
		t.Skip("no seccomp here")
	}
	for _, p := range []int{pid, helpers[0]} {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			thread, err := strconv.Atoi(task.Name())
			if err != nil {
				t.Fatal(err)
			}
			// Seccomp 2 is a filter.
			if s := statusOf(t, thread); s["Seccomp"] != "2" || s["NoNewPrivs"] != "1" {
				t.Errorf("thread %d of %d: seccomp %s, no new privileges %s", thread, p, s["Seccomp"], s["NoNewPrivs"])
			}
		}
	}
	const ptrace = 1 << 19 // CAP_SYS_PTRACE (capabilities(7))
	if caps, err := strconv.ParseUint(statusOf(t, helpers[0])["CapPrm"], 16, 64); err != nil || caps&^ptrace != 0 {
		t.Errorf("the helper's capabilities: %x, %v", caps, err)
	}
	// It still sees who asks, through the helper: the audit log names this program's file.
	if status, body, err := d.post("list", "{}"); err != nil || status != 200 {
		t.Fatalf("list: %d %s, %v", status, body, err)
	}
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, body, err := d.post("audit-list", "{}"); err != nil || !strings.Contains(body, strconv.Quote(me)) {
		t.Errorf("the audit log does not name %s: %s, %v", me, body, err)
	}
	// The helper ends when the daemon is killed, too.
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Wait()
	for syscall.Kill(helpers[0], 0) == nil {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", helpers[0])); err != nil || strings.Contains(string(data), ") Z ") {
			break // gone, or nobody collects it here
		}
	}
}

// A daemon that cannot see any more who asks ends, and is started again by whoever watches it.
func TestEndsWithoutItsHelper(t *testing.T) {
	d := prepare(t, "").start(t)
	for _, helper := range children(t, d.cmd.Process.Pid) {
		if err := syscall.Kill(helper, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.cmd.Wait(); err == nil || !strings.Contains(d.stderr.String(), "the helper that looks at processes ended") {
		t.Errorf("got %v", err)
	}
}

func TestHelperIsNotForPeople(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], lookerName)
	cmd.Env = append(os.Environ(), "FOBD_TEST_RUN=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "started by fobd itself") {
		t.Errorf("got %v: %s", err, out)
	}
}

func TestWithoutASandbox(t *testing.T) {
	d := prepare(t, "")
	d.configure(t, "sandbox = false\n")
	d.start(t)
	if s := statusOf(t, d.cmd.Process.Pid); s["Seccomp"] != "0" {
		t.Skip("this test runs in a filter itself")
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil || !strings.Contains(d.stderr.String(), "no sandbox") {
		t.Errorf("it does not say so: %v", err)
	}
}
