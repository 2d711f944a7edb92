package ctaphid

import (
	"encoding/binary"
	"fmt"
)

// BroadcastCID is the channel on which channels are asked for (CTAP 2.2,
// section 11.2.3). 0 is reserved.
const BroadcastCID uint32 = 0xFFFFFFFF

// Report sizes this package can use, in bytes. Eight is the smallest in which
// every packet carries data.
const (
	MinReportSize = 8
	MaxReportSize = 64
)

// The layout of packets (CTAP 2.2, section 11.2.4).
const (
	initHeader = 7 // channel, command, length
	contHeader = 5 // channel, sequence
	initBit    = 0x80
	// maxContinuations is the number of sequence numbers, 0 to 127.
	maxContinuations = 128
)

// MaxMessage returns the length of the longest message that fits reports of the
// given size: 7609 bytes for 64-byte reports (CTAP 2.2, section 11.2.4). It
// returns 0 for sizes outside MinReportSize to MaxReportSize.
func MaxMessage(reportSize int) int {
	if checkReportSize(reportSize) != nil {
		return 0
	}
	return reportSize - initHeader + maxContinuations*(reportSize-contHeader)
}

func checkReportSize(size int) error {
	if size < MinReportSize || size > MaxReportSize {
		return fmt.Errorf("%w: %d bytes", ErrReportSize, size)
	}
	return nil
}

// Packet is one report, taken apart.
type Packet struct {
	// CID is the channel.
	CID uint32
	// Init is true for an initialization packet.
	Init bool
	// Command and Length (the message's, 0 to 65535) are those of an
	// initialization packet.
	Command Command
	Length  int
	// Seq is a continuation packet's sequence number, 0 to 127.
	Seq byte
	// Data is what follows the header, with the padding. It shares memory
	// with the report.
	Data []byte
}

// ParsePacket takes a report apart. It returns false when the report is too short
// to be a packet. The packet's Data shares the report's memory.
func ParsePacket(report []byte) (p Packet, ok bool) {
	if len(report) < contHeader {
		return Packet{}, false
	}
	p.CID = binary.BigEndian.Uint32(report)
	if report[4]&initBit == 0 {
		p.Seq = report[4]
		p.Data = report[contHeader:]
		return p, true
	}
	if len(report) < initHeader {
		return Packet{}, false
	}
	p.Init = true
	p.Command = Command(report[4] &^ initBit)
	p.Length = int(binary.BigEndian.Uint16(report[5:]))
	p.Data = report[initHeader:]
	return p, true
}

// Framer cuts one message into reports. The zero value has none left. It does not
// allocate.
type Framer struct {
	size    int
	cid     uint32
	cmd     Command
	payload []byte // what is still to be sent
	started bool
	done    bool
	seq     byte
}

// NewFramer returns the framer of a message on channel cid for reports of size
// bytes. It keeps payload until the last report is made. The error is
// [ErrReportSize] or [ErrTooLong].
func NewFramer(size int, cid uint32, cmd Command, payload []byte) (Framer, error) {
	if err := checkReportSize(size); err != nil {
		return Framer{}, err
	}
	if limit := MaxMessage(size); len(payload) > limit {
		return Framer{}, fmt.Errorf("%w: %d bytes, reports of %d bytes carry %d", ErrTooLong, len(payload), size, limit)
	}
	return Framer{size: size, cid: cid, cmd: cmd, payload: payload}, nil
}

// Next writes the next report to the start of report, which must hold the size
// given to [NewFramer], padded with zeros (CTAP 2.2, section 11.2.4). It returns
// false, and writes nothing, when the message is complete.
func (f *Framer) Next(report []byte) bool {
	if f.size == 0 || f.done {
		return false
	}
	report = report[:f.size]
	binary.BigEndian.PutUint32(report, f.cid)
	header := contHeader
	if f.started {
		report[4] = f.seq
		f.seq++
	} else {
		f.started = true
		report[4] = byte(f.cmd) | initBit
		binary.BigEndian.PutUint16(report[5:], uint16(len(f.payload)))
		header = initHeader
	}
	n := copy(report[header:], f.payload)
	clear(report[header+n:])
	f.payload = f.payload[n:]
	f.done = len(f.payload) == 0
	return true
}
