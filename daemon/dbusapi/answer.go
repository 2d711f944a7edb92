package dbusapi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/api"
)

// asked is who was asked something: an operation's caller, or an agent.
type asked interface {
	kind(id string) api.PromptKind
}

// reading is how an answer is made of a call's second argument.
type reading struct {
	kinds []api.PromptKind
	body  func(v any) []byte
}

var (
	choice = &reading{[]api.PromptKind{api.PromptChoose, api.PromptConsent}, func(v any) []byte {
		i, _ := v.(uint32)
		return strconv.AppendUint(nil, uint64(i), 10)
	}}
	consent = &reading{[]api.PromptKind{api.PromptConfirm}, func(v any) []byte {
		yes, _ := v.(bool)
		return strconv.AppendBool(nil, yes)
	}}
	resign = &reading{kinds: []api.PromptKind{api.PromptPIN, api.PromptNewPIN, api.PromptCode, api.PromptChoose, api.PromptConfirm, api.PromptConsent}}
)

// answer answers the prompt that the first argument names. A PIN or a code, which how being nil means, comes
// through the file descriptor that is the second one.
func (c *call) answer(to asked, how *reading) error {
	id, _ := c.msg.Body[0].(string)
	kind := to.kind(id)
	if kind == "" {
		return notFound("prompt")
	}
	kinds := []api.PromptKind{api.PromptPIN, api.PromptNewPIN, api.PromptCode}
	if how != nil {
		kinds = how.kinds
	}
	fits := false
	for _, k := range kinds {
		fits = fits || k == kind
	}
	if !fits {
		return &api.Error{Code: api.CodeInvalidRequest, Message: "a prompt of the kind " + string(kind) + " is not answered in this way"}
	}
	who, err := c.from.identify()
	if err != nil {
		return err
	}
	var body []byte
	switch {
	case how == nil:
		fd, ok := c.msg.Body[1].(dbus.UnixFD)
		if !ok {
			return &api.Error{Code: api.CodeInvalidRequest, Message: "no file descriptor came with the answer"}
		}
		if body, err = readSecret(int(fd), c.s.cfg.SecretTimeout); err != nil {
			return err
		}
		defer clear(body)
	case how.body != nil:
		body = how.body(c.msg.Body[1])
	}
	return c.s.engine.Answer(who, id, body, how == resign)
}

// maxSecret is far above what a PIN has: 63 bytes (CTAP 2.2, section 6.5.1).
const maxSecret = 255

// readSecret reads what a caller has written, to its end. It takes files only that cannot keep it
// waiting, and leaves fd open.
func readSecret(fd int, timeout time.Duration) ([]byte, error) {
	refuse := func(format string, args ...any) ([]byte, error) {
		return nil, &api.Error{
			Code: api.CodeInvalidRequest, Message: fmt.Sprintf(format, args...),
			Hint: "pass the reading end of a pipe, write the PIN into the other one, and close it",
		}
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return refuse("the file descriptor is of no use: %v", err)
	}
	// One byte more, to notice what is too long.
	buf := make([]byte, maxSecret+1)
	var n int
	var err error
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
			return refuse("the file descriptor is a file on a disk")
		}
		n, err = unix.Pread(fd, buf, 0)
	case unix.S_IFIFO, unix.S_IFSOCK:
		n, err = readStream(fd, buf, timeout)
	default:
		return refuse("the file descriptor is no pipe, socket or memfd")
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		clear(buf)
		return refuse("nobody closed the other end of the file descriptor within %v", timeout)
	case err != nil:
		clear(buf)
		return refuse("the file descriptor cannot be read: %v", err)
	case n > maxSecret:
		clear(buf)
		return nil, &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("the answer is longer than %d bytes", maxSecret)}
	}
	return buf[:n], nil
}

// readStream reads a pipe or a socket to its end, or until buf is full.
func readStream(fd int, buf []byte, timeout time.Duration) (int, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.SetNonblock(own, true); err != nil {
		_ = unix.Close(own)
		return 0, err
	}
	f := os.NewFile(uintptr(own), "secret")
	defer func() { _ = f.Close() }()
	if err := f.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(f, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
