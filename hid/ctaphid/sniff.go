package ctaphid

import (
	"encoding/binary"
	"time"
)

// How long a foreign touch is believed in when nothing more is heard of it. Keys send
// KEEPALIVE at least every 100 ms (CTAP 2.2, section 11.2.9.1.7), though not all are that
// exact; U2F clients repeat their request every 100 to 500 ms.
const (
	sniffKeepalive = 600 * time.Millisecond
	sniffPolling   = 1500 * time.Millisecond
)

// maxSniffed bounds the channels that are looked after at a time.
const maxSniffed = 32

// swConditionsNotSatisfied is how a U2F key says that it was not touched (FIDO U2F Raw
// Message Formats, section 3.3).
const swConditionsNotSatisfied = 0x6985

// Sniffer tells from the input reports of a key, which hidraw shows to every program that
// has the device open, whether a program other than this one waits for a touch:
//   - a channel has KEEPALIVE with [StatusUPNeeded], until it has anything else or nothing
//     for 600 ms;
//   - a channel has the answer 0x6985 to MSG twice in a row, until it has another answer or
//     none for 1.5 s. Once is what clients get that only ask whether a key handle is the
//     key's (control byte 0x07).
//
// It has no clock: who uses it calls [Sniffer.Expire] at the time of [Sniffer.Next]. It is
// not safe for use by several goroutines.
type Sniffer struct {
	own   *Own
	waits map[uint32]sniffed // by channel
	on    int                // how many of them are touches
}

type sniffed struct {
	touch bool // false after the first 0x6985
	u2f   bool
	until time.Time
}

// NewSniffer returns a sniffer that leaves the channels of own alone.
func NewSniffer(own *Own) *Sniffer {
	return &Sniffer{own: own, waits: make(map[uint32]sniffed)}
}

// Waiting says whether another program waits for a touch.
func (s *Sniffer) Waiting() bool { return s.on > 0 }

// Next is when [Sniffer.Expire] has something to do; the zero time is never.
func (s *Sniffer) Next() time.Time {
	var next time.Time
	for _, w := range s.waits {
		if next.IsZero() || w.until.Before(next) {
			next = w.until
		}
	}
	return next
}

// Expire forgets what nothing has been heard of for too long.
func (s *Sniffer) Expire(now time.Time) {
	for cid, w := range s.waits {
		if !now.Before(w.until) {
			s.end(cid)
		}
	}
}

// Hear takes a report that the key sent. Reports that are no packets are ignored.
func (s *Sniffer) Hear(report []byte, now time.Time) {
	p, ok := ParsePacket(report)
	switch {
	case !ok || !p.Init:
		// The rest of a message whose beginning said enough.
		return
	case p.CID == BroadcastCID:
		s.hearInit(p)
		return
	case s.own.Has(p.CID):
		s.end(p.CID)
		return
	}
	answer := p.Data[:min(p.Length, len(p.Data))]
	switch {
	case p.Command == CmdKeepalive && len(answer) == 1 && answer[0] == StatusUPNeeded:
		s.wait(p.CID, sniffed{touch: true, until: now.Add(sniffKeepalive)})
	case p.Command == CmdMSG && p.Length == 2 && len(answer) == 2 && binary.BigEndian.Uint16(answer) == swConditionsNotSatisfied:
		s.wait(p.CID, sniffed{touch: s.waits[p.CID].u2f, u2f: true, until: now.Add(sniffPolling)})
	case p.Command == CmdError && len(answer) == 1 && Error(answer[0]) == ErrChannelBusy:
		// Not an answer to the one who waits (CTAP 2.2, section 11.2.5.1).
	default:
		s.end(p.CID)
	}
}

// hearInit learns from the answer to an INIT whose channel it gives.
func (s *Sniffer) hearInit(p Packet) {
	if p.Command != CmdInit || p.Length < initResponseSize || len(p.Data) < initResponseSize {
		return
	}
	var r InitResponse
	if r.UnmarshalBinary(p.Data) != nil {
		return
	}
	s.own.allocated(r.Nonce, r.CID)
	s.end(r.CID)
}

func (s *Sniffer) wait(cid uint32, w sniffed) {
	if _, known := s.waits[cid]; !known && len(s.waits) >= maxSniffed {
		return
	}
	s.end(cid)
	s.waits[cid] = w
	if w.touch {
		s.on++
	}
}

func (s *Sniffer) end(cid uint32) {
	if s.waits[cid].touch {
		s.on--
	}
	delete(s.waits, cid)
}
