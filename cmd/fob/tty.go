package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/fobd/fobd/daemon/api"
)

// ttyPath is the controlling terminal, which stays reachable when the standard streams
// are redirected.
const ttyPath = "/dev/tty"

// maxAnswer bounds what is typed or read in one line, in bytes.
const maxAnswer = 255

// errGaveUp is the answer of a person who presses Ctrl-C or Ctrl-D.
var errGaveUp = &api.Error{Code: api.CodeCancelled, Message: "cancelled at the terminal"}

// openTTY opens the controlling terminal.
func openTTY() (*os.File, error) {
	f, err := os.OpenFile(ttyPath, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("no terminal: %w", err)
	}
	return f, nil
}

// readTTY shows question on the terminal and reads the line that answers it. It shows
// what is typed only with echo, and puts the terminal back in order before it returns,
// also when ctx ends.
func readTTY(ctx context.Context, f *os.File, question string, echo bool) (line []byte, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	// In raw mode this program sees Ctrl-C itself and can restore the terminal.
	var old *term.State
	var failed error
	if err := conn.Control(func(fd uintptr) { old, failed = term.MakeRaw(int(fd)) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, fmt.Errorf("terminal: %w", failed)
	}
	defer func() {
		fmt.Fprint(f, "\r\n")
		_ = conn.Control(func(fd uintptr) { _ = term.Restore(int(fd), old) })
		if err != nil {
			clear(line)
			line = nil
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	fmt.Fprint(f, clean(question))

	// All of line's room is there from the start: growing would leave copies of a PIN behind.
	line = make([]byte, 0, maxAnswer+1)
	var b [1]byte
	defer clear(b[:])
	for {
		if _, err := f.Read(b[:]); err != nil {
			if ctx.Err() != nil {
				return line, context.Cause(ctx)
			}
			return line, fmt.Errorf("terminal: %w", err)
		}
		switch c := b[0]; c {
		case '\r', '\n':
			return line, nil
		case 0x03, 0x04: // Ctrl-C, Ctrl-D
			return line, errGaveUp
		case 0x15: // Ctrl-U
			for len(line) > 0 {
				line = rubOut(f, line, echo)
			}
		case 0x08, 0x7f:
			line = rubOut(f, line, echo)
		default:
			if c < 0x20 {
				continue
			}
			if len(line) >= maxAnswer {
				return line, errors.New("terminal: too long a line")
			}
			line = append(line, c)
			if echo {
				_, _ = f.Write(b[:])
			}
		}
	}
}

// rubOut takes the last character off line.
func rubOut(f *os.File, line []byte, echo bool) []byte {
	if len(line) == 0 {
		return line
	}
	_, n := utf8.DecodeLastRune(line)
	clear(line[len(line)-n:])
	if echo {
		fmt.Fprint(f, "\b \b")
	}
	return line[:len(line)-n]
}
