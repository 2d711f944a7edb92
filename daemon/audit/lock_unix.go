//go:build unix

package audit

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrInUse
		default:
			return err
		}
	}
}

func syncFolder(dir *os.File) error { return dir.Sync() }
