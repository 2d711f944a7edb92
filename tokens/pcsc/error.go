package pcsc

import (
	"errors"
	"fmt"
	"strings"
)

// Error is a status of pcscd (pcsc-lite, src/PCSC/pcsclite.h.in). Compare with errors.Is.
// Its text says what to do next.
type Error uint32

// The statuses that pcscd sends, and those that this package finds for the same reason.
const (
	ErrInternal         Error = 0x80100001
	ErrCancelled        Error = 0x80100002
	ErrInvalidHandle    Error = 0x80100003
	ErrInvalidParameter Error = 0x80100004
	ErrNoMemory         Error = 0x80100006
	ErrBufferTooSmall   Error = 0x80100008
	ErrNoReader         Error = 0x80100009 // no reader of that name
	ErrTimeout          Error = 0x8010000A
	ErrSharing          Error = 0x8010000B // in use by another program
	ErrNoCard           Error = 0x8010000C
	ErrProtocol         Error = 0x8010000F // neither T=0 nor T=1 as wanted
	ErrNotReady         Error = 0x80100010
	ErrInvalidValue     Error = 0x80100011
	ErrComm             Error = 0x80100013
	ErrUnknown          Error = 0x80100014
	ErrNotTransacted    Error = 0x80100016 // the exchange with the card failed
	ErrReaderGone       Error = 0x80100017
	ErrNoService        Error = 0x8010001D // there is no pcscd to talk to
	ErrStopped          Error = 0x8010001E // pcscd ended, or hung up, in the middle
	ErrUnsupported      Error = 0x8010001F
	ErrCardUnsupported  Error = 0x80100065
	ErrUnresponsive     Error = 0x80100066 // the card is mute
	ErrUnpowered        Error = 0x80100067
	ErrReset            Error = 0x80100068 // by another program
	ErrRemoved          Error = 0x80100069 // the card, since Connect
	ErrDenied           Error = 0x8010006A // polkit, or the socket's permissions
	success             Error = 0
)

func (e Error) text() string {
	switch e {
	case ErrInternal, ErrUnknown, ErrInvalidParameter, ErrInvalidValue, ErrInvalidHandle, ErrBufferTooSmall:
		return "pcscd refuses the request; unplug the reader and plug it in again, or look at pcscd's log (journalctl -u pcscd)"
	case ErrCancelled:
		return "the wait was cancelled"
	case ErrNoMemory:
		return "pcscd has no room for more; close programs that use cards, then try again"
	case ErrNoReader:
		return "there is no such reader; plug it in, or choose one of those that are there"
	case ErrTimeout:
		return "the reader took too long; try again"
	case ErrSharing:
		return "the card is in use by another program; close that program (gpg's is ended by gpgconf --kill scdaemon), then try again"
	case ErrNoCard:
		return "there is no card in the reader; put one in, then try again"
	case ErrProtocol:
		return "the card does not speak the protocol that was asked for; connect with T=0 and T=1 allowed"
	case ErrNotReady:
		return "the reader is not ready; try again in a moment"
	case ErrComm, ErrNotTransacted:
		return "the exchange with the card failed; take the card out, put it in again, then try again"
	case ErrReaderGone:
		return "the reader was unplugged; plug it in, then try again"
	case ErrNoService:
		return "pcscd cannot be reached; install pcscd, or start it with systemctl start pcscd.socket"
	case ErrStopped:
		return "pcscd ended or hung up; try again, or look at its log (journalctl -u pcscd)"
	case ErrUnsupported:
		return "the reader cannot do that; use another reader"
	case ErrCardUnsupported:
		return "the card is of a kind that pcscd does not know; use another card"
	case ErrUnresponsive:
		return "the card does not answer; take it out, put it in the right way round, then try again"
	case ErrUnpowered:
		return "the card has no power; take it out, put it in again, then try again"
	case ErrReset:
		return "another program has reset the card; select the application again"
	case ErrRemoved:
		return "the card was taken out; put it in, then connect again"
	case ErrDenied:
		return "pcscd does not let this program use cards; run it in an active local session or as root, or add a polkit rule for org.debian.pcsc-lite.access_pcsc and access_card"
	}
	return "unknown status; look at pcscd's log (journalctl -u pcscd)"
}

func (e Error) Error() string { return fmt.Sprintf("pcsc: %s (%08x)", e.text(), uint32(e)) }

// err is nil for success.
func (e Error) err() error {
	if e == success {
		return nil
	}
	return e
}

// Errors found on this side of the socket.
var (
	// ErrSilent says that pcscd did not answer in time. The connection is closed.
	ErrSilent = errors.New("pcsc: pcscd does not answer, or another program does not let go of the card; close programs that use cards, or restart pcscd")
	// ErrMalformed says that an answer breaks the protocol. The connection is closed.
	ErrMalformed = errors.New("pcsc: malformed answer from pcscd; look for an update of this program")
	// ErrVersion says that pcscd and this package have no version of the protocol in
	// common.
	ErrVersion = errors.New("pcsc: pcscd's version is not supported; update pcscd or this program")
	// ErrTooLong says that an APDU fits neither pcscd's limits nor the card's
	// protocol.
	ErrTooLong = errors.New("pcsc: APDU too long")
	// ErrArgument says that a caller passed what cannot be sent.
	ErrArgument = errors.New("pcsc: invalid argument")
	// ErrClosed says that the Session or Card was closed by its owner, or given up
	// because the context of an earlier call ended in the middle of an exchange.
	ErrClosed = errors.New("pcsc: connection is closed; connect again")
)

// CommandError is the error of every failed request.
type CommandError struct {
	// Command is what failed, as a word for people.
	Command string
	// Err is why: an [Error], one of this package's errors, or the context's cause.
	Err error
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("pcsc: %s: %s", e.Command, strings.TrimPrefix(e.Err.Error(), "pcsc: "))
}

// Unwrap returns Err.
func (e *CommandError) Unwrap() error { return e.Err }

// failed says which command an error comes from. Nil stays nil.
func failed(cmd command, err error) error {
	var already *CommandError
	if err == nil || errors.As(err, &already) {
		return err
	}
	return &CommandError{Command: cmd.String(), Err: err}
}
