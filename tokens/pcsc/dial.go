package pcsc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// dial connects to pcscd, without a word yet.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if c.Dial != nil {
		conn, err := c.Dial(ctx)
		return conn, explainDial(ctx, "dialled", err)
	}
	path := c.socket()
	d := net.Dialer{Timeout: c.timeout()}
	conn, err := d.DialContext(ctx, "unix", path)
	return conn, explainDial(ctx, path, err)
}

// explainDial tells a machine without pcscd, one that does not let us in, and one that
// hangs apart.
func explainDial(ctx context.Context, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: there is no socket %s", ErrNoService, path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens at %s", ErrNoService, path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: may not open %s", ErrDenied, path)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EAGAIN): // the backlog is full
		return ErrSilent
	}
	return fmt.Errorf("%w: %w", ErrNoService, err)
}

// handshake dials and agrees on a version.
func (c *Client) handshake(ctx context.Context) (*Session, error) {
	s, err := c.greet(ctx)
	if errors.Is(err, errHungUp) {
		// polkit's no is that pcscd hangs up without a word (src/winscard_svc.c,
		// ContextThread). So does one that has just decided to end for want of work:
		// systemd starts it again, which polkit's no survives.
		if s, err = c.greet(ctx); errors.Is(err, errHungUp) {
			err = ErrDenied
		}
	}
	if err != nil {
		return nil, failed(cmdVersion, err)
	}
	return s, nil
}

// errHungUp says that pcscd hung up before the first answer.
var errHungUp = errors.New("pcsc: hung up")

func (c *Client) greet(ctx context.Context) (*Session, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{client: c, conn: conn, turn: make(chan struct{}, 1)}
	err = s.do(ctx, cmdVersion, c.timeout(), func(w wire) error {
		var err error
		s.minor, s.server, err = w.negotiate(c.minor.Load())
		return err
	})
	switch {
	case err == nil:
		c.minor.Store(s.minor)
		return s, nil
	case errors.Is(err, ErrStopped):
		err = errHungUp
	}
	conn.Close()
	return nil, err
}
