package usbip

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// DefaultPort is the TCP port that the usbip tool asks (usbip(8)).
const DefaultPort = 3240

// Limits of a server.
const (
	maxConns         = 16
	operationTimeout = 10 * time.Second
)

// Listen listens on TCP at a loopback address with a port ("127.0.0.1:3240"), and refuses any
// other: USB/IP asks nobody who he is. A port of 0 stands for a free one.
func Listen(address string) (net.Listener, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("usbip: %q is no address with a port, such as 127.0.0.1:%d", address, DefaultPort)
	}
	if !a.Addr().IsLoopback() {
		return nil, fmt.Errorf("usbip: %s is not a loopback address, and whoever reaches it could use the key", a.Addr())
	}
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("usbip: %w", err)
	}
	return l, nil
}

// Serve answers those who connect to l, at most 16 at a time, until ctx ends (then it returns
// the context's cause), l fails or the device is closed (nil). It closes l. One of them can
// have the device.
func (d *Device) Serve(ctx context.Context, l net.Listener) error {
	ctx, stop := d.until(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	defer l.Close()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	turns := make(chan struct{}, maxConns)
	for ctx.Err() == nil {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		conn, err := l.Accept()
		switch {
		case err == nil:
			wg.Go(func() {
				defer func() { <-turns }()
				_ = d.ServeConn(ctx, conn)
			})
		case ctx.Err() == nil:
			return fmt.Errorf("usbip: %w", err)
		}
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errUnplugged) {
		return cause
	}
	return nil
}

// ServeConn answers one host, and closes conn, until the host hangs up (nil), breaks the
// protocol, or ctx or the device ends.
func (d *Device) ServeConn(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	if !d.enter() {
		return errUnplugged
	}
	defer d.conns.Done()
	ctx, stop := d.until(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	r := bufio.NewReader(conn)
	s, err := d.operations(conn, r)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return s.run(ctx, r)
}

// operations answers what a host asks before it has imported the device; then it returns the
// session.
func (d *Device) operations(conn net.Conn, r *bufio.Reader) (*session, error) {
	for {
		if err := conn.SetDeadline(time.Now().Add(operationTimeout)); err != nil {
			return nil, fmt.Errorf("usbip: %w", err)
		}
		code, err := readOperation(r)
		if err != nil {
			return nil, err
		}
		var answer []byte
		var s *session
		switch code {
		case opRequestDevlist:
			answer = appendOperation(nil, opReplyDevlist, opOK)
			answer = append(answer, 0, 0, 0, 1)
			answer = append(d.appendDevice(answer), classHID, 0, 0, 0)
		case opRequestImport:
			if answer, s, err = d.imported(conn, r); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%w: operation %#04x", errProtocol, code)
		}
		if _, err = conn.Write(answer); err == nil && s != nil {
			err = conn.SetDeadline(time.Time{})
		}
		if err != nil {
			if s != nil {
				d.release()
			}
			return nil, fmt.Errorf("usbip: %w", err)
		}
		if s != nil {
			return s, nil
		}
	}
}

// imported answers OP_REQ_IMPORT; the session is nil when the host does not get the device.
func (d *Device) imported(conn net.Conn, r *bufio.Reader) ([]byte, *session, error) {
	var name [busIDSize]byte
	if _, err := io.ReadFull(r, name[:]); err != nil {
		return nil, nil, fmt.Errorf("usbip: %w", io.ErrUnexpectedEOF)
	}
	if text, _, _ := bytes.Cut(name[:], []byte{0}); string(text) != BusID {
		return appendOperation(nil, opReplyImport, opNone), nil, nil
	}
	s := newSession(d, conn)
	if !d.claim(s) {
		return appendOperation(nil, opReplyImport, opBusy), nil, nil
	}
	return d.appendDevice(appendOperation(nil, opReplyImport, opOK)), s, nil
}
