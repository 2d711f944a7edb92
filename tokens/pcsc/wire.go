package pcsc

import (
	"encoding/binary"
	"fmt"
	"io"
)

// command is a request's number (pcsc-lite, src/winscard_msg.h, enum pcsc_msg_commands).
type command uint32

const (
	cmdEstablish   command = 0x01
	cmdRelease     command = 0x02
	cmdConnect     command = 0x04
	cmdReconnect   command = 0x05
	cmdDisconnect  command = 0x06
	cmdBegin       command = 0x07
	cmdEnd         command = 0x08
	cmdTransmit    command = 0x09
	cmdControl     command = 0x0A
	cmdStatus      command = 0x0B
	cmdCancel      command = 0x0D
	cmdVersion     command = 0x11
	cmdStates      command = 0x12
	cmdWait        command = 0x13
	cmdStopWaiting command = 0x14
	cmdStatesSize  command = 0x16 // since 4:6
	cmdStatesArray command = 0x17 // since 4:6
)

func (c command) String() string {
	switch c {
	case cmdEstablish, cmdVersion:
		return "open"
	case cmdRelease:
		return "release"
	case cmdConnect:
		return "connect"
	case cmdReconnect:
		return "reconnect"
	case cmdDisconnect:
		return "disconnect"
	case cmdBegin:
		return "begin transaction"
	case cmdEnd:
		return "end transaction"
	case cmdTransmit:
		return "transmit"
	case cmdControl:
		return "control"
	case cmdStatus:
		return "status"
	case cmdCancel:
		return "cancel"
	case cmdStates, cmdStatesSize, cmdStatesArray:
		return "list readers"
	case cmdWait, cmdStopWaiting:
		return "wait for changes"
	}
	return fmt.Sprintf("command %d", uint32(c))
}

// Sizes of the structures, in bytes. Where an answer has a status alone, the request has
// room for it all the same.
const (
	headerSize    = 8
	versionSize   = 12
	establishSize = 12
	releaseSize   = 8
	connectSize   = 152
	reconnectSize = 24
	endSize       = 12
	beginSize     = 8
	transmitSize  = 32
	controlSize   = 24
	statusSize    = 8
	cancelSize    = 8
	waitSize      = 8
	nameSize      = 128
)

// maxData is the most that a request or an answer carries besides its structure
// (MAX_BUFFER_SIZE_EXTENDED). pcscd hangs up on more.
const maxData = 65548

// native is the byte order of both ends: they are on one machine.
var native = binary.NativeEndian

// field reads the 32-bit number at an offset.
func field(b []byte, offset int) uint32 { return native.Uint32(b[offset:]) }

// status reads a structure's rv, which is its last field in most.
func status(b []byte) error { return Error(field(b, len(b)-4)).err() }

// structure is what many requests are: 32-bit numbers, one after the other.
func structure(fields ...uint32) []byte {
	b := make([]byte, 0, 4*len(fields))
	for _, f := range fields {
		b = native.AppendUint32(b, f)
	}
	return b
}

// appendRequest appends a request: its header, whose size counts the structure only, the
// structure, and the data that some have behind it.
func appendRequest(b []byte, cmd command, body, data []byte) []byte {
	b = native.AppendUint32(b, uint32(len(body)))
	b = native.AppendUint32(b, uint32(cmd))
	b = append(b, body...)
	return append(b, data...)
}

// wire is a connection during one exchange.
type wire struct{ io.ReadWriter }

func (w wire) send(cmd command, body, data []byte) error {
	_, err := w.Write(appendRequest(make([]byte, 0, headerSize+len(body)+len(data)), cmd, body, data))
	return err
}

// read reads n bytes, which the caller has bounded.
func (w wire) read(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(w, b); err != nil {
		return nil, err
	}
	return b, nil
}

// call sends a request and reads an answer of the given size.
func (w wire) call(cmd command, body []byte, size int) ([]byte, error) {
	if err := w.send(cmd, body, nil); err != nil {
		return nil, err
	}
	return w.read(size)
}
