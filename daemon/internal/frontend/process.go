package frontend

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
)

// Identify fills in what the numbers of who say: the user's name, and program, executable and
// session of the process. pidfd is the process as a file descriptor, so that what another process
// with its number is does not count; -1 when there is none.
func Identify(who policy.Actor, pidfd int) policy.Actor {
	who.User = userName(who.UID)
	// A peer outside our pid namespace has the number 0.
	if who.PID > 0 {
		who.Program, who.Exe = program(who.PID)
		who.Session = session(who.PID)
		if pidfd >= 0 && !alive(pidfd) {
			who.Program, who.Exe, who.Session = "", "", ""
		}
	}
	return who
}

// program names what a process runs, as far as /proc lets us see it. The command name
// is chosen by the process itself, the path of the executable is not.
func program(pid int) (comm, exe string) {
	dir := "/proc/" + strconv.Itoa(pid)
	if data, err := os.ReadFile(dir + "/comm"); err == nil {
		comm = strings.ToValidUTF8(strings.TrimSuffix(string(data), "\n"), "�")
	}
	exe, _ = os.Readlink(dir + "/exe")
	return comm, strings.ToValidUTF8(exe, "�")
}

// session is the login session that a process was started in: systemd-logind keeps it in a unit of
// its own, session-ID.scope (org.freedesktop.login1(5)). Services have none.
func session(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return sessionOf(string(data))
}

func sessionOf(cgroups string) string {
	for line := range strings.Lines(cgroups) {
		for dir := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "/") {
			if rest, ok := strings.CutPrefix(dir, "session-"); ok {
				if id, ok := strings.CutSuffix(rest, ".scope"); ok && id != "" {
					return strings.ToValidUTF8(id, "")
				}
			}
		}
	}
	return ""
}

// alive reports whether the process behind a pidfd still runs, so that what was read
// from /proc by its number was its own.
func alive(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 0
}

// userNames remembers names: the user database can be slow. It stays small because
// only users who connect get in.
var userNames sync.Map // uint32 to string

func userName(uid uint32) string {
	if name, ok := userNames.Load(uid); ok {
		return name.(string)
	}
	number := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(number)
	if err != nil {
		return number
	}
	userNames.Store(uid, u.Username)
	return u.Username
}
