package slots

import (
	"encoding/binary"
	"fmt"
)

// Sizes of a frame, in bytes.
const (
	PayloadSize = 64
	FrameSize   = PayloadSize + 6
	partSize    = ReportSize - 1
	parts       = FrameSize / partSize
)

// Frame is a command to the key.
type Frame struct {
	Payload [PayloadSize]byte // zeros behind what is less
	Cmd     Cmd
}

// NewFrame makes a frame of a payload of at most [PayloadSize] bytes; what is longer is an [ErrArgument].
func NewFrame(cmd Cmd, payload []byte) (*Frame, error) {
	if len(payload) > PayloadSize {
		return nil, fmt.Errorf("%w: a payload of %d bytes", ErrArgument, len(payload))
	}
	f := &Frame{Cmd: cmd}
	copy(f.Payload[:], payload)
	return f, nil
}

// Marshal returns the frame's bytes: payload, command, checksum of the payload, which is not complemented here, and zeros.
func (f *Frame) Marshal() [FrameSize]byte {
	var b [FrameSize]byte
	copy(b[:], f.Payload[:])
	b[PayloadSize] = byte(f.Cmd)
	binary.LittleEndian.PutUint16(b[PayloadSize+1:], Checksum(f.Payload[:]))
	return b
}

// ParseFrame reads a frame. The error is an [ErrMalformed].
func ParseFrame(b []byte) (*Frame, error) {
	if len(b) != FrameSize {
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrMalformed, len(b))
	}
	f := &Frame{Payload: [PayloadSize]byte(b), Cmd: Cmd(b[PayloadSize])}
	if Checksum(f.Payload[:]) != binary.LittleEndian.Uint16(b[PayloadSize+1:]) {
		clear(f.Payload[:])
		return nil, fmt.Errorf("%w: checksum of a frame", ErrMalformed)
	}
	return f, nil
}

// Reports cuts the frame into reports. Parts of zeros alone are left out, but the first and the last, which tell
// where the frame begins and ends.
func (f *Frame) Reports() []Report {
	b := f.Marshal()
	defer clear(b[:])
	reports := make([]Report, 0, parts)
	for i := range parts {
		r := Report{7: flagWrite | byte(i)}
		copy(r[:partSize], b[i*partSize:])
		if i == 0 || i == parts-1 || [partSize]byte(r[:partSize]) != [partSize]byte{} {
			reports = append(reports, r)
		}
	}
	return reports
}

// Wipe overwrites the payload.
func (f *Frame) Wipe() { clear(f.Payload[:]) }

// Assembler puts frames together from reports, on the key's side. The zero value waits for the first report of a frame.
type Assembler struct {
	frame [FrameSize]byte
	next  byte // the lowest number that may come; 0: none has come
}

// Add takes a report that a host has written. It returns the frame with its last report, and nil before that. reset
// says that the report is no part of a frame but ends reading, a wait, or a frame that was begun. The error is an
// [ErrMalformed]; the frame is dropped then.
func (a *Assembler) Add(r Report) (f *Frame, reset bool, err error) {
	status := r[ReportSize-1]
	number := status & maskNumber
	switch {
	case status&flagWrite == 0:
		return nil, false, fmt.Errorf("%w: a report with status %02x", ErrMalformed, status)
	case number >= parts:
		a.Reset()
		return nil, true, nil
	case status&^(flagWrite|maskNumber) != 0:
		a.Reset()
		return nil, false, fmt.Errorf("%w: a report with status %02x", ErrMalformed, status)
	case number == 0:
		a.Reset()
	case a.next == 0 || number < a.next:
		a.Reset()
		return nil, false, fmt.Errorf("%w: report %d of a frame out of order", ErrMalformed, number)
	}
	copy(a.frame[int(number)*partSize:], r[:partSize])
	a.next = number + 1
	if number < parts-1 {
		return nil, false, nil
	}
	defer a.Reset()
	f, err = ParseFrame(a.frame[:])
	return f, false, err
}

// Reset drops what has come of a frame.
func (a *Assembler) Reset() {
	clear(a.frame[:])
	a.next = 0
}
