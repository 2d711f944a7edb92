package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

// Timeouts and limits of the server. No timeout touches a request that has arrived:
// people take their time with keys.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Serve answers the connections of a listener until ctx ends or the listener fails. At
// the end it takes no more connections, ends the streams of events, and waits for the
// running requests, at most the configured time; then it hangs up on them. To end them early, cancel
// their operations in the engine. It closes the listener, and returns nil after ctx has ended.
// A handler serves once.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(h.cfg.Log.Handler(), slog.LevelDebug),
		ConnContext:       ConnContext,
	}
	failed := make(chan error, 1)
	go func() {
		failed <- server.Serve(&countingListener{
			Listener: l, log: h.cfg.Log, connections: frontend.Tally{Max: h.cfg.MaxConnections, MaxUser: h.cfg.MaxUserConnections},
		})
	}()
	select {
	case err := <-failed:
		h.closeTails()
		_ = server.Close()
		return fmt.Errorf("httpapi: %w", err)
	case <-ctx.Done():
	}
	h.closeTails()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		h.cfg.Log.Warn("requests did not end in time; hanging up", "timeout", h.cfg.ShutdownTimeout)
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("httpapi: %w", err)
	}
	return nil
}

// countingListener asks once per connection who it is, and limits how many a user has, so that
// one program cannot lock the others out.
type countingListener struct {
	net.Listener
	log *slog.Logger

	mu          sync.Mutex // guards connections
	connections frontend.Tally
}

// countedConn is a connection whose other end is known.
type countedConn struct {
	net.Conn
	identity func() policy.Actor
	closed   func()
}

// busyBody is the answer to a connection over the limit.
const busyBody = `{"error":{"code":"too-many","message":"too many connections","hint":"close idle ones"}}` + "\n"

// Accept implements [net.Listener]. A connection that cannot be served is answered and
// closed here, so that the error of the listener itself is the only one to return.
func (l *countingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who, identity, err := peer(c)
		if err != nil {
			l.log.Warn("connection refused", "error", err)
			_ = c.Close()
			continue
		}
		if l.count(who.UID) {
			return &countedConn{Conn: c, identity: identity, closed: sync.OnceFunc(func() { l.release(who.UID) })}, nil
		}
		l.log.Warn("connection refused: too many", "user", who.UID, "pid", who.PID)
		// It fits into the empty socket buffer, so it cannot block.
		_, _ = fmt.Fprintf(c, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
			typeJSON, len(busyBody))
		_, _ = io.WriteString(c, busyBody)
		_ = c.Close()
	}
}

func (l *countingListener) count(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, _ := l.connections.Enter(uid)
	return ok
}

func (l *countingListener) release(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connections.Leave(uid)
}

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer while the client still sends.
func (c *countedConn) CloseWrite() error {
	if u, ok := c.Conn.(*net.UnixConn); ok {
		return u.CloseWrite()
	}
	return nil
}
