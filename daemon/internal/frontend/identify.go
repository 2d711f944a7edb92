package frontend

import (
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/process"
)

// Identify fills in what the numbers of who say: the names of the user and of the groups, and what
// is known of the process. groups are those of the process where the front end is told, else nil. pidfd is the
// process as a file descriptor, so that what another process with its number is does not count; -1
// when there is none.
func Identify(who policy.Actor, groups []uint32, pidfd int) policy.Actor {
	who.User = UserName(who.UID)
	// A peer outside our pid namespace has the number 0.
	if who.PID > 0 {
		p := process.Look(who.PID)
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

// UserName is the name of a user, or the number.
func UserName(uid uint32) string {
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
