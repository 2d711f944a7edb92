package daemon

import (
	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/process"
)

// Program is the process pid as the one who asks, for a front end that is told of nothing but the
// number. ok is false when there is no such process.
func Program(pid int) (who policy.Actor, ok bool) {
	// The number stays this process's for as long as its descriptor is open.
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return policy.Actor{}, false
	}
	defer func() { _ = unix.Close(pidfd) }()
	p := process.Look(pid)
	if !p.Known {
		return policy.Actor{}, false
	}
	// The effective ids count, as for SO_PEERCRED.
	who.PID, who.UID, who.GID, who.Via = pid, p.UID, p.GID, "shared-key"
	return frontend.Identify(who, p.Groups, pidfd), true
}
