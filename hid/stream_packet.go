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

// NewPackets returns a device at the other end of a connection that keeps messages apart, such
// as a Unix socket of type SEQPACKET or a connected UDP socket: a report is a packet. It is
// otherwise like [NewStream]. A packet of another size is no report, and is dropped.
func NewPackets(conn net.Conn, inputSize, outputSize int) Device {
	return &packets{
		conn: conn,
		// One more, to see that a packet is too long.
		packet: make([]byte, reportSize(inputSize)+1),
		output: reportSize(outputSize),
	}
}

type packets struct {
	conn   net.Conn
	packet []byte // for Read alone
	output int
	closed atomic.Bool
	once   sync.Once
}

func (p *packets) Read(report []byte) (int, error) {
	size := len(p.packet) - 1
	if len(report) < size {
		return 0, errShortBuffer
	}
	for {
		n, err := p.conn.Read(p.packet)
		if err != nil {
			return 0, p.explain("read", err)
		}
		if n == size {
			return copy(report, p.packet[:size]), nil
		}
	}
}

func (p *packets) Write(report []byte) (int, error) {
	if len(report) != p.output {
		return 0, sizeError(len(report), p.output)
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
		return 0, p.explain("write", err)
	}
	n, err := p.conn.Write(report)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, ErrWriteTimeout
	}
	return 0, p.explain("write", err)
}

func (p *packets) explain(verb string, err error) error {
	if p.closed.Load() {
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

func (p *packets) SetReadDeadline(t time.Time) error {
	if err := p.conn.SetReadDeadline(t); err != nil {
		return p.explain("set deadline", err)
	}
	return nil
}

func (p *packets) ReportSizes() (input, output int) { return len(p.packet) - 1, p.output }

func (p *packets) Close() error {
	var err error
	p.once.Do(func() {
		p.closed.Store(true)
		err = p.conn.Close()
	})
	return err
}
