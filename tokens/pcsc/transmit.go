package pcsc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pciSize is the size of SCARD_IO_REQUEST in the server, which is two longs. It does not
// look at the number.
const pciSize = 16

// anyProtocol is what libpcsclite says where it does not care.
const anyProtocol = 3

// Transmit sends a command APDU and returns the response APDU, whose last two bytes are the
// status word. Both may be short or extended. With T=0 the card gets what ISO/IEC 7816-3,
// section 12, makes of the APDU, as far as that is one TPDU: extended lengths are
// [ErrTooLong]. Response bytes that are announced with 61xx and no data are fetched then;
// with T=1, that is the caller's.
//
// While another program has a transaction, it waits. [ErrReset] says that another program
// has reset the card; the connection is good again when it is returned, and the caller
// selects its application again. [ErrRemoved] and [ErrReaderGone] are final. A context that
// ends in the middle closes the connection: whether the card has done what it was told is
// not known then.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 {
		return nil, failed(cmdTransmit, fmt.Errorf("%w: APDU of %d bytes", ErrArgument, len(command)))
	}
	if c.protocol != T0 {
		return c.transmit(ctx, command)
	}
	return c.transmitT0(ctx, command)
}

// transmit sends bytes in the protocol that is active.
func (c *Card) transmit(ctx context.Context, command []byte) (response []byte, err error) {
	if len(command) > maxData {
		return nil, failed(cmdTransmit, fmt.Errorf("%w: %d bytes", ErrTooLong, len(command)))
	}
	body := structure(c.handle, uint32(c.protocol), pciSize, uint32(len(command)), anyProtocol, pciSize, maxData, 0)
	err = c.patiently(ctx, cmdTransmit, func() error {
		s := c.session.Load()
		return s.do(ctx, cmdTransmit, s.client.cardTimeout(), func(w wire) error {
			if err := w.send(cmdTransmit, body, command); err != nil {
				return err
			}
			var err error
			response, err = w.answer(transmitSize, 24)
			return err
		})
	})
	if err == nil && len(response) < 2 {
		// vpcd's answer for a card that has gone, and no response APDU anyway.
		err = failed(cmdTransmit, ErrUnresponsive)
	}
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return response, nil
}

// answer reads a structure, and what follows it if it says success: as many bytes as the
// field at an offset has.
func (w wire) answer(size, length int) ([]byte, error) {
	b, err := w.read(size)
	if err != nil {
		return nil, err
	}
	if err := status(b); err != nil {
		return nil, err
	}
	n := field(b, length)
	if n > maxData {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, n)
	}
	return w.read(int(n))
}

// notice is how long it takes pcscd, at most, to see that a card has gone: two and a half
// times PCSCLITE_STATUS_POLL_RATE.
const notice = time.Second

// explain finds out what a failed exchange with the card means: a card that was taken out
// in the middle is, to the reader, one that does not answer. After a reset it makes the
// connection good again.
func (c *Card) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrReset):
		if again := c.Reconnect(ctx, LeaveCard); again != nil {
			return again
		}
	case errors.Is(err, ErrUnresponsive), errors.Is(err, ErrNotTransacted), errors.Is(err, ErrComm):
		if c.left(ctx) {
			return failed(cmdTransmit, ErrRemoved)
		}
	}
	return err
}

// left says whether pcscd notices, within a while, that the card has gone.
func (c *Card) left(ctx context.Context) bool {
	now, err := c.find(ctx)
	if err != nil || !now.State.Has(StatePresent) {
		return errors.Is(err, ErrReaderGone) || err == nil
	}
	ctx, cancel := context.WithTimeout(ctx, notice)
	defer cancel()
	for known := []Reader(nil); ; {
		readers, err := c.session.Load().Wait(ctx, known)
		if err != nil {
			return false
		}
		known = readers
		there := false
		for _, r := range readers {
			there = there || r.Name == c.reader && r.Events == now.Events && r.State.Has(StatePresent)
		}
		if !there {
			return true
		}
	}
}
