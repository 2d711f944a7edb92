package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Names of files.
const (
	namePrefix = "audit-"
	nameSuffix = ".jsonl"
	lockName   = "lock"
)

// fileName gives the name of a file of the log.
func fileName(number int64) string { return fmt.Sprintf("%s%06d%s", namePrefix, number, nameSuffix) }

// fileNumber is the opposite; 0 for names that are not the log's.
func fileNumber(name string) int64 {
	digits, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return 0
	}
	digits, ok = strings.CutSuffix(digits, nameSuffix)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || fileName(n) != name {
		return 0
	}
	return n
}

// numbers lists the files of a log in their order.
func numbers(fsys fs.FS) ([]int64, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var list []int64
	for _, entry := range entries {
		n := fileNumber(entry.Name())
		if n == 0 {
			continue
		}
		if !entry.Type().IsRegular() {
			return nil, fmt.Errorf("audit: %s is not a regular file; move it away", entry.Name())
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return list, nil
}

// folder is the log's folder, held by this process alone.
type folder struct {
	dir  string
	root *os.Root
	lock *os.File
}

// openFolder makes the folder if there is none, and takes its lock.
func openFolder(dir string) (_ *folder, err error) {
	if dir == "" {
		return nil, errors.New("audit: no folder is given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() {
		if err != nil {
			root.Close()
		}
	}()
	info, err := root.Stat(".")
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("audit: %s has mode %04o, so that others could change the log; say chmod 700 %s", dir, mode, dir)
	}
	lock, err := takeLock(root, dir)
	if err != nil {
		return nil, err
	}
	return &folder{dir: dir, root: root, lock: lock}, nil
}

// takeLock makes sure that no other process writes to the folder.
func takeLock(root *os.Root, dir string) (*os.File, error) {
	lock, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := flock(lock); err != nil {
		holder := make([]byte, 20)
		n, _ := lock.Read(holder)
		lock.Close()
		if !errors.Is(err, ErrInUse) {
			return nil, fmt.Errorf("audit: cannot lock %s: %w", dir, err)
		}
		who := "another process"
		if pid, ok := parseNumber([]byte(strings.TrimSpace(string(holder[:n])))); ok {
			who = fmt.Sprintf("process %d", pid)
		}
		return nil, fmt.Errorf("%w: %s has %s; end it, or give this daemon a folder of its own", ErrInUse, who, dir)
	}
	// Only the message above reads it: a failure does no harm.
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return lock, nil
}

// sync makes names that were added or removed last.
func (f *folder) sync() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncFolder(dir)
}

func (f *folder) close() {
	f.root.Close()
	f.lock.Close() // and with it the lock
}
