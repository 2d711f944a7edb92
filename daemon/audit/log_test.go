package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/audit"
)

func TestAppendedRecordsAreReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l := open(t, audit.Config{Dir: dir})
	want := touch()
	add(t, l, want)
	got := read(t, dir, audit.Query{})
	if len(got) != 2 || got[0].Operation != audit.OpBegin || got[0].Version != audit.Version || got[0].File != 1 {
		t.Fatalf("got %+v, want a first line and a record", got)
	}
	if diff := cmp.Diff(want, got[1].Record); diff != "" {
		t.Error(diff)
	}
	if got[1].Prev != got[0].Hash || got[1].Head() != l.Head() {
		t.Errorf("got line %+v after %+v with head %v", got[1], got[0], l.Head())
	}
	if report := whole(t, dir, l.Head()); report.Lines != 2 || report.Head != l.Head() || !report.Last.Equal(moment) {
		t.Errorf("got %+v", report)
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	open(t, audit.Config{Dir: dir})
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "audit-000001.jsonl"): 0o600, filepath.Join(dir, "lock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: got mode %o, want %o", path, got, want)
		}
	}
	if err := os.Mkdir(dir+"2", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"2", 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(audit.Config{Dir: dir + "2"}); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v for a folder that others can write to", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, config := range []audit.Config{{}, {Dir: "x", MaxSize: 100}, {Dir: "x", Keep: -1}, {Dir: "x", Sync: "sometimes"}} {
		if l, err := audit.Open(config); err == nil {
			l.Close()
			t.Errorf("%+v: got no error", config)
		}
	}
}

func TestSecondLogOnAFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir})
	_, err := audit.Open(audit.Config{Dir: dir})
	if !errors.Is(err, audit.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d has %s", os.Getpid(), dir)) {
		t.Errorf("got %v, want the folder in use, and by whom", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, audit.Config{Dir: dir})
}

func TestClosedLogRefusesRecords(t *testing.T) {
	l := open(t, audit.Config{Dir: t.TempDir()})
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	// More than the queue holds.
	for range 300 {
		r := touch()
		if err := l.Append(t.Context(), &r, true); !errors.Is(err, audit.ErrClosed) {
			t.Fatalf("got %v, want %v", err, audit.ErrClosed)
		}
	}
}

func TestLogKeepsItsOwnOperations(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir})
	for _, op := range []string{"", audit.OpBegin, audit.OpTorn, audit.OpGap, audit.OpDrop} {
		if err := l.Append(t.Context(), &audit.Record{Operation: op}, false); err == nil {
			t.Errorf("%q: got no error", op)
		}
	}
	if err := l.Append(t.Context(), &audit.Record{Operation: "touch", Time: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}, false); err == nil {
		t.Error("year 12000: got no error")
	}
	add(t, l, audit.Record{Operation: "touch", Version: 7, File: 9})
	if got := read(t, dir, audit.Query{After: 1}); len(got) != 1 || got[0].Version != 0 || got[0].File != 0 {
		t.Errorf("got %+v, want one record without version and file", got)
	}
}

func TestRecordsOfManyGoroutinesStandThereOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 20 << 10})
	const workers, each = 8, 200
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() { fill(t, l, w*each, each) })
	}
	group.Wait()
	got := details(t, dir, "touch")
	slices.SortFunc(got, func(a, b string) int { return 10*(len(a)-len(b)) + strings.Compare(a, b) })
	if diff := cmp.Diff(counted(0, workers*each), got); diff != "" {
		t.Error(diff)
	}
	if report := whole(t, dir, l.Head()); report.Files < 10 {
		t.Errorf("got %d files, want many", report.Files)
	}
}

func TestLogGoesOnAfterClose(t *testing.T) {
	dir := t.TempDir()
	var heads []audit.Head
	for i := range 5 {
		l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10})
		fill(t, l, i*7, 7)
		heads = append(heads, l.Head())
		l.Close()
	}
	if diff := cmp.Diff(counted(0, 35), details(t, dir, "touch")); diff != "" {
		t.Error(diff)
	}
	whole(t, dir, heads...)
}

func TestFilesEndAtTheirSize(t *testing.T) {
	dir := t.TempDir()
	const size = 8 << 10
	l := open(t, audit.Config{Dir: dir, MaxSize: size})
	fill(t, l, 0, 100)
	list := files(t, dir)
	for i, name := range list {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("audit-%06d.jsonl", i+1); name != want || info.Size() > size || i < len(list)-1 && info.Size() < size*3/4 {
			t.Errorf("got %s with %d bytes, want %s with %d at most", name, info.Size(), want, size)
		}
	}
}

func TestOldFilesAreDroppedAndTheRestVerifies(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 3})
	fill(t, l, 0, 100)
	list := files(t, dir)
	if len(list) != 3 {
		t.Fatalf("got %v, want 3 files", list)
	}
	report := whole(t, dir, l.Head())
	if report.Dropped < 3 || report.FirstSeq < 20 || report.Head.Seq < 100 {
		t.Errorf("got %+v, want dropped files", report)
	}
	if want := fmt.Sprintf("audit-%06d.jsonl", report.Dropped+1); list[0] != want {
		t.Errorf("got %s first, want %s", list[0], want)
	}
	got := details(t, dir, "touch")
	if diff := cmp.Diff(counted(100-len(got), len(got)), got); diff != "" {
		t.Error(diff)
	}
	l.Close()
	// A smaller number holds from the next start on.
	l = open(t, audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 1})
	if list := files(t, dir); len(list) != 1 {
		t.Errorf("got %v, want 1 file", list)
	}
	whole(t, dir, l.Head())
}

func TestMirrorGetsEveryLine(t *testing.T) {
	dir := t.TempDir()
	var mirrored []audit.Entry
	config := audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 2, Mirror: func(e audit.Entry) { mirrored = append(mirrored, e) }}
	l := open(t, config)
	fill(t, l, 0, 3)
	r := touch()
	r.Policies, r.Purpose = []string{"a\xff"}, strings.Repeat("x", 9999)
	add(t, l, r)
	if r.Policies[0] != "a\xff" {
		t.Error("the caller's record was changed")
	}
	l.Close()
	l = open(t, config)
	if diff := cmp.Diff(read(t, dir, audit.Query{}), mirrored); diff != "" {
		t.Error(diff)
	}
	fill(t, l, 3, 50)
	l.Close()
	for i, e := range mirrored[1:] {
		if e.Seq != mirrored[i].Seq+1 || e.Prev != mirrored[i].Hash {
			t.Fatalf("line %d follows line %d", e.Seq, mirrored[i].Seq)
		}
	}
}

func TestCancelledAppendWritesNevertheless(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client is gone")
	cancel(gone)
	r := touch()
	if err := l.Append(ctx, &r, true); err != nil && !errors.Is(err, gone) {
		t.Errorf("got %v, want nil or %v", err, gone)
	}
	l.Close()
	if got := details(t, dir, "touch"); len(got) != 1 {
		t.Errorf("got %d records, want 1", len(got))
	}
}
