package pcsctest

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dial connects to an address in the network namespace of the stack.
func (s *Stack) dial(ctx context.Context, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else gets
		// one that is in the wrong namespace. The address is a number, so the
		// socket is made on this thread.
		runtime.LockOSThread()
		conn, err := s.enterAndDial(ctx, address)
		results <- result{conn, err}
	}()
	r := <-results
	return r.conn, r.err
}

func (s *Stack) enterAndDial(ctx context.Context, address string) (net.Conn, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", s.shell.Process.Pid))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("setns: %w", err)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}
