package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
)

type actorKey struct{}

// WithActor returns a context that says who asks. It is for tests and for servers that
// know their peer by other means than [ConnContext].
func WithActor(ctx context.Context, who policy.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// ActorFrom returns who asks, if that is known.
func ActorFrom(ctx context.Context) (policy.Actor, bool) {
	who, ok := ctx.Value(actorKey{}).(policy.Actor)
	return who, ok
}

// ConnContext puts who opened the connection into its context; it is made for
// [http.Server.ConnContext]. Without an answer of the kernel the context stays as it
// is, and every request is denied.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if known, ok := c.(*countedConn); ok {
		return WithActor(ctx, known.who)
	}
	who, err := peer(c)
	if err != nil {
		return ctx
	}
	return WithActor(ctx, who)
}

// peer asks the kernel who opened a Unix connection: the credentials of the moment of
// connect(2), as unix(7) has it for SO_PEERCRED.
func peer(c net.Conn) (policy.Actor, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return policy.Actor{}, errors.New("httpapi: the connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return policy.Actor{}, fmt.Errorf("httpapi: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	pidfd := -1
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		// Since Linux 6.5; before, a process that is named after its end can be another one.
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			pidfd = n
		}
	})
	if pidfd >= 0 {
		defer func() { _ = unix.Close(pidfd) }()
	}
	if err = errors.Join(err, credErr); err != nil {
		return policy.Actor{}, fmt.Errorf("httpapi: peer credentials: %w", err)
	}
	who := policy.Actor{UID: cred.Uid, GID: cred.Gid, PID: int(cred.Pid), User: userName(cred.Uid)}
	// A peer outside our pid namespace has the number 0.
	if who.PID > 0 {
		who.Program, who.Exe = program(who.PID)
		who.Session = session(who.PID)
		if pidfd >= 0 && !alive(pidfd) {
			who.Program, who.Exe, who.Session = "", "", ""
		}
	}
	return who, nil
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
