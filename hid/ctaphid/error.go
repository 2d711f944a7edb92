package ctaphid

import (
	"errors"
	"fmt"
	"strings"
)

// Error is the code of a CTAPHID_ERROR message (CTAP 2.2, section 11.2.9.1.6).
// Compare with errors.Is.
type Error byte

// The error codes.
const (
	ErrInvalidCmd     Error = 0x01
	ErrInvalidPar     Error = 0x02
	ErrInvalidLen     Error = 0x03
	ErrInvalidSeq     Error = 0x04
	ErrMsgTimeout     Error = 0x05
	ErrChannelBusy    Error = 0x06
	ErrLockRequired   Error = 0x0A
	ErrInvalidChannel Error = 0x0B
	ErrOther          Error = 0x7F
)

func (e Error) text() string {
	switch e {
	case ErrInvalidCmd:
		return "invalid command"
	case ErrInvalidPar:
		return "invalid parameter"
	case ErrInvalidLen:
		return "invalid message length"
	case ErrInvalidSeq:
		return "packet out of sequence"
	case ErrMsgTimeout:
		return "message timed out"
	case ErrChannelBusy:
		return "key is busy with another channel"
	case ErrLockRequired:
		return "command requires the channel lock"
	case ErrInvalidChannel:
		return "invalid channel"
	case ErrOther:
		return "unspecified error"
	}
	return "unknown error"
}

func (e Error) Error() string { return fmt.Sprintf("ctaphid: %s (0x%02x)", e.text(), byte(e)) }

// Errors found on this side of the wire.
var (
	// ErrSilent says that the key sent nothing for the time it is allowed to.
	ErrSilent = errors.New("ctaphid: key is silent")
	// ErrMalformed says that the key's answer breaks the protocol. Where there
	// is an [Error] that names the fault, the error wraps it too.
	ErrMalformed = errors.New("ctaphid: malformed answer")
	// ErrTooLong says that a message does not fit the device's reports.
	ErrTooLong = errors.New("ctaphid: message too long")
	// ErrReportSize says that a device's reports are not 8 to 64 bytes long.
	ErrReportSize = errors.New("ctaphid: unsupported report size")
	// ErrArgument says that a caller passed what the command cannot carry.
	ErrArgument = errors.New("ctaphid: invalid argument")
)

// CommandError is the error of every failed command of a [Channel].
type CommandError struct {
	// Command is the command that failed.
	Command Command
	// FromKey is true when the key itself refused with an ERROR message;
	// then Err is an [Error].
	FromKey bool
	// Err is what went wrong: an [Error], one of this package's errors, the
	// device's error (hid.ErrGone, …), or the context's cause.
	Err error
}

func (e *CommandError) Error() string {
	says := ""
	if e.FromKey {
		says = "key answers: "
	}
	return fmt.Sprintf("ctaphid: %v: %s%s", e.Command, says, strings.TrimPrefix(e.Err.Error(), "ctaphid: "))
}

// Unwrap returns Err.
func (e *CommandError) Unwrap() error { return e.Err }
