package hid

import (
	"os"

	"golang.org/x/sys/unix"
)

// SharedNode returns the device node of the virtual key that a fobd shows; ok is false when there is none.
func (b *LinuxBus) SharedNode() (path string, ok bool) {
	entries, err := os.ReadDir(b.class())
	if err != nil {
		return "", false
	}
	for _, entry := range entries {
		if node, _, err := b.examine(entry.Name()); err == nil && node.shared {
			return node.info.Path, true
		}
	}
	return "", false
}

// Users says which processes use a device node: the one that has its lock, or else all that have it
// open, as far as they can be known.
func (b *LinuxBus) Users(path string) []Holder {
	if holder := b.lockHolder(path); holder.PID > 0 {
		return []Holder{holder}
	}
	var users []Holder
	for _, o := range b.processes.Openers(path) {
		users = append(users, Holder{PID: o.PID, Program: b.processes.Name(o.PID)})
	}
	return users
}

// lockHolder looks up who has the lock of a device node that this process has not opened.
func (b *LinuxBus) lockHolder(path string) Holder {
	// A path only: opening the node itself would power the device up.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Holder{}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	return b.holderOf(file)
}
