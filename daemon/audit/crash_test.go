package audit_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/audit"
)

var crashTime = flag.Duration("crash", 1500*time.Millisecond, "how long processes are killed")

// victimEnv makes the test's binary a process that appends to the log in this folder.
const victimEnv = "FOBD_AUDIT_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		fmt.Fprintln(os.Stderr, victim(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim appends until it is killed, and says after each record which one it was.
func victim(dir string) error {
	l, err := audit.Open(audit.Config{Dir: dir, MaxSize: 8 << 10})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				r := touch()
				r.Detail = fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				if err := l.Append(context.Background(), &r, (worker+i)%2 == 0); err != nil {
					failed <- err
				}
				// Lines that are this short go into a pipe as a whole.
				if _, err := os.Stdout.WriteString(r.Detail + "\n"); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

func TestKilledProcessLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	want := map[string]bool{}
	var heads []audit.Head
	round := 0
	for end := time.Now().Add(*crashTime); round < 3 || time.Now().Before(end); round++ {
		for _, id := range kill(t, dir, rand.IntN(300)) {
			want[id] = true
		}
		l := open(t, audit.Config{Dir: dir, MaxSize: 8 << 10})
		heads = append(heads, l.Head())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		whole(t, dir, heads...)
	}
	report := whole(t, dir, heads...)
	got := details(t, dir, "touch")
	for _, id := range got {
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("%d records are lost, like %v", len(want), first(want))
	}
	seen := map[string]bool{}
	for _, id := range got {
		if seen[id] {
			t.Errorf("record %s is there twice", id)
		}
		seen[id] = true
	}
	t.Logf("%d processes killed, %d records in %d files, %d torn lines", round, len(got), report.Files, report.Torn)
}

func first(m map[string]bool) string {
	for s := range m {
		return s
	}
	return ""
}

// kill starts a process, kills it after some records, and gives those that it had said.
func kill(t *testing.T, dir string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ids = append(ids, lines.Text())
		if len(ids) == after+1 {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](cmd.Wait()); !ok || exit.Exited() {
		t.Fatalf("the process was not killed: %v, %s", exit, &stderr)
	}
	return ids
}

// The disk stops for good at each of its operations in turn, in the middle of it if it is a write.
func TestEveryStopOfTheDiskIsGotOver(t *testing.T) {
	stopped := errors.New("the disk has stopped")
	for stop := 1; ; stop++ {
		dir := t.TempDir()
		d := &disk{}
		operations := 0
		next := func() error {
			d.mu.Lock()
			defer d.mu.Unlock()
			if operations++; operations >= stop {
				return stopped
			}
			return nil
		}
		d.sync, d.truncate = next, next
		d.write = func(_ int, b []byte) (int, error) {
			err := next()
			d.mu.Lock()
			defer d.mu.Unlock()
			if operations > stop {
				b = nil
			}
			return len(b) / 2, err
		}
		config := audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 3, Sync: audit.SyncNever}
		var want []string
		var head audit.Head
		l, err := audit.Open(d.on(config))
		if err == nil {
			for i := range 20 {
				r := touch()
				r.Detail = fmt.Sprint(i)
				if l.Append(t.Context(), &r, i%7 == 0) == nil {
					want = append(want, r.Detail)
					head = l.Head()
				}
			}
			l.Close()
		}
		l = open(t, config)
		fill(t, l, 20, 1)
		whole(t, dir, head, l.Head())
		got := strings.Join(details(t, dir, "touch"), " ")
		if len(want) > 4 {
			want = want[len(want)-4:] // what is surely among the files that are kept
		}
		if !strings.Contains(got, strings.Join(want, " ")) {
			t.Fatalf("stop %d: got records %v, want %v among them", stop, got, want)
		}
		l.Close()
		if operations < stop {
			if stop < 30 {
				t.Errorf("got %d operations of the disk, want more", stop)
			}
			return
		}
	}
}
