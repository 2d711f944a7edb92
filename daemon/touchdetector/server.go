package touchdetector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
)

// SocketName is the name of the socket in the user's runtime directory.
const SocketName = "yubikey-touch-detector.socket"

// Bounds of the socket.
const (
	maxClients = 64
	// maxBehind is how many messages wait for a client before it is dropped.
	maxBehind = 32
	// closeGrace is how long clients may take for the last message.
	closeGrace = time.Second
)

// DefaultPath is where clients look for the socket.
func DefaultPath() (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(dir) {
		return "", errors.New("touchdetector: no place for the socket: XDG_RUNTIME_DIR is not set; name a path")
	}
	return filepath.Join(dir, SocketName), nil
}

// Server is the socket: every client gets five bytes for every change, U2F_1 or U2F_0,
// without anything between them, from its connecting on. What clients send is ignored. A
// client that does not read is dropped, and holds up nobody.
type Server struct {
	listener *net.UnixListener
	made     fs.FileInfo // the socket, to remove no other one
	log      *slog.Logger

	mu      sync.Mutex // guards what follows
	clients map[*client]bool
	closed  bool
	wg      sync.WaitGroup
}

type client struct {
	conn     net.Conn
	messages chan string
}

// Listen makes the socket, in the place of one that nobody listens on any more. Only this
// user can connect. log may be nil.
func Listen(path string, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("touchdetector: %w", err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(path, 0o600)
	var made fs.FileInfo
	if err == nil {
		made, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("touchdetector: %w", err), l.Close(), os.Remove(path))
	}
	return &Server{listener: l, made: made, log: log, clients: make(map[*client]bool)}, nil
}

// removeStale removes a socket that its owner left behind.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("touchdetector: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("touchdetector: %s is in the way and no socket; remove it", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("touchdetector: another program listens on %s; stop yubikey-touch-detector, or name another path", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("touchdetector: %w", err)
	}
	return nil
}

// Serve tells clients of the changes that source's events make, as who, until ctx ends or
// source fails. Then it removes the socket. The error is nil when ctx has ended. It must be
// called once.
func (s *Server) Serve(ctx context.Context, source Source, who policy.Actor) error {
	s.wg.Go(s.accept)
	err := Follow(ctx, source, who, func(c Change) { s.send(c.Message()) })
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, s.Close())
}

// Close removes the socket and drops all clients.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if now, err := os.Lstat(s.listener.Addr().String()); err == nil && os.SameFile(now, s.made) {
		_ = os.Remove(s.listener.Addr().String()) // closed all the same
	}
	err := s.listener.Close()
	for c := range s.clients {
		// Those that read get the last message.
		_ = c.conn.SetWriteDeadline(time.Now().Add(closeGrace))
		s.drop(c)
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// accept takes clients until the socket is closed.
func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Error("touch detector socket takes no clients any more", "error", err)
			}
			return
		}
		s.admit(conn)
	}
}

func (s *Server) admit(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.clients) >= maxClients {
		conn.Close()
		return
	}
	c := &client{conn: conn, messages: make(chan string, maxBehind)}
	s.clients[c] = true
	s.wg.Go(func() {
		defer conn.Close()
		for message := range c.messages {
			if _, err := io.WriteString(conn, message); err != nil {
				s.mu.Lock()
				s.drop(c)
				s.mu.Unlock()
				return
			}
		}
	})
	s.wg.Go(func() {
		// Until it hangs up. One that only says that it will send nothing stays.
		if _, err := io.Copy(io.Discard, conn); err == nil && !hungUp(conn) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(c)
	})
}

// send gives every client a message.
func (s *Server) send(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		select {
		case c.messages <- message:
		default:
			s.log.Warn("a client of the touch detector socket does not read; dropped")
			c.conn.Close() // also what is being written
			s.drop(c)
		}
	}
}

// hungUp says whether a peer that sends nothing more does not read either.
func hungUp(conn net.Conn) bool {
	raw, ok := conn.(*net.UnixConn)
	if !ok {
		return true
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	if err := control.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(poll, 0)
		gone = err == nil && poll[0].Revents&unix.POLLHUP != 0
	}); err != nil {
		return true
	}
	return gone
}

// drop needs s.mu. What is queued is still written, except to a client that is gone.
func (s *Server) drop(c *client) {
	if s.clients[c] {
		delete(s.clients, c)
		close(c.messages)
	}
}
