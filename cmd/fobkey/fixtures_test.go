package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixed is a scripted key that notes what is done to it from behind.
type fixed struct {
	*scripted
	on       []string
	kept     []byte
	observed chan string
	watching chan struct{} // closed when somebody observes
	left     chan struct{} // closed when nobody does any more
}

func newFixed() *fixed {
	return &fixed{scripted: newScripted(), observed: make(chan string), watching: make(chan struct{}), left: make(chan struct{})}
}

func (f *fixed) faults() []string { return f.on }

func (f *fixed) setFaults(specs []string) error {
	if slices.Contains(specs, "bogus") {
		return errors.New("no such fault")
	}
	f.on = append(f.on, specs...)
	return nil
}

func (f *fixed) unsetFaults(names []string) error {
	f.on = slices.DeleteFunc(f.on, func(s string) bool { return slices.Contains(names, s) })
	return nil
}

func (f *fixed) clearFaults() error            { f.on = nil; return nil }
func (f *fixed) advance(d time.Duration)       { f.note("clock %v", d) }
func (f *fixed) snapshot() ([]byte, error)     { return f.kept, nil }
func (f *fixed) restore(snapshot []byte) error { f.note("restore %s", snapshot); return nil }
func (f *fixed) importCredentials(data []byte) (int, error) {
	f.note("import %s", data)
	return 2, nil
}

func (f *fixed) exportCredentials() ([]byte, int, error) { return []byte(`{"credentials":[]}`), 0, nil }

func (f *fixed) observe() func(context.Context, func(string) error) error { return f.follow }

func (f *fixed) follow(ctx context.Context, line func(string) error) error {
	defer close(f.left)
	close(f.watching)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case text := <-f.observed:
			if err := line(text); err != nil {
				return err
			}
		}
	}
}

func TestOrdersAboutFixtures(t *testing.T) {
	dir := shortDir(t)
	f := newFixed()
	f.kept = []byte("the state")
	r := startWith(t, f, false, filepath.Join(dir, "key"))
	snapshot, export := filepath.Join(dir, "a snapshot"), filepath.Join(dir, "export.json")
	got := r.say(
		t, "fault on a b=c:1", "fault on bogus d", "fault off a", "fault", "fault clear", "fault",
		"clock +90s", "sample good too-fast", "snapshot "+snapshot, "restore "+snapshot, "export "+export, "import "+export,
		"restore "+dir, "snapshot "+dir, "import "+dir+"/none", "snapshot "+dir+"/none/x",
	)
	want := strings.NewReplacer("DIR", dir).Replace(`ok a b=c:1
error: no such fault
ok b=c:1
ok b=c:1
ok
ok
ok
ok
ok 9 bytes
ok
ok 0 credentials
ok 2 credentials
error: DIR is no file
error: DIR is no file
error: stat DIR/none: no such file or directory
`)
	if got, found := strings.CutPrefix(got, want); !found || !strings.HasPrefix(got, "error: ") {
		t.Errorf("answers:\n%s\nwant:\n%serror: ...", got, want)
	}
	if got, want := f.notes(), "power cycle, clock 1m30s, samples [good too-fast], restore the state, import {\"credentials\":[]}"; got != want {
		t.Errorf("the key was told %q, want %q", got, want)
	}
	for _, name := range []string{snapshot, export} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it for its owner only", name, info, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".fobkey-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestObserve(t *testing.T) {
	f := newFixed()
	r := startWith(t, f, false, filepath.Join(shortDir(t), "key"))
	conn, err := net.Dial("unix", r.control)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintln(conn, "observe")
	lines := bufio.NewScanner(conn)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("line %q, %v; want %q", lines.Text(), lines.Err(), want)
		}
	}
	next("ok")
	<-f.watching
	for i := range 3 {
		f.observed <- fmt.Sprint(i)
		next(fmt.Sprint(i))
	}
	// Other connections go on.
	if got := r.say(t, "fault"); got != "ok\n" {
		t.Errorf("fault: %q", got)
	}
	_ = conn.Close()
	<-f.left
}

func TestKeyWithoutFixtures(t *testing.T) {
	r := start(t, false)
	want := strings.Repeat("error: this key can't do that\n", 3)
	if got := r.say(t, "fault", "clock +1s", "observe"); got != want {
		t.Errorf("answers %q, want %q", got, want)
	}
}
