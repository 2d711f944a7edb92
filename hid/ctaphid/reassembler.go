package ctaphid

import "fmt"

// Reassembler puts one message at a time together from packets. It takes as much
// memory as the longest message once and then allocates nothing.
// It is not safe for use by several goroutines.
type Reassembler struct {
	max    int
	buf    []byte // cap max once used
	want   int
	cid    uint32
	cmd    Command
	seq    byte
	active bool
}

// NewReassembler returns a reassembler for reports of size bytes. The error is
// [ErrReportSize].
func NewReassembler(size int) (*Reassembler, error) {
	if err := checkReportSize(size); err != nil {
		return nil, err
	}
	return &Reassembler{max: MaxMessage(size)}, nil
}

// Active says whether a message is incomplete.
func (r *Reassembler) Active() bool { return r.active }

// CID returns the channel of the message last begun.
func (r *Reassembler) CID() uint32 { return r.cid }

// Command returns the command of the message last begun.
func (r *Reassembler) Command() Command { return r.cmd }

// Reset forgets an incomplete message.
func (r *Reassembler) Reset() { r.active = false }

// Payload returns the message last completed. It is valid until the next Add.
func (r *Reassembler) Payload() []byte { return r.buf }

// Add takes a packet and says whether it completed the message. An error forgets
// the message; it is
//   - [ErrInvalidLen] for a message longer than reports of this size can carry,
//   - [ErrInvalidSeq] for a continuation that is not the next one, one without a
//     message, and an initialization packet within a message,
//   - [ErrInvalidChannel] for a packet of another channel than the message's.
func (r *Reassembler) Add(p Packet) (done bool, err error) {
	if r.active && p.CID != r.cid {
		r.active = false
		return false, ErrInvalidChannel
	}
	if p.Init {
		if r.active {
			r.active = false
			return false, ErrInvalidSeq
		}
		if p.Length > r.max {
			return false, fmt.Errorf("%w: %d of at most %d bytes", ErrInvalidLen, p.Length, r.max)
		}
		if r.buf == nil {
			r.buf = make([]byte, 0, r.max)
		}
		r.active, r.cid, r.cmd, r.want, r.seq = true, p.CID, p.Command, p.Length, 0
		r.buf = r.buf[:0]
	} else {
		if !r.active || p.Seq != r.seq {
			r.active = false
			return false, ErrInvalidSeq
		}
		r.seq++
	}
	n := min(r.want-len(r.buf), len(p.Data))
	r.buf = append(r.buf, p.Data[:n]...)
	if len(r.buf) < r.want {
		// A message that sequence numbers cannot finish: the device's
		// reports are shorter than it says.
		if !p.Init && r.seq == maxContinuations {
			r.active = false
			return false, ErrInvalidLen
		}
		return false, nil
	}
	r.active = false
	return true, nil
}
