package pinentry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxLine is the length of a line with its end (Assuan, "Server responses").
	maxLine = 1000
	maxText = 800
	// killDelay is how long a program may take to end after SIGTERM.
	killDelay = 2 * time.Second
)

// session is a pinentry that runs. It is for one goroutine.
type session struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	line [maxLine]byte // what was read and is not used yet: it can be a PIN
	have int
}

// start starts a pinentry, which ends when ctx does.
func start(ctx context.Context, program string) (*session, error) {
	cmd := exec.CommandContext(ctx, program)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pinentry: %w", err)
	}
	return &session{cmd: cmd, in: in, out: out}, nil
}

// close ends the program.
func (s *session) close() {
	_, _ = io.WriteString(s.in, "BYE\n")
	s.in.Close()
	clear(s.line[:])
	// It has ended by itself, or is killed.
	timer := time.AfterFunc(killDelay, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait()
}

// do sends a command and returns the data of the answer.
func (s *session) do(command string) ([]byte, error) {
	if _, err := io.WriteString(s.in, command+"\n"); err != nil {
		return nil, fmt.Errorf("pinentry: %w", err)
	}
	return s.response()
}

// response reads to the line that ends an answer. Data is the caller's to wipe.
func (s *session) response() (data []byte, err error) {
	defer func() {
		if err != nil {
			clear(data)
			data = nil
		}
	}()
	for {
		line, err := s.next()
		if err != nil {
			return data, err
		}
		defer clear(line)
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(word) {
		case "OK":
			return data, nil
		case "ERR":
			return data, parseRefusal(string(rest))
		case "D":
			part, err := unescape(rest)
			if err == nil && len(data)+len(part) > maxLine {
				err = errors.New("pinentry: the answer is too long")
			}
			// A larger slice would leave the PIN in the smaller one.
			joined := append(append(make([]byte, 0, len(data)+len(part)), data...), part...)
			clear(data)
			clear(part)
			if data = joined; err != nil {
				return data, err
			}
		case "S", "#", "": // status and comments
		default:
			return data, fmt.Errorf("pinentry: cannot read its answer %q", shorten(word))
		}
	}
}

// next reads a line.
func (s *session) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(s.line[:s.have], '\n'); i >= 0 {
			line := bytes.Clone(bytes.TrimSuffix(s.line[:i], []byte("\r")))
			rest := copy(s.line[:], s.line[i+1:s.have])
			clear(s.line[rest:s.have])
			s.have = rest
			return line, nil
		}
		if s.have == len(s.line) {
			return nil, errors.New("pinentry: a line is too long")
		}
		n, err := s.out.Read(s.line[s.have:])
		s.have += n
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it has ended")
			}
			return nil, fmt.Errorf("pinentry: %w", err)
		}
	}
}

// unescape undoes percent escaping into bytes of its own.
func unescape(text []byte) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out = append(out, text[i])
			continue
		}
		var b [1]byte
		if i+2 >= len(text) {
			return out, errors.New("pinentry: an escape is cut")
		}
		if _, err := hex.Decode(b[:], text[i+1:i+3]); err != nil {
			return out, errors.New("pinentry: an escape is not hexadecimal")
		}
		out = append(out, b[0])
		i += 2
	}
	return out, nil
}

// refusal is an ERR line: a code of libgpg-error, the low 16 bits of the number, and words.
type refusal struct {
	code int
	text string
}

// Codes of libgpg-error.
const (
	codeTimeout      = 62
	codeCanceled     = 99
	codeNotConfirmed = 114
)

func parseRefusal(rest string) error {
	number, text, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return errors.New("pinentry: an error without a number")
	}
	return &refusal{int(n & 0xFFFF), text}
}

func (r *refusal) Error() string {
	switch r.code {
	case codeCanceled:
		return "the person gave up"
	case codeTimeout:
		return "nobody answered in time"
	}
	return fmt.Sprintf("pinentry: %s (code %d)", shorten([]byte(r.text)), r.code)
}

// no says that the person does not agree.
func (r *refusal) no() bool { return r.code == codeNotConfirmed }

func shorten(word []byte) string { return string(word[:min(len(word), 60)]) }
