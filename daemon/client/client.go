// Package client talks to a running fobd through its Unix socket.
//
// It is for programs written in Go that want something of a security key, first of
// all for the command line fob. It needs the standard library and daemon/api only.
//
// [Client.Do] runs one operation. The person behind the program is a [Prompter]: what
// the daemon wants of them arrives as calls on it, what they say goes back to the
// daemon. Ending the context hangs up, and the daemon then cancels the operation on
// the key.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// SystemSocket is where the system's daemon listens.
const SystemSocket = "/run/fobd/fobd.sock"

// EnvSocket names the environment variable that overrides the place of the socket.
const EnvSocket = "FOBD_SOCKET"

// maxSocketPath is the length of sockaddr_un.sun_path without its closing zero.
const maxSocketPath = 107

// host is what the daemon wants to see in the Host header: a web page cannot send it.
const host = "fobd"

// DefaultSocket gives the socket that a program uses when nothing else was said:
// $FOBD_SOCKET, else $XDG_RUNTIME_DIR/fobd/fobd.sock when it exists, else [SystemSocket].
func DefaultSocket() string {
	if path := os.Getenv(EnvSocket); path != "" {
		return path
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		path := filepath.Join(dir, "fobd", "fobd.sock")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return SystemSocket
}

// Client is a connection to the daemon, opened when it is first needed. Its methods
// may be called from several goroutines.
type Client struct {
	socket string
	http   *http.Client
}

// New returns a client of the daemon at a socket; an empty path means [DefaultSocket].
// It does not connect.
func New(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket()
	}
	c := &Client{socket: socket}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:        c.dial,
			DisableCompression: true,
			MaxIdleConns:       4,
			IdleConnTimeout:    30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Socket returns the path that this client uses.
func (c *Client) Socket() string { return c.socket }

// Close drops connections that are idle. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if len(c.socket) > maxSocketPath {
		return nil, fmt.Errorf("path is %d bytes long, at most %d work", len(c.socket), maxSocketPath)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.socket)
}

// ConnectError says that the daemon cannot be reached.
type ConnectError struct {
	Socket string
	Err    error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("client: cannot reach fobd at %s: %v", e.Socket, reason(e.Err))
}

// Unwrap gives the error of the system.
func (e *ConnectError) Unwrap() error { return e.Err }

// Hint says what a person can do about it.
func (e *ConnectError) Hint() string {
	scope := "systemctl --user"
	if e.Socket == SystemSocket {
		scope = "sudo systemctl"
	}
	switch {
	case errors.Is(e.Err, os.ErrPermission):
		return "you may not open the socket; ask to be put into its group, or run a daemon of your own: " +
			"systemctl --user start fobd.socket"
	case len(e.Socket) > maxSocketPath:
		return "choose a shorter path"
	}
	return "is fobd running? start it with: " + scope + " start fobd.socket"
}

// reason leaves out the layers of net/http and net that only repeat the path.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		var sys *os.SyscallError
		if errors.As(op.Err, &sys) {
			return sys.Err
		}
		return op.Err
	}
	return err
}
