package pcsc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Session is a connection to pcscd with a context of PC/SC on it. While it is open pcscd
// does not go to sleep. Methods may be called from several goroutines; requests are sent
// one after the other, and [Session.Wait] holds up the others (use another Session).
//
// Most callers want [Client.Readers], [Client.Watch] and [Client.Connect], which look after
// a Session by themselves.
type Session struct {
	client  *Client
	conn    net.Conn
	context uint32      // pcscd's number for us
	closed  atomic.Bool // by Close

	turn    chan struct{} // holds a value during an exchange, and guards what follows
	err     error         // why conn is useless, if it is
	minor   uint32        // the version agreed on
	server  uint32        // the server's newest
	entries int           // length of the list of states in versions before 4:6, 0 until known
}

// scopeSystem is SCARD_SCOPE_SYSTEM, the only one that pcscd knows.
const scopeSystem = 2

// Open connects to pcscd and establishes a context. The error is [ErrNoService] where there
// is no pcscd, [ErrDenied] where it does not let us in, [ErrVersion], [ErrSilent], or the
// context's cause.
func (c *Client) Open(ctx context.Context) (*Session, error) {
	s, err := c.handshake(ctx)
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, cmdEstablish, c.timeout(), func(w wire) error {
		b, err := w.call(cmdEstablish, structure(scopeSystem, 0, 0), establishSize)
		if err != nil {
			return err
		}
		s.context = field(b, 4)
		return status(b)
	})
	if err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

// Version returns the minor version of the protocol that is spoken, and pcscd's newest.
func (s *Session) Version() (spoken, newest int) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return int(s.minor), int(s.server)
}

// Close ends the session, what runs on it, and its Cards' connections: pcscd resets a card
// whose transaction was open and leaves the others as they are. Only the first call does
// anything.
func (s *Session) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		// Nothing runs: pcscd has let go of all cards when it has answered.
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		_ = s.exchange(ctx, cleanupTimeout, func(w wire) error {
			_, err := w.call(cmdRelease, structure(s.context, 0), releaseSize)
			return err
		})
		cancel()
		<-s.turn
	default:
	}
	return s.conn.Close()
}

// do makes one exchange, in turn. A status among the errors of talk leaves the connection
// in step; after any other error it is closed.
func (s *Session) do(ctx context.Context, cmd command, limit time.Duration, talk func(wire) error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return failed(cmd, context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	if s.closed.Load() {
		return failed(cmd, ErrClosed)
	}
	return failed(cmd, s.exchange(ctx, limit, talk))
}

// exchange is do for who has the turn.
func (s *Session) exchange(ctx context.Context, limit time.Duration, talk func(wire) error) error {
	switch {
	case s.err != nil:
		return s.err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if err := s.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return s.judge(ctx, err)
	}
	release := s.until(ctx)
	err := talk(wire{s.conn})
	release()
	return s.judge(ctx, err)
}

// past is a deadline that has passed on any clock.
var past = time.Unix(1, 0)

// until ends reads and writes when the context ends. After release it has no effect any
// more, so that a new deadline stays.
func (s *Session) until(ctx context.Context) (release func()) {
	ran := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ran)
		_ = s.conn.SetDeadline(past)
	})
	return func() {
		if !stop() {
			<-ran
		}
	}
}

// judge finds out what the error of an exchange means, and closes a connection that is out
// of step.
func (s *Session) judge(ctx context.Context, err error) error {
	var refused Error
	if err == nil || errors.As(err, &refused) || errors.Is(err, ErrVersion) {
		return err
	}
	s.conn.Close()
	s.err = ErrClosed
	switch {
	case s.closed.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSilent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		s.err = ErrStopped
		return ErrStopped
	}
	return err
}
