package daemon

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
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
	// The owner of the directory in /proc is root for processes that may not be traced, as ssh's are.
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return policy.Actor{}, false
	}
	who.PID, who.Via = pid, "shared-key"
	if who.UID, who.GID, ok = parseStatus(status); !ok {
		return policy.Actor{}, false
	}
	return frontend.Identify(who, nil, pidfd), true
}

// parseStatus reads the lines "Uid:" and "Gid:" (proc_pid_status(5)): real, effective, saved and the
// file system's. The effective ones count, as for SO_PEERCRED.
func parseStatus(status []byte) (uid, gid uint32, ok bool) {
	found := 0
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[0] != "Uid:" && fields[0] != "Gid:" {
			continue
		}
		n, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return 0, 0, false
		}
		found++
		if fields[0] == "Uid:" {
			uid = uint32(n)
		} else {
			gid = uint32(n)
		}
	}
	return uid, gid, found == 2
}
