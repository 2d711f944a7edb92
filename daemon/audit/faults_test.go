package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/audit"
)

func TestFullDiskIsSaidAndGotOver(t *testing.T) {
	for _, written := range []int{0, 1, 100, 100_000} {
		dir := t.TempDir()
		d := &disk{}
		mirrored := 0
		l := open(t, d.on(audit.Config{Dir: dir, Mirror: func(audit.Entry) { mirrored++ }}))
		fill(t, l, 0, 3)
		before := l.Head()
		d.set(func(d *disk) { d.write = full(written) })
		for range 2 {
			r := touch()
			if err := l.Append(t.Context(), &r, false); !errors.Is(err, syscall.ENOSPC) || !errors.Is(l.Err(), syscall.ENOSPC) {
				t.Fatalf("got %v, Err %v; want %v", err, l.Err(), syscall.ENOSPC)
			}
		}
		if whole(t, dir, before).Unfinished != 0 || l.Head() != before {
			t.Error("half a line was left")
		}
		d.set(func(d *disk) { d.write = nil })
		fill(t, l, 3, 2)
		if err := l.Err(); err != nil {
			t.Errorf("got %v after a good line", err)
		}
		if report := whole(t, dir, before, l.Head()); report.Gaps != 1 {
			t.Errorf("got %+v, want one gap", report)
		}
		if diff := cmp.Diff(counted(0, 5), details(t, dir, "touch")); diff != "" {
			t.Error(diff)
		}
		if gap := details(t, dir, audit.OpGap); len(gap) != 1 || !strings.HasPrefix(gap[0], "2 records could not be written: ") {
			t.Errorf("got %q", gap)
		}
		lines := l.Head().Seq
		l.Close()
		if uint64(mirrored) != lines {
			t.Errorf("got %d lines mirrored, want %d", mirrored, lines)
		}
	}
}

func TestHalfALineIsCutOffLater(t *testing.T) {
	dir := t.TempDir()
	d := &disk{}
	l := open(t, d.on(audit.Config{Dir: dir}))
	fill(t, l, 0, 3)
	d.set(func(d *disk) { d.write, d.truncate = full(50), func() error { return syscall.EIO } })
	r := touch()
	for range 2 {
		if err := l.Append(t.Context(), &r, false); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v, want %v", err, syscall.EIO)
		}
	}
	if got := whole(t, dir).Unfinished; got != 50 {
		t.Errorf("got %d bytes behind the last line, want 50", got)
	}
	d.set(func(d *disk) { d.write, d.truncate = nil, nil })
	fill(t, l, 3, 1)
	if report := whole(t, dir, l.Head()); report.Unfinished != 0 || report.Gaps != 1 {
		t.Errorf("got %+v", report)
	}
}

// written counts the bytes that this process has written.
func written(t *testing.T) (n int) {
	t.Helper()
	stat, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	_, stat, _ = bytes.Cut(stat, []byte("wchar: "))
	if _, err := fmt.Sscan(string(stat), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFailedSyncIsSaidAndLinesAreWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	d := &disk{}
	l := open(t, d.on(audit.Config{Dir: dir}))
	fill(t, l, 0, 300)
	d.set(func(d *disk) { d.sync = func() error { return syscall.EIO } })
	r := touch()
	r.Detail = "300"
	for range 3 {
		// From the second one on, it isn't even written.
		if err := l.Append(t.Context(), &r, true); !errors.Is(err, syscall.EIO) || !errors.Is(l.Err(), syscall.EIO) {
			t.Fatalf("got %v, Err %v; want %v", err, l.Err(), syscall.EIO)
		}
	}
	d.set(func(d *disk) { d.sync = nil })
	info, err := os.Stat(filepath.Join(dir, "audit-000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	before := written(t)
	fill(t, l, 301, 1)
	if got := written(t) - before; got < int(info.Size())*9/10 {
		t.Errorf("wrote %d bytes, want the %d that are not on the disk for sure", got, info.Size())
	}
	if err := l.Err(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(counted(0, 302), details(t, dir, "touch")); diff != "" {
		t.Error(diff)
	}
	if report := whole(t, dir, l.Head()); report.Gaps != 1 {
		t.Errorf("got %+v, want a gap", report)
	}
	before = written(t)
	fill(t, l, 302, 1)
	if got := written(t) - before; got > 4096 {
		t.Errorf("wrote %d bytes for a line when all was well again", got)
	}
}

func TestLinesThatTheDiskForgotAreSaid(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "audit-000001.jsonl")
	d := &disk{}
	l := open(t, d.on(audit.Config{Dir: dir}))
	fill(t, l, 0, 10)
	r := touch()
	r.Detail = "10"
	if err := l.Append(t.Context(), &r, true); err != nil {
		t.Fatal(err)
	}
	safe := l.Head()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 11, 5)
	d.set(func(d *disk) {
		d.sync = func() error {
			return errors.Join(syscall.EIO, os.Truncate(name, info.Size()+1000))
		}
	})
	if err := l.Append(t.Context(), &r, true); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want %v", err, syscall.EIO)
	}
	d.set(func(d *disk) { d.sync = nil })
	fill(t, l, 20, 3)
	report := whole(t, dir, safe, l.Head())
	if report.Torn != 1 || report.Gaps != 1 {
		t.Errorf("got %+v, want half a line and a gap", report)
	}
	if got := details(t, dir, audit.OpGap); len(got) != 1 || !strings.HasPrefix(got[0], "5 records could not be written: ") || !strings.Contains(got[0], "the disk has lost lines") {
		t.Errorf("got %q", got)
	}
	if diff := cmp.Diff(append(counted(0, 12), "20", "21", "22"), details(t, dir, "touch")); diff != "" {
		t.Error(diff)
	}
}

func TestFailedSyncInTheBackgroundIsLoggedAndTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		var text bytes.Buffer
		l := open(t, d.on(audit.Config{Dir: dir, Sync: audit.SyncInterval, Log: slog.New(slog.NewTextHandler(&text, nil))}))
		fill(t, l, 0, 3)
		d.set(func(d *disk) { d.sync = func() error { return syscall.EIO } })
		time.Sleep(time.Second)
		synctest.Wait()
		if err := l.Err(); !errors.Is(err, syscall.EIO) || !strings.Contains(text.String(), "not on the disk") {
			t.Errorf("got %v and log %q, want %v", err, &text, syscall.EIO)
		}
		d.set(func(d *disk) { d.sync = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		if err := l.Err(); err != nil || l.Armed() {
			t.Errorf("got %v, armed %v after a good sync", err, l.Armed())
		}
		whole(t, dir, l.Head())
	})
}
