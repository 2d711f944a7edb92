package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

type actorKey struct{}

// WithActor returns a context that says who asks. It is for tests and for servers that
// know their peer by other means than [ConnContext].
func WithActor(ctx context.Context, who policy.Actor) context.Context {
	return withIdentity(ctx, func() policy.Actor { return who })
}

func withIdentity(ctx context.Context, who func() policy.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// ActorFrom returns who asks, if that is known.
func ActorFrom(ctx context.Context) (policy.Actor, bool) {
	who, ok := ctx.Value(actorKey{}).(func() policy.Actor)
	if !ok {
		return policy.Actor{}, false
	}
	return who(), true
}

// ConnContext puts who opened the connection into its context; it is made for
// [http.Server.ConnContext]. Without an answer of the kernel the context stays as it
// is, and every request is denied.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if known, ok := c.(*countedConn); ok {
		return withIdentity(ctx, known.identity)
	}
	_, identity, err := peer(c)
	if err != nil {
		return ctx
	}
	return withIdentity(ctx, identity)
}

// peer asks the kernel who opened a Unix connection: the credentials of the moment of
// connect(2), as unix(7) has it for SO_PEERCRED. These are who. What else is known of the process, identity
// tells: the look at it has begun, and can take a while where the process makes it so.
func peer(c net.Conn) (who policy.Actor, identity func() policy.Actor, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return who, nil, errors.New("httpapi: the connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return who, nil, fmt.Errorf("httpapi: %w", err)
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
	closePidfd := func() {
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
	}
	if err = errors.Join(err, credErr); err != nil {
		closePidfd()
		return who, nil, fmt.Errorf("httpapi: peer credentials: %w", err)
	}
	who = policy.Actor{UID: cred.Uid, GID: cred.Gid, PID: int(cred.Pid), Via: "socket"}
	identity = sync.OnceValue(func() policy.Actor {
		defer closePidfd()
		return frontend.Identify(who, nil, pidfd)
	})
	go identity()
	return who, identity, nil
}
