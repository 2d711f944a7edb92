package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// protocolVersion is 1.1.1 (usbip_protocol.rst). All numbers on the wire are big-endian, but
// what USB itself defines.
const protocolVersion = 0x0111

// Operations, before a device is imported, and their statuses.
const (
	opRequestImport  = 0x8003
	opReplyImport    = 0x0003
	opRequestDevlist = 0x8005
	opReplyDevlist   = 0x0005

	opOK   = 0
	opBusy = 2 // ST_DEV_BUSY
	opNone = 4 // ST_NODEV
)

// Commands, once it is.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4
)

// Directions of a transfer, as in struct usbip_header_basic.
const (
	directionOut = 0
	directionIn  = 1
)

// Statuses of a transfer: negative numbers of errno.h, which Linux fixes for this protocol.
const (
	statusOK        = 0
	statusNoMemory  = -12
	statusStall     = -32  // EPIPE
	statusCancelled = -104 // ECONNRESET
)

// Sizes of what is on the wire.
const (
	opHeaderSize  = 8
	busIDSize     = 32
	pathSize      = 256
	headerSize    = 48
	maxTransfer   = 1 << 16 // the most that a control transfer carries is one less
	noPackets     = 0xFFFFFFFF
	speedFull     = 2
	busNumber     = 1
	deviceNumber  = 2
	deviceID      = busNumber<<16 | deviceNumber
	devicePath    = "/sys/devices/fobd/usb1/" + BusID
	interfaceSize = 4
)

var errProtocol = errors.New("usbip: bad message")

// readOperation reads an operation's header.
func readOperation(r io.Reader) (code uint16, err error) {
	var b [opHeaderSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	// The kernel's tools accept no other version either.
	if version := binary.BigEndian.Uint16(b[:]); version != protocolVersion {
		return 0, fmt.Errorf("%w: version %#04x, want %#04x", errProtocol, version, protocolVersion)
	}
	return binary.BigEndian.Uint16(b[2:]), nil
}

func appendOperation(dst []byte, code uint16, status uint32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, protocolVersion)
	dst = binary.BigEndian.AppendUint16(dst, code)
	return binary.BigEndian.AppendUint32(dst, status)
}

// appendDevice appends struct usbip_usb_device.
func (d *Device) appendDevice(dst []byte) []byte {
	dst = appendField(dst, devicePath, pathSize)
	dst = appendField(dst, BusID, busIDSize)
	dst = binary.BigEndian.AppendUint32(dst, busNumber)
	dst = binary.BigEndian.AppendUint32(dst, deviceNumber)
	dst = binary.BigEndian.AppendUint32(dst, speedFull)
	dst = binary.BigEndian.AppendUint16(dst, d.config.VendorID)
	dst = binary.BigEndian.AppendUint16(dst, d.config.ProductID)
	dst = binary.BigEndian.AppendUint16(dst, d.config.Version)
	return append(
		dst,
		0, 0, 0, // class, subclass, protocol: the interface says it
		configurationValue,
		1, // configurations
		1, // interfaces
	)
}

// appendField appends text in a field of n bytes.
func appendField(dst []byte, text string, n int) []byte {
	return append(append(dst, text...), make([]byte, n-len(text))...)
}

// message is a command of the host.
type message struct {
	command, sequence, direction, endpoint uint32
	length                                 uint32   // of a transfer
	setup                                  [8]byte  // of a control transfer
	victim                                 uint32   // of cmdUnlink
	data                                   []byte   // of a transfer to the device
	header                                 [48]byte // as it came
}

// readMessage reads one command with its data. What it allocates is bounded by maxTransfer.
func readMessage(r io.Reader, m *message) error {
	if _, err := io.ReadFull(r, m.header[:]); err != nil {
		return err
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(m.header[4*i:]) }
	m.command, m.sequence, m.direction, m.endpoint = word(0), word(1), word(3), word(4)
	m.data = m.data[:0]
	switch m.command {
	case cmdUnlink:
		m.victim = word(5)
		return nil
	case cmdSubmit:
	default:
		return fmt.Errorf("%w: command %#x", errProtocol, m.command)
	}
	m.length = word(6)
	packets := word(8)
	m.setup = [8]byte(m.header[40:])
	switch {
	case m.direction != directionIn && m.direction != directionOut:
		return fmt.Errorf("%w: direction %d", errProtocol, m.direction)
	case m.length > maxTransfer:
		return fmt.Errorf("%w: transfer of %d bytes", errProtocol, m.length)
	case packets != 0 && packets != noPackets:
		// Their descriptors would follow; this device has no isochronous endpoint.
		return fmt.Errorf("%w: isochronous transfer", errProtocol)
	case m.direction == directionIn:
		return nil
	}
	if cap(m.data) < int(m.length) {
		m.data = make([]byte, m.length)
	}
	m.data = m.data[:m.length]
	_, err := io.ReadFull(r, m.data)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendSubmitted appends the answer to a transfer. Data goes along for one from the device
// only; length is what was transferred.
func appendSubmitted(dst []byte, sequence uint32, status int32, length int, data []byte) []byte {
	dst = appendHeader(dst, retSubmit, sequence, status)
	dst = binary.BigEndian.AppendUint32(dst, uint32(length))
	dst = binary.BigEndian.AppendUint32(dst, 0)         // start frame
	dst = binary.BigEndian.AppendUint32(dst, noPackets) // not isochronous
	dst = binary.BigEndian.AppendUint32(dst, 0)         // errors
	dst = append(dst, make([]byte, 8)...)
	return append(dst, data...)
}

// appendUnlinked appends the answer to an unlink.
func appendUnlinked(dst []byte, sequence uint32, status int32) []byte {
	dst = appendHeader(dst, retUnlink, sequence, status)
	return append(dst, make([]byte, 24)...)
}

// appendHeader appends what both answers begin with. Device, direction and endpoint are 0 in
// an answer.
func appendHeader(dst []byte, command, sequence uint32, status int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, command)
	dst = binary.BigEndian.AppendUint32(dst, sequence)
	dst = append(dst, make([]byte, 12)...)
	return binary.BigEndian.AppendUint32(dst, uint32(status))
}
