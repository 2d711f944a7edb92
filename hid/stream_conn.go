package hid

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// connection is what a [Device] over a network connection has whether reports are packets or follow
// each other in a stream. It owns conn.
type connection struct {
	conn   net.Conn
	output int // size of a report that is written
	closed atomic.Bool
	once   sync.Once
}

// Write sends a report. With an error, n bytes of it may be on their way.
func (c *connection) Write(report []byte) (n int, err error) {
	if len(report) != c.output {
		return 0, sizeError(len(report), c.output)
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
		return 0, c.explain("write", err)
	}
	n, err = c.conn.Write(report)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, ErrWriteTimeout
	}
	return n, c.explain("write", err)
}

func (c *connection) SetReadDeadline(t time.Time) error {
	if err := c.conn.SetReadDeadline(t); err != nil {
		return c.explain("set deadline", err)
	}
	return nil
}

func (c *connection) Close() error {
	var err error
	c.once.Do(func() {
		c.closed.Store(true)
		err = c.conn.Close()
	})
	return err
}

func (c *connection) explain(verb string, err error) error {
	if c.closed.Load() {
		return errClosed
	}
	return explainConn(verb, err)
}

// explainConn turns the errors of a connection into those of [Device].
func explainConn(verb string, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errDeadline
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.ECONNREFUSED):
		return ErrGone
	}
	return fmt.Errorf("hid: %s: %w", verb, err)
}
