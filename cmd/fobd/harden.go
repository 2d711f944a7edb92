package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps PINs out of core dumps and away from debuggers of the same user, and
// new files away from everyone else.
func harden() error {
	unix.Umask(0o077)
	var core unix.Rlimit
	// A service manager may have seen to it, and keep its services from such calls.
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core != (unix.Rlimit{}) {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
			return fmt.Errorf("no core dumps: %w", err)
		}
	}
	// PR_SET_DUMPABLE(2const): also keeps ptrace of the same user out.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("not dumpable: %w", err)
	}
	return nil
}
