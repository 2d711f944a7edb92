package hid

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Programs that use libfido2 (OpenSSH, pam-u2f, systemd) take an exclusive flock on
// the hidraw node for the length of an operation. So do we, and for no longer.

// maxLocks bounds what is read of /proc/locks.
const maxLocks = 1 << 20

// tryLock takes the lock and says whether it was free.
func tryLock(file *os.File) (bool, error) {
	err := control(file, func(fd int) error {
		for {
			if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
				return err
			}
		}
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// control calls f with the descriptor of file. Never with file.Fd(), which would make
// the descriptor blocking and its deadlines dead.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// holderOf looks up who has the lock on file, and by what name.
func (b *LinuxBus) holderOf(file *os.File) Holder {
	h := lockHolder(b.procRoot, file)
	if h.PID > 0 {
		h.Program = b.processes.Name(h.PID)
	}
	return h
}

// lockHolder looks up in the kernel's table who has the lock on file. It returns the
// zero Holder if the table does not say: the lock was released just now, or the
// holder is outside of our PID namespace.
func lockHolder(procRoot string, file *os.File) Holder {
	var stat unix.Stat_t
	if err := control(file, func(fd int) error { return unix.Fstat(fd, &stat) }); err != nil {
		return Holder{}
	}
	locks, err := os.Open(filepath.Join(procRoot, "locks"))
	if err != nil {
		return Holder{}
	}
	defer locks.Close()
	dev := uint64(stat.Dev) //nolint:unconvert // has 32 bits on mips
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), stat.Ino)
	pid := findLock(io.LimitReader(locks, maxLocks), inode)
	if pid <= 0 {
		return Holder{}
	}
	return Holder{PID: pid}
}

// findLock returns the number of the process that has a write flock on an inode, 0 if
// there is none. A line of the table is (proc_locks(5))
//
//	1: FLOCK  ADVISORY  WRITE 712 00:05:1087 0 EOF
//
// and one of somebody who waits for the lock has an arrow after the number.
func findLock(table io.Reader, inode string) int {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" || fields[5] != inode {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil {
			return pid
		}
	}
	return 0
}
