package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/internal/frontend"
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
	return frontend.Identify(policy.Actor{UID: cred.Uid, GID: cred.Gid, PID: int(cred.Pid), Via: "socket"}, nil, pidfd), nil
}
