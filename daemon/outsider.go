package daemon

import (
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/process"
	"github.com/fobd/fobd/hid"
)

// outsider is a program that goes around the daemon, and whose it is. Since when it has the
// key is not known.
func outsider(h hid.Holder) api.Holder {
	return api.Holder{Program: printable(h.Program), PID: h.PID, User: userOf(h.PID), Outside: true}
}

// userOf names the user who started a process, and is empty if that cannot be known.
func userOf(pid int) string {
	if pid <= 0 {
		return ""
	}
	p := process.Look(pid)
	if !p.Known {
		return ""
	}
	return frontend.UserName(p.RealUID)
}
