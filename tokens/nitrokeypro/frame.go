// Package nitrokeypro is the client of a Nitrokey Pro, a Nitrokey Storage, and their twin LibremKey: 3 slots for codes of HOTP and 15 of
// TOTP, over feature reports of 64 bytes. The emulated one is package softpro.
//
// Written from the protocol (libnitrokey's command ids and structures, github.com/Nitrokey/libnitrokey), not yet seen with a device.
package nitrokeypro

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes, in bytes.
const (
	ReportSize   = 64
	PayloadSize  = 59 // of a command
	ResponseSize = 53 // of what a response has
	crcAt        = ReportSize - 4
)

// Cmd is a command.
type Cmd byte

// The commands.
const (
	CmdStatus       Cmd = 0x00
	CmdWriteSlot    Cmd = 0x01
	CmdSlotName     Cmd = 0x02
	CmdReadSlot     Cmd = 0x03
	CmdGetCode      Cmd = 0x04
	CmdEraseSlot    Cmd = 0x06
	CmdAdminAuth    Cmd = 0x07
	CmdAdminRetries Cmd = 0x09
	CmdSetTime      Cmd = 0x0B
	CmdUserAuth     Cmd = 0x0E
	CmdUserRetries  Cmd = 0x0F
	CmdOTPData      Cmd = 0x17
)

// What a device says of itself in a response.
const (
	DeviceOK       byte = 0
	DeviceBusy     byte = 1
	DeviceError    byte = 2
	DeviceReceived byte = 3
)

// Status is what became of a command.
type Status byte

// The statuses.
const (
	StatusOK            Status = 0
	StatusCRC           Status = 1
	StatusWrongSlot     Status = 2
	StatusNotProgrammed Status = 3
	StatusWrongPassword Status = 4
	StatusNotAuthorized Status = 5
	StatusTimestamp     Status = 6
	StatusNoName        Status = 7
	StatusUnsupported   Status = 8
	StatusUnknown       Status = 9
	StatusAES           Status = 10
)

// What can be wrong. Each says what to do next.
var (
	ErrMalformed     = errors.New("nitrokeypro: malformed answer from the device; unplug it and try again")
	ErrSilent        = errors.New("nitrokeypro: the device does not go on; unplug it and plug it in again")
	ErrNotProgrammed = errors.New("nitrokeypro: there is nothing in the slot; list the accounts")
	ErrWrongPIN      = errors.New("nitrokeypro: the PIN is wrong; try again with the right one")
	ErrNotAuthorized = errors.New("nitrokeypro: the device wants its PIN for this; give it")
	ErrTimestamp     = errors.New("nitrokeypro: the device has seen a later time than the clock of this machine; set the clock right")
	ErrRefused       = errors.New("nitrokeypro: the device refuses")
	ErrArgument      = errors.New("nitrokeypro: invalid argument")
)

// err is nil for what is well.
func (s Status) err() error {
	switch s {
	case StatusOK:
		return nil
	case StatusNotProgrammed:
		return ErrNotProgrammed
	case StatusWrongPassword:
		return ErrWrongPIN
	case StatusNotAuthorized:
		return ErrNotAuthorized
	case StatusTimestamp:
		return ErrTimestamp
	case StatusCRC:
		return fmt.Errorf("%w: it received the command damaged", ErrMalformed)
	}
	return fmt.Errorf("%w with status %d", ErrRefused, byte(s))
}

// Checksum is the CRC-32 of STM32 microcontrollers: polynomial 04C11DB7, beginning with FFFFFFFF, not reflected, over little-endian words. b has
// whole words.
func Checksum(b []byte) uint32 {
	crc := ^uint32(0)
	for ; len(b) >= 4; b = b[4:] {
		crc ^= binary.LittleEndian.Uint32(b)
		for range 32 {
			high := crc & (1 << 31)
			crc <<= 1
			if high != 0 {
				crc ^= 0x04C11DB7
			}
		}
	}
	return crc
}

// Request is a command's report. The error is an [ErrArgument].
func Request(cmd Cmd, payload []byte) (r [ReportSize]byte, err error) {
	if len(payload) > PayloadSize {
		return r, fmt.Errorf("%w: a payload of %d bytes", ErrArgument, len(payload))
	}
	r[0] = byte(cmd)
	copy(r[1:], payload)
	binary.LittleEndian.PutUint32(r[crcAt:], Checksum(r[:crcAt]))
	return r, nil
}

// ParseRequest reads a command's report, on the device's side. The error is an [ErrMalformed].
func ParseRequest(r [ReportSize]byte) (cmd Cmd, payload [PayloadSize]byte, crc uint32, err error) {
	crc = binary.LittleEndian.Uint32(r[crcAt:])
	if crc != Checksum(r[:crcAt]) {
		return 0, payload, crc, fmt.Errorf("%w: checksum", ErrMalformed)
	}
	return Cmd(r[0]), [PayloadSize]byte(r[1:crcAt]), crc, nil
}

// Response is what a device answers.
type Response struct {
	Device  byte
	Cmd     Cmd
	CRC     uint32 // of the command that it is about
	Status  Status
	Payload [ResponseSize]byte
}

// Marshal is a response's report.
func (r *Response) Marshal() (b [ReportSize]byte) {
	b[0], b[1], b[6] = r.Device, byte(r.Cmd), byte(r.Status)
	binary.LittleEndian.PutUint32(b[2:], r.CRC)
	copy(b[7:], r.Payload[:])
	binary.LittleEndian.PutUint32(b[crcAt:], Checksum(b[:crcAt]))
	return b
}

// ParseResponse reads a response's report. The error is an [ErrMalformed].
func ParseResponse(b [ReportSize]byte) (*Response, error) {
	if binary.LittleEndian.Uint32(b[crcAt:]) != Checksum(b[:crcAt]) {
		return nil, fmt.Errorf("%w: checksum", ErrMalformed)
	}
	return &Response{Device: b[0], Cmd: Cmd(b[1]), CRC: binary.LittleEndian.Uint32(b[2:]), Status: Status(b[6]), Payload: [ResponseSize]byte(b[7:crcAt])}, nil
}
