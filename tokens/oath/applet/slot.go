package applet

import (
	"context"

	"github.com/fobd/fobd/u2f/apdu"
)

// ATR is what the card answers to a reset.
func (a *Applet) ATR() []byte { return []byte(a.traits.atr) }

// Slot is the card in a virtual reader, such as vsmartcard's, which knows no errors and no contexts: a command ends when
// the card is pulled out ([Applet.Power]) at the latest.
type Slot struct{ a *Applet }

// Slot puts the card into a virtual reader.
func (a *Applet) Slot() Slot { return Slot{a} }

// ATR is what the card answers to a reset.
func (s Slot) ATR() []byte { return s.a.ATR() }

// Power switches the card on or off.
func (s Slot) Power(on bool) { s.a.Power(on) }

// Reset is a warm reset, which locks the card as a power cycle does.
func (s Slot) Reset() { s.a.Power(true) }

// Transmit returns the response APDU, 6F00 when the card is gone.
func (s Slot) Transmit(command []byte) []byte {
	b, err := s.a.Transmit(context.Background(), command)
	if err != nil {
		return apdu.Response{SW: apdu.ErrNoDiagnosis}.Marshal()
	}
	return b
}
