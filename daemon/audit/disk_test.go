package audit_test

import (
	"sync"
	"syscall"

	"github.com/fobd/fobd/daemon/audit"
)

// disk stands between a log and its files. Its functions, if not nil, come first.
type disk struct {
	mu       sync.Mutex // guards below
	opened   int
	syncs    int
	write    func(file int, b []byte) (n int, err error) // n bytes are written if err is not nil
	sync     func() error
	truncate func() error
}

func (d *disk) set(change func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

func (d *disk) on(config audit.Config) audit.Config {
	config.Wrap(func(f audit.File) audit.File {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.opened++
		return &diskFile{f, d, d.opened}
	})
	return config
}

type diskFile struct {
	audit.File
	disk   *disk
	number int
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	write := f.disk.write
	f.disk.mu.Unlock()
	if write != nil {
		if n, err := write(f.number, b); err != nil {
			n, _ = f.File.Write(b[:min(n, len(b))])
			return n, err
		}
	}
	return f.File.Write(b)
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	sync := f.disk.sync
	f.disk.syncs++
	f.disk.mu.Unlock()
	if sync != nil {
		if err := sync(); err != nil {
			return err
		}
	}
	return f.File.Sync()
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	truncate := f.disk.truncate
	f.disk.mu.Unlock()
	if truncate != nil {
		if err := truncate(); err != nil {
			return err
		}
	}
	return f.File.Truncate(size)
}

func full(n int) func(int, []byte) (int, error) {
	return func(int, []byte) (int, error) { return n, syscall.ENOSPC }
}
