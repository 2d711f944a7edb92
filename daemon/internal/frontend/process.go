package frontend

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
)

// Process is what /proc says of a process.
type Process struct {
	Program string // the command name, which the process chooses itself
	App     policy.App
	Session string
	Groups  []uint32
	Start   uint64 // in clock ticks since boot
}

// look is what looks at processes.
var look atomic.Pointer[func(pid int) Process]

// SetLook makes f look at processes from now on, for a daemon that may not see all of /proc itself.
func SetLook(f func(pid int) Process) { look.Store(&f) }

// Identify fills in what the numbers of who say: the names of the user and of the groups, and what
// is known of the process. groups are those of the process where the front end is told, else nil. pidfd is the
// process as a file descriptor, so that what another process with its number is does not count; -1
// when there is none.
func Identify(who policy.Actor, groups []uint32, pidfd int) policy.Actor {
	who.User = userName(who.UID)
	// A peer outside our pid namespace has the number 0.
	if who.PID > 0 {
		f := Look
		if other := look.Load(); other != nil {
			f = *other
		}
		p := f(who.PID)
		if pidfd < 0 || alive(pidfd) {
			who.Program, who.App, who.Session, who.Start = p.Program, p.App, p.Session, p.Start
			if groups == nil {
				groups = p.Groups
			}
		}
	}
	who.Groups = groupNames(append(slices.Clone(groups), who.GID))
	return who
}

// Look asks /proc about a process, as far as it lets us see.
func Look(pid int) Process {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	read := func(name string) string {
		f, err := os.Open(dir + name)
		if err != nil {
			return ""
		}
		defer func() { _ = f.Close() }()
		data, _ := io.ReadAll(io.LimitReader(f, 64<<10))
		return strings.ToValidUTF8(string(data), "�")
	}
	cgroup := read("cgroup")
	p := Process{
		Program: strings.TrimSuffix(read("comm"), "\n"),
		Session: sessionOf(cgroup),
		Groups:  groupsOf(read("status")),
		Start:   startOf(read("stat")),
	}
	p.App = policy.App{
		Exe: executable(dir), Unit: unitOf(cgroup), Snap: snapOf(read("attr/current")),
		// In a sandbox of flatpak this file is in the root (flatpak-metadata(5)).
		Flatpak: flatpakOf(read("root/.flatpak-info")),
	}
	return p
}

// executable is the path of what a process runs, if that path leads us to the same file: in a mount
// namespace of its own, a program can look as if it were anywhere.
func executable(dir string) string {
	path, err := os.Readlink(dir + "exe")
	if err != nil {
		return ""
	}
	var its, ours unix.Stat_t
	if unix.Stat(dir+"exe", &its) != nil || unix.Stat(path, &ours) != nil || its.Dev != ours.Dev || its.Ino != ours.Ino {
		return ""
	}
	return strings.ToValidUTF8(path, "�")
}

// sessionOf is the login session that a process was started in: systemd-logind keeps it in a unit of
// its own, session-ID.scope (org.freedesktop.login1(5)). Services have none.
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

// unitOf is the innermost systemd unit of a process. Those of a user's manager, whose names the user
// chooses, are "user/" and the name.
func unitOf(cgroups string) string {
	unit, manager := "", false
	for line := range strings.Lines(cgroups) {
		// The unified hierarchy, or systemd's own of the older ones (cgroups(7)).
		_, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "::")
		if !ok {
			if _, path, ok = strings.Cut(strings.TrimSuffix(line, "\n"), ":name=systemd:"); !ok {
				continue
			}
		}
		for dir := range strings.SplitSeq(path, "/") {
			if !strings.HasSuffix(dir, ".service") && !strings.HasSuffix(dir, ".scope") {
				continue
			}
			if unit != "" && strings.HasPrefix(unit, "user@") {
				manager = true
			}
			unit = dir
		}
		break
	}
	if manager {
		return "user/" + unit
	}
	return unit
}

// snapOf takes the name of a snap out of an AppArmor label: snap.NAME.APP (enforce).
func snapOf(label string) string {
	rest, ok := strings.CutPrefix(label, "snap.")
	if !ok {
		return ""
	}
	name, _, ok := strings.Cut(rest, ".")
	if !ok {
		return ""
	}
	return name
}

// flatpakOf takes the id out of a .flatpak-info.
func flatpakOf(info string) string {
	group := ""
	for line := range strings.Lines(info) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			group = line
		}
		if name, ok := strings.CutPrefix(line, "name="); ok && (group == "[Application]" || group == "[Runtime]") {
			return name
		}
	}
	return ""
}

// groupsOf reads the line "Groups:" of a status (proc_pid_status(5)).
func groupsOf(status string) []uint32 {
	groups := []uint32{}
	for lines := bufio.NewScanner(bytes.NewReader([]byte(status))); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "Groups:")
		if !ok {
			continue
		}
		for field := range strings.FieldsSeq(rest) {
			if n, err := strconv.ParseUint(field, 10, 32); err == nil {
				groups = append(groups, uint32(n))
			}
		}
	}
	return groups
}

// startOf is the field starttime (proc_pid_stat(5)). The command name before it may hold anything.
func startOf(stat string) uint64 {
	at := strings.LastIndexByte(stat, ')')
	if at < 0 {
		return 0
	}
	fields := strings.Fields(stat[at+1:])
	if len(fields) < 20 {
		return 0
	}
	n, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// alive reports whether the process behind a pidfd still runs, so that what was read
// from /proc by its number was its own.
func alive(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 0
}

// userNames and groupNames remember names: the databases can be slow. They stay small because
// only users who connect get in.
var userNames, namesOfGroups sync.Map // uint32 to string

func userName(uid uint32) string {
	return named(&userNames, uid, func(number string) (string, error) {
		u, err := user.LookupId(number)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

// groupNames are the names of groups as [policy.Actor] has them.
func groupNames(groups []uint32) string {
	slices.Sort(groups)
	var b strings.Builder
	for _, gid := range slices.Compact(groups) {
		name := named(&namesOfGroups, gid, func(number string) (string, error) {
			g, err := user.LookupGroupId(number)
			if err != nil {
				return "", err
			}
			return g.Name, nil
		})
		// A name cannot hold a comma (group(5)).
		b.WriteString("," + strings.ReplaceAll(name, ",", "_"))
	}
	return b.String() + ","
}

func named(names *sync.Map, id uint32, find func(number string) (string, error)) string {
	if name, ok := names.Load(id); ok {
		return name.(string)
	}
	number := strconv.FormatUint(uint64(id), 10)
	name, err := find(number)
	if err != nil {
		return number
	}
	names.Store(id, name)
	return name
}
