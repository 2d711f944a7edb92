package hid

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Procfs is [Processes] as proc(5) mounted there tells, as far as it lets this process see them.
type Procfs string

var _ Processes = Procfs("")

// Name implements [Processes].
func (p Procfs) Name(pid int) string {
	return textAttribute(filepath.Join(string(p), strconv.Itoa(pid)), "comm")
}

// Openers implements [Processes].
func (p Procfs) Openers(node string) []Opener {
	processes, err := os.Open(string(p))
	if err != nil {
		return nil
	}
	defer processes.Close()
	names, _ := processes.Readdirnames(-1) // what was read before an error counts
	var openers []Opener
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if has, writes := opens(filepath.Join(string(p), name, "fd"), node); has {
			openers = append(openers, Opener{pid, writes})
		}
	}
	slices.SortFunc(openers, func(x, y Opener) int { return cmp.Compare(x.PID, y.PID) })
	return openers
}

// opens says whether one of the descriptors in a folder of /proc is of path, and whether one of
// these is for writing.
func opens(dir, path string) (has, writes bool) {
	fds, err := os.Open(dir)
	if err != nil {
		return false, false // another user's, or gone
	}
	defer fds.Close()
	names, _ := fds.Readdirnames(-1)
	for _, name := range names {
		link := filepath.Join(dir, name)
		if target, err := os.Readlink(link); err != nil || target != path {
			continue
		}
		has = true
		// The permissions of the link are those of the descriptor (proc_pid_fd(5)).
		if info, err := os.Lstat(link); err == nil && info.Mode()&0o200 != 0 {
			return true, true
		}
	}
	return has, false
}
