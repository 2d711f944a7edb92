// Package sandbox locks a process in: what it may open by Landlock (landlock(7)), what it may ask the
// kernel for by seccomp (seccomp(2)). Both hold for all threads and for ever, and take nothing that
// the kernel cannot take: what there is of them, [Applied] says.
package sandbox

import (
	"errors"
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Rules say what a process needs. Paths that do not exist are left out.
type Rules struct {
	// Read are folders and files to read from, Write folders to do anything in, Sockets folders to make and
	// remove sockets in, Devices folders and nodes of devices to use.
	Read, Write, Sockets, Devices []string
}

// Applied says what holds.
type Applied struct {
	// Landlock is the version of its interface that the kernel has, 0 for none.
	Landlock int
	// Seccomp is false where the kernel or the tables of this architecture do not have it.
	Seccomp bool
}

// Enter locks the process in. It opens no file but by the rules, makes no socket but Unix and netlink
// ones, starts and signals no program, and traces none.
func Enter(r Rules) (a Applied, err error) {
	if a.Landlock, err = restrict(r); err != nil {
		return a, err
	}
	a.Seccomp, err = filter(daemonCalls())
	return a, err
}

// EnterReader locks a process in that reads files, tells about them on what it has open, and does nothing else.
// Landlock is not for it: it hides other processes, too.
func EnterReader() (a Applied, err error) {
	a.Seccomp, err = filter(readerCalls())
	return a, err
}

// restrict applies Landlock.
func restrict(r Rules) (version int, err error) {
	version = abi()
	if version == 0 {
		return 0, nil
	}
	// Signals to others are none of its business; sockets by abstract names are: a session bus can have one.
	config, err := landlock.NewConfig(landlock.V8.HandledAccessFS, landlock.V8.HandledAccessNet, landlock.ScopedSet(ll.ScopeSignal))
	if err != nil {
		return version, fmt.Errorf("sandbox: %w", err)
	}
	const (
		device = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSReadDir | ll.AccessFSIoctlDev)
		socket = landlock.AccessFSSet(ll.AccessFSMakeSock | ll.AccessFSRemoveFile | ll.AccessFSReadDir)
	)
	var rules []landlock.Rule
	for _, path := range r.Read {
		if isDir(path) {
			rules = append(rules, landlock.RODirs(path))
		} else {
			rules = append(rules, landlock.ROFiles(path).IgnoreIfMissing())
		}
	}
	for _, path := range r.Devices {
		access := device
		if !isDir(path) {
			access &^= landlock.AccessFSSet(ll.AccessFSReadDir)
		}
		rules = append(rules, landlock.PathAccess(access, path).IgnoreIfMissing())
	}
	rules = append(rules, landlock.RWDirs(r.Write...).IgnoreIfMissing(), landlock.PathAccess(socket, r.Sockets...).IgnoreIfMissing())
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return version, fmt.Errorf("sandbox: %w", err)
	}
	return version, nil
}

func isDir(path string) bool {
	var stat unix.Stat_t
	return unix.Stat(path, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// abi is the version of Landlock's interface.
func abi() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// errUnknownArch says that there is no table of the calls of this architecture.
var errUnknownArch = errors.New("no table of system calls for this architecture")
