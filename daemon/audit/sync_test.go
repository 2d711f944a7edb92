package audit_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/audit"
)

func TestAlwaysSyncsBeforeAppendReturns(t *testing.T) {
	d := &disk{}
	l := open(t, d.on(audit.Config{Dir: t.TempDir(), Sync: audit.SyncAlways}))
	for range 3 {
		before := d.count()
		fill(t, l, 0, 1)
		if got := d.count() - before; got != 1 {
			t.Errorf("got %d syncs, want 1", got)
		}
	}
}

func TestIntervalSyncsWithinASecondAndThenRests(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := open(t, d.on(audit.Config{Dir: dir, Sync: audit.SyncInterval}))
		synctest.Wait()
		before := d.count()
		if l.Armed() {
			t.Error("armed with nothing to sync")
		}
		for range 9 {
			fill(t, l, 0, 1)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if got := d.count() - before; got != 0 || !l.Armed() {
			t.Errorf("got %d syncs, armed %v", got, l.Armed())
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := d.count() - before; got != 1 || l.Armed() {
			t.Errorf("got %d syncs after a second, armed %v; want 1, at rest", got, l.Armed())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := d.count() - before; got != 1 {
			t.Errorf("got %d syncs after an hour, want 1", got)
		}
		// A durable record takes the others with it.
		fill(t, l, 0, 1)
		if err := l.Append(t.Context(), &audit.Record{Operation: "reset"}, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := d.count() - before; got != 2 || l.Armed() {
			t.Errorf("got %d syncs, armed %v; want 2, at rest", got, l.Armed())
		}
	})
}

func TestNeverSyncsForDurableRecordsAlone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := open(t, d.on(audit.Config{Dir: dir, Sync: audit.SyncNever}))
		before := d.count()
		fill(t, l, 0, 10)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := d.count() - before; got != 0 || l.Armed() {
			t.Errorf("got %d syncs, want none", got)
		}
		r := touch()
		if err := l.Append(t.Context(), &r, true); err != nil {
			t.Fatal(err)
		}
		if got := d.count() - before; got != 1 {
			t.Errorf("got %d syncs, want 1", got)
		}
	})
}

func TestSyncsAreSharedAndHinderNobodyElse(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := open(t, d.on(audit.Config{Dir: dir, Sync: audit.SyncInterval}))
		before := d.count()
		release := make(chan struct{})
		d.set(func(d *disk) { d.sync = func() error { <-release; return nil } })
		var group sync.WaitGroup
		returned := 0
		var mu sync.Mutex
		for range 100 {
			group.Go(func() {
				r := touch()
				if err := l.Append(t.Context(), &r, true); err != nil {
					t.Error(err)
				}
				mu.Lock()
				returned++
				mu.Unlock()
			})
		}
		synctest.Wait()
		if returned != 0 {
			t.Errorf("%d records returned before they were durable", returned)
		}
		fill(t, l, 0, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := touch()
		if err := l.Append(ctx, &r, true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		close(release)
		group.Wait()
		if got := d.count() - before; got > 2 {
			t.Errorf("got %d syncs for 100 records at once, want 2 at most", got)
		}
		synctest.Wait()
		if l.Armed() {
			t.Error("armed with nothing to sync")
		}
	})
	if got := whole(t, dir).Lines; got != 112 {
		t.Errorf("got %d lines, want 112", got)
	}
}

func TestCloseSyncs(t *testing.T) {
	d := &disk{}
	l := open(t, d.on(audit.Config{Dir: t.TempDir(), Sync: audit.SyncNever}))
	fill(t, l, 0, 1)
	before := d.count()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := d.count() - before; got != 1 {
		t.Errorf("got %d syncs, want 1", got)
	}
}

// Whatever moment the power fails at, no line is on the disk without the one it hangs on, and
// no file is deleted without the line that says so.
func TestFilesAreDurableBeforeWhatFollowsThem(t *testing.T) {
	dir := t.TempDir()
	synced := map[string]int64{}
	d := &disk{}
	config := d.on(audit.Config{Dir: dir, MaxSize: 4 << 10, Keep: 2, Sync: audit.SyncNever})
	size := func(name string) int64 {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return -1
		}
		return info.Size()
	}
	d.sync = func() error {
		for _, name := range files(t, dir) {
			synced[name] = size(name)
		}
		return nil
	}
	rotations := 0
	d.write = func(file int, b []byte) (int, error) {
		list := files(t, dir)
		switch {
		case bytes.Contains(b, []byte(audit.OpBegin)) && len(list) > 1:
			rotations++
			if old := list[len(list)-2]; synced[old] != size(old) {
				t.Errorf("%s begins when %d of %d bytes before it are durable", list[len(list)-1], synced[old], size(old))
			}
		case bytes.Contains(b, []byte(audit.OpDrop)) && len(list) != 3:
			t.Errorf("got %v when files are said to be deleted, want 3", list)
		}
		return 0, nil
	}
	l := open(t, config)
	fill(t, l, 0, 60)
	if rotations < 3 {
		t.Errorf("got %d new files, want more", rotations)
	}
	// A line that is not durable deletes nothing.
	broken := errors.New("no sync")
	d.set(func(d *disk) {
		d.write = func(_ int, b []byte) (int, error) {
			if bytes.Contains(b, []byte(audit.OpDrop)) {
				d.set(func(d *disk) { d.sync = func() error { return broken } })
			}
			return 0, nil
		}
	})
	for i := 0; l.Err() == nil && i < 20; i++ {
		fill(t, l, i, 1)
	}
	if list := files(t, dir); !errors.Is(l.Err(), broken) || len(list) != 3 {
		t.Errorf("got %v and %v, want 3 files and %v", list, l.Err(), broken)
	}
	d.set(func(d *disk) { d.write, d.sync = nil, nil })
	fill(t, l, 0, 20)
	if list := files(t, dir); len(list) != 2 {
		t.Errorf("got %v, want 2 files", list)
	}
	whole(t, dir, l.Head())
}

func TestLineIsNotLateBecauseOfAnotherSync(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := open(t, d.on(audit.Config{Dir: dir, Sync: audit.SyncInterval}))
		before := d.count()
		release := make(chan struct{})
		d.set(func(d *disk) { d.sync = func() error { <-release; return nil } })
		fill(t, l, 0, 1)
		time.Sleep(time.Second)
		fill(t, l, 1, 1)
		time.Sleep(time.Second)
		close(release)
		synctest.Wait()
		if got := d.count() - before; got != 2 {
			t.Errorf("got %d syncs two seconds after two lines, want 2", got)
		}
	})
}

func TestOpenMakesDurableWhatItFinds(t *testing.T) {
	dir := t.TempDir()
	l := open(t, audit.Config{Dir: dir})
	fill(t, l, 0, 5)
	l.Close()
	d := &disk{}
	open(t, d.on(audit.Config{Dir: dir}))
	if got := d.count(); got != 1 {
		t.Errorf("got %d syncs, want 1", got)
	}
}
