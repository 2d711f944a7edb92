package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/audit"
)

func TestFileGrowsOnIfTheNextOneCannotBegin(t *testing.T) {
	for name, prevent := range map[string]func(d *disk, next string) error{
		"name is taken": func(_ *disk, next string) error { return os.Mkdir(next, 0o700) },
		"disk is full": func(d *disk, _ string) error {
			d.write = func(file int, _ []byte) (int, error) {
				if file > 1 {
					return 20, syscall.ENOSPC
				}
				return 0, nil
			}
			return nil
		},
		"no sync": func(d *disk, next string) error {
			d.sync = func() error {
				if _, err := os.Stat(next); err == nil {
					return syscall.EIO
				}
				return nil
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			next := filepath.Join(dir, "audit-000002.jsonl")
			d := &disk{}
			var mirrored int
			l := open(t, d.on(audit.Config{Dir: dir, MaxSize: 4 << 10, Mirror: func(audit.Entry) { mirrored++ }}))
			var err error
			d.set(func(d *disk) { err = prevent(d, next) })
			if err != nil {
				t.Fatal(err)
			}
			fill(t, l, 0, 20)
			if name == "name is taken" {
				if err := os.Remove(next); err != nil {
					t.Fatal(err)
				}
			}
			if list := files(t, dir); len(list) != 1 {
				t.Fatalf("got %v, want one file", list)
			}
			whole(t, dir, l.Head())
			d.set(func(d *disk) { d.write, d.sync = nil, nil })
			fill(t, l, 20, 20)
			if list := files(t, dir); len(list) < 2 {
				t.Errorf("got %v, want more", list)
			}
			if diff := cmp.Diff(counted(0, 40), details(t, dir, "touch")); diff != "" {
				t.Error(diff)
			}
			lines := whole(t, dir, l.Head()).Lines
			l.Close()
			if uint64(mirrored) != lines {
				t.Errorf("got %d lines mirrored, want %d", mirrored, lines)
			}
		})
	}
}

func TestHeadIsThatOfALineThatIsThere(t *testing.T) {
	dir := t.TempDir()
	d := &disk{}
	l := open(t, d.on(audit.Config{Dir: dir, MaxSize: 4 << 10}))
	// The next file gets its first line, but no sync; then the old one takes no more, either.
	d.set(func(d *disk) {
		d.sync = func() error {
			if d.opened > 1 {
				return syscall.EIO
			}
			return nil
		}
		d.write = func(file int, _ []byte) (int, error) {
			if file == 1 && d.opened > 1 {
				return 0, syscall.ENOSPC
			}
			return 0, nil
		}
	})
	r := touch()
	var err error
	for range 20 {
		if err = l.Append(t.Context(), &r, false); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want %v", err, syscall.ENOSPC)
	}
	whole(t, dir, l.Head())
}
