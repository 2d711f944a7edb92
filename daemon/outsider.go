package daemon

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
)

// outsider is a program that goes around the daemon, and whose it is. Since when it has the
// key is not known.
func outsider(h hid.Holder) api.Holder {
	return api.Holder{Program: printable(h.Program), PID: h.PID, User: userOf(h.PID), Outside: true}
}

// userOf names the user of a process, and is empty if that cannot be known. It is not the
// owner of the folder: that is root's for programs that keep debuggers away.
func userOf(pid int) string {
	if pid <= 0 {
		return ""
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ""
	}
	defer file.Close()
	uid := realUID(file)
	if uid == "" {
		return ""
	}
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}

// maxStatus bounds what is read of a process's status.
const maxStatus = 16 << 10

// realUID reads "Uid:	real	effective	saved	filesystem" (proc_pid_status(5)).
func realUID(status io.Reader) string {
	for lines := bufio.NewScanner(io.LimitReader(status, maxStatus)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Uid:"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				return fields[0]
			}
		}
	}
	return ""
}
