package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// orderTimeout bounds how long an order may take, such as waiting for the kernel.
const orderTimeout = 10 * time.Second

// control serves the control socket: one line in, one line out, any number of them on
// any number of connections.
type control struct {
	key  *key
	quit func() // ends the program; the answer is sent first
}

// serve accepts connections until ctx ends, and waits for them.
func (c *control) serve(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		wg.Go(func() { c.talk(ctx, conn) })
	}
}

// talk follows the orders of one connection.
func (c *control) talk(ctx context.Context, conn net.Conn) {
	defer hangUp(conn)
	// What was answered already is on its way: only reading ends.
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, maxLine+2), maxLine+2)
	for lines.Scan() {
		o, err := parseLine(lines.Text())
		details := ""
		if err == nil && o.verb != "quit" && o.verb != "observe" {
			limited, cancel := context.WithTimeout(ctx, orderTimeout)
			details, err = c.key.do(limited, o)
			cancel()
		}
		var follow func(context.Context, func(string) error) error
		if err == nil && o.verb == "observe" {
			if f, ok := c.key.auth.(fixtures); ok {
				follow = f.observe() // from before the answer on
			} else {
				err = errNoFixtures
			}
		}
		answer := "ok"
		if details != "" {
			answer += " " + details
		}
		if err != nil {
			answer = "error: " + err.Error()
		}
		if _, err := fmt.Fprintln(conn, answer); err != nil {
			return
		}
		switch {
		case err != nil:
		case o.verb == "quit":
			c.quit()
			return
		case o.verb == "observe":
			c.observe(ctx, conn, follow)
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		fmt.Fprintln(conn, "error: line is too long")
	}
}

// observe sends what the key is asked, a line each, until the other side hangs up. It takes no
// orders any more.
func (c *control) observe(ctx context.Context, conn net.Conn, follow func(context.Context, func(string) error) error) {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }()
	defer cancel()
	reading.Go(func() {
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	})
	_ = follow(ctx, func(line string) error {
		if err := conn.SetWriteDeadline(time.Now().Add(orderTimeout)); err != nil {
			return err
		}
		_, err := fmt.Fprintln(conn, line)
		return err
	})
}

// hangUp closes a connection so that the other side gets all answers: data that nobody
// has read would make the kernel throw them away.
func hangUp(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if c, ok := conn.(*net.UnixConn); ok {
		_ = c.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, conn, 1<<20)
	_ = conn.Close()
}
