package pcsc

import (
	"bytes"
	"context"
	"slices"
)

// Protocol is how APDUs are carried to a card, as a set of bits.
type Protocol uint32

// The protocols of ISO/IEC 7816-3, and none.
const (
	T0  Protocol = 1
	T1  Protocol = 2
	Raw Protocol = 4
)

func (p Protocol) String() string {
	switch p {
	case 0:
		return "none"
	case T0:
		return "T=0"
	case T1:
		return "T=1"
	case T0 | T1:
		return "T=0 or T=1"
	case Raw:
		return "raw"
	}
	return "unknown"
}

// State is what pcscd knows of a reader, as a set of bits.
type State uint32

// The bits of a State (pcsc-lite, src/PCSC/pcsclite.h.in).
const (
	StateUnknown    State = 0x01
	StateAbsent     State = 0x02
	StatePresent    State = 0x04
	StateMute       State = 0x08 // there is a card, which does not answer
	StatePowered    State = 0x10
	StateNegotiable State = 0x20
	StateSpecific   State = 0x40
)

// Has says whether all of the given bits are set.
func (s State) Has(bits State) bool { return s&bits == bits }

// Exclusive is the [Reader.Sharing] of a card that one program has for itself.
const Exclusive = -1

// Reader is a reader and the card in it, as they were when pcscd was asked.
type Reader struct {
	// Name is what [Client.Connect] wants. It is the reader's own text, in part:
	// [ParseName] takes it apart and makes it fit to show.
	Name  string
	State State
	// Events counts cards put in and taken out.
	Events uint32
	// Sharing is how many programs are connected to the card, or [Exclusive].
	Sharing int
	// ATR is what the card answered to its reset (ISO/IEC 7816-3, section 8), at most 33
	// bytes; nil without a card, and until it has power.
	ATR []byte
	// Protocol is the one that the card was told to speak, if it was.
	Protocol Protocol
}

// Card says whether there is a card that answers.
func (r Reader) Card() bool { return r.State.Has(StatePresent) && !r.State.Has(StateMute) }

// same says whether a person would see no difference. Other programs come and go, and the
// card's power with them, unnoticed.
func (r Reader) same(o Reader) bool {
	const seen = StatePresent | StateMute
	return r.Name == o.Name && r.State&seen == o.State&seen && r.Events == o.Events && bytes.Equal(r.ATR, o.ATR)
}

// stateSize is the size of READER_STATE (src/eventhandler.h). Nothing may be assumed to be
// aligned but what the offsets say.
const stateSize = 184

const (
	stateEvents   = 128
	stateState    = 132
	stateSharing  = 136
	stateATR      = 140
	stateATRSize  = 176
	stateProtocol = 180
	maxATR        = 33
)

// parseStates decodes a list of READER_STATEs; those without a name are places for more.
func parseStates(b []byte) []Reader {
	readers := []Reader{}
	for e := range slices.Chunk(b, stateSize) {
		if len(e) < stateSize || e[0] == 0 {
			continue
		}
		name, _, _ := bytes.Cut(e[:nameSize], []byte{0})
		r := Reader{
			Name: string(name), State: State(field(e, stateState)), Events: field(e, stateEvents),
			Sharing: int(int32(field(e, stateSharing))), Protocol: Protocol(field(e, stateProtocol)),
		}
		// A length that is too great means that the card had no power yet.
		if n := field(e, stateATRSize); n > 0 && n <= maxATR {
			r.ATR = bytes.Clone(e[stateATR : stateATR+n])
		}
		readers = append(readers, r)
	}
	return readers
}

// Readers returns the readers that there are now.
func (s *Session) Readers(ctx context.Context) ([]Reader, error) {
	var readers []Reader
	err := s.do(ctx, cmdStates, s.client.timeout(), func(w wire) error {
		var err error
		readers, err = s.list(w)
		return err
	})
	return readers, err
}
