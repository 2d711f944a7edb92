package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/policy"
)

// The rules are read again at SIGHUP; a broken file keeps those that hold, and the log says so.
func TestReloadOfThePolicy(t *testing.T) {
	d := prepare(t, "", "--emulate=x")
	dir := filepath.Join(filepath.Dir(d.socket), "policy.d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.configure(t, "[policy]\ndir = \""+dir+"\"\n")
	d.start(t)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "own.cedar"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	touch := func(want int) string {
		t.Helper()
		status, body, err := d.post("touch", "{}")
		if err != nil || status != want {
			t.Errorf("touch: got %d %s, %v; want %d", status, body, err, want)
		}
		return body
	}
	touch(http.StatusOK)
	write(`@reason("not today") forbid (principal, action == Action::"touch", resource);`)
	d.told(t, "STATUS=")
	if got := touch(http.StatusForbidden); !strings.Contains(got, "not today") {
		t.Errorf("got %s", got)
	}
	write(`permit (principal, action, resource) when { context.nonsense };`)
	d.told(t, "STATUS=The policy is broken; the rules from before still hold")
	touch(http.StatusForbidden)
	write(`permit (principal == User::"nobody", action, resource);`)
	d.told(t, "STATUS=")
	touch(http.StatusOK)
	d.stop(t)
	if got := d.stderr.String(); !strings.Contains(got, "own.cedar:1: rule own#1") {
		t.Errorf("the log does not say what is broken: %s", got)
	}
}

func TestBrokenPolicyDoesNotStart(t *testing.T) {
	d := prepare(t, "")
	dir := filepath.Join(filepath.Dir(d.socket), "policy.d")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "own.cedar"), []byte("nonsense"), 0o644)); err != nil {
		t.Fatal(err)
	}
	d.configure(t, "[policy]\ndir = \""+dir+"\"\n")
	if err := d.cmd.Run(); err == nil || !strings.Contains(d.stderr.String(), "own.cedar:1") {
		t.Errorf("got %v, %s", err, &d.stderr)
	}
}

func TestSessionState(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"3":  "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nIS_DISPLAY=1\nSTATE=active\nREMOTE=0\nTYPE=wayland\nSEAT=seat0\n",
		"c7": "UID=1000\nACTIVE=1\nSTATE=active\nREMOTE=1\n",
		"9":  "ACTIVE=0\nSTATE=online\nREMOTE=0\nSEAT=seat0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &sessions{dir: dir}
	for id, want := range map[string]policy.Session{
		"3":                               {Active: true, Local: true},
		"c7":                              {Active: true, Remote: true},
		"9":                               {Local: true},
		"":                                {},
		"none":                            {},
		"../" + filepath.Base(dir):        {},
		"../" + filepath.Base(dir) + "/3": {},
	} {
		if got := s.state(id); got != want {
			t.Errorf("%q: got %+v, want %+v", id, got, want)
		}
	}
	// It is remembered for a moment, and then read again.
	if err := os.Remove(filepath.Join(dir, "3")); err != nil {
		t.Fatal(err)
	}
	if got := s.state("3"); !got.Active {
		t.Error("it was read again at once")
	}
	s.known["3"] = sessionState{s.known["3"].Session, time.Now().Add(-2 * fresh)}
	if got := s.state("3"); got.Active {
		t.Error("a session that has ended is active")
	}
}

// What the daemon does is counted, for those who may read.
func TestMetricsOnTheSocket(t *testing.T) {
	d := prepare(t, "", "--emulate=x").start(t)
	if status, body, err := d.post("touch", "{}"); err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s, %v", status, body, err)
	}
	resp, err := d.http.Get("http://fobd/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s, %v", resp.Status, err)
	}
	for _, want := range []string{`fobd_operations_total{operation="touch",result="ok"} 1`, "fobd_keys 1", "fobd_queue_wait_seconds_count 1"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	d.stop(t)
}
