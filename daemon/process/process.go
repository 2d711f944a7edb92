// Package process tells what the kernel knows of the processes that ask for something: what they run, in
// which unit, session and sandbox. [Look] does it for this process; a daemon that has locked itself in, and
// sees no other process any more, has a [Helper] look, which [Serve] is the other end of.
package process

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
)

// Process is what /proc says of a process. What cannot be known has its zero value.
type Process struct {
	// Known is false when there is no such process, or nobody could look.
	Known bool `json:"known"`
	// Start is when it began, in clock ticks since boot.
	Start uint64 `json:"start,omitempty"`
	// UID and GID are the effective ones, RealUID is who started it.
	UID     uint32     `json:"uid"`
	GID     uint32     `json:"gid"`
	RealUID uint32     `json:"real_uid"`
	Groups  []uint32   `json:"groups,omitempty"`
	Program string     `json:"program,omitempty"` // the command name, which it chooses itself
	App     policy.App `json:"app"`
	Session string     `json:"session,omitempty"`
}

// looker is who looks for this process, nil for itself.
var looker atomic.Pointer[Helper]

// Look tells about a process.
func Look(pid int) Process {
	if h := looker.Load(); h != nil {
		return h.Look(pid)
	}
	return read("/proc", pid)
}

// Use has a helper look from now on, nil for nobody else.
func Use(h *Helper) { looker.Store(h) }

// maxFile bounds what is read of a file.
const maxFile = 64 << 10

// read asks a /proc about a process, as far as it lets us see.
func read(proc string, pid int) Process {
	dir := proc + "/" + strconv.Itoa(pid) + "/"
	cgroup, status := readFile(dir+"cgroup"), readFile(dir+"status")
	p := Process{
		Program: strings.TrimSuffix(readFile(dir+"comm"), "\n"),
		Session: sessionOf(cgroup),
		Groups:  groupsOf(status),
		Start:   startOf(readFile(dir + "stat")),
	}
	var ok bool
	if p.RealUID, p.UID, p.GID, ok = idsOf(status); !ok {
		return Process{}
	}
	p.Known = true
	mounts := mountsOf(readFile(dir + "mountinfo"))
	p.App = policy.App{
		Exe: executable(dir, proc, mounts), Unit: unitOf(cgroup), Snap: snapOf(readFile(dir + "attr/current")),
		Flatpak: flatpak(dir, mounts),
	}
	return p
}

// readFile reads a file and does not wait: what it opens can be anything where a program has its own root.
func readFile(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	data, _ := io.ReadAll(io.LimitReader(f, maxFile))
	return strings.ToValidUTF8(string(data), "�")
}

// mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id     uint64
	point  string
	fsType string
}

func mountsOf(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields, about := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(about) == 0 {
			continue
		}
		id, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			continue
		}
		mounts = append(mounts, mount{id, fields[4], about[0]})
	}
	return mounts
}

// served says whether a file system is one that a program answers for, which may be that of the very user
// who asks, and may not answer.
func (m mount) served() bool {
	return strings.HasPrefix(m.fsType, "fuse")
}

// executable is the path of what a process runs, if that path leads us to the same file: in a mount
// namespace of its own, a program can look as if it were anywhere.
func executable(dir, proc string, mounts []mount) string {
	path, err := os.Readlink(dir + "exe")
	if err != nil {
		return ""
	}
	var its, ours unix.Statx_t
	const mask = unix.STATX_INO | unix.STATX_MNT_ID
	// Not synchronised: no file system is asked that a program answers for.
	if unix.Statx(unix.AT_FDCWD, dir+"exe", unix.AT_STATX_DONT_SYNC, mask, &its) != nil {
		return ""
	}
	known := func(mounts []mount) (m mount, ok bool) {
		at := slices.IndexFunc(mounts, func(m mount) bool { return m.id == its.Mnt_id })
		if at < 0 {
			return m, false
		}
		return mounts[at], true
	}
	m, ok := known(mounts)
	// In a chroot, a process is not told of the mount that its root is a part of.
	for _, other := range []string{"self", "1"} {
		if !ok {
			m, ok = known(mountsOf(readFile(proc + "/" + other + "/mountinfo")))
		}
	}
	if !ok || m.served() {
		return ""
	}
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, mask, &ours) != nil {
		return ""
	}
	if its.Dev_major != ours.Dev_major || its.Dev_minor != ours.Dev_minor || its.Ino != ours.Ino {
		return ""
	}
	return strings.ToValidUTF8(path, "�")
}

// flatpak is the id of an application in a sandbox of flatpak: there, a file in the root tells it
// (flatpak-metadata(5)).
func flatpak(dir string, mounts []mount) string {
	const info = "/.flatpak-info"
	known := false
	for _, m := range mounts {
		if m.point != "/" && m.point != info {
			continue
		}
		if m.served() {
			return ""
		}
		known = true
	}
	if !known {
		return ""
	}
	return flatpakOf(readFile(dir + "root" + info))
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

// idsOf reads the lines "Uid:" and "Gid:" (proc_pid_status(5)): real, effective, saved and the
// file system's.
func idsOf(status string) (realUID, uid, gid uint32, ok bool) {
	found := 0
	for lines := bufio.NewScanner(strings.NewReader(status)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[0] != "Uid:" && fields[0] != "Gid:" {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		second, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 != nil || err2 != nil {
			return 0, 0, 0, false
		}
		found++
		if fields[0] == "Uid:" {
			realUID, uid = uint32(first), uint32(second)
		} else {
			gid = uint32(second)
		}
	}
	return realUID, uid, gid, found == 2
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
