// Package vpcd is the card's side of vsmartcard's virtual reader (vpcd): an emulated card
// that pcscd takes for a real one. It is for tests.
//
// The protocol is a length in two bytes, big-endian, then as many bytes. From the reader one
// byte is a command: 0 power off, 1 power on, 2 reset, which have no answer, and 4, whose
// answer is the ATR. Everything else is a command APDU, whose answer is the response
// (vsmartcard, virtualsmartcard/src/vpcd/vpcd.c).
//
// In vpcd's usual way of working it listens, and the card dials: being connected is being
// in the reader. [Serve] does not care who has dialled.
package vpcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
)

// Card is an emulated card. Its methods are called one at a time.
type Card interface {
	// ATR returns the answer to reset, 2 to 33 bytes. The reader asks for it several
	// times a second to see whether the card is there.
	ATR() []byte
	// Power switches the card on or off.
	Power(on bool)
	// Reset is a warm reset: nothing is selected or unlocked any more.
	Reset()
	// Transmit returns the response to a command APDU (of T=0, a TPDU), whose memory it
	// must not keep. Fewer than two bytes say that the card does not answer.
	Transmit(apdu []byte) []byte
}

// Errors of [Serve].
var (
	// ErrATR says that a card has an ATR of a length that no card has. An empty one
	// would hang the reader for ever.
	ErrATR = errors.New("vpcd: ATR is not 2 to 33 bytes long")
	// ErrTooLong says that a card's response is longer than the protocol can carry.
	ErrTooLong = errors.New("vpcd: response is too long")
)

// The reader's commands.
const (
	powerOff = 0x00
	powerOn  = 0x01
	reset    = 0x02
	askATR   = 0x04
)

// Serve puts a card into the reader at the other end of conn until ctx ends, whose cause it
// then returns, or the reader hangs up, which is nil. It closes conn. A Transmit that runs
// is waited for.
func Serve(ctx context.Context, conn net.Conn, card Card) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err := serve(conn, card)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func serve(conn net.Conn, card Card) error {
	buffer := make([]byte, math.MaxUint16)
	for {
		message, err := read(conn, buffer)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("vpcd: %w", err)
		case len(message) == 0:
			continue // means nothing
		}
		answer, answers, err := perform(card, message)
		if err == nil && answers {
			err = write(conn, answer)
		}
		if err != nil {
			return err
		}
	}
}

// perform does what a message says.
func perform(card Card, message []byte) (answer []byte, answers bool, err error) {
	if len(message) > 1 {
		return card.Transmit(message), true, nil
	}
	switch message[0] {
	case powerOff:
		card.Power(false)
	case powerOn:
		card.Power(true)
	case reset:
		card.Reset()
	case askATR:
		atr := card.ATR()
		if len(atr) < 2 || len(atr) > 33 {
			return nil, false, fmt.Errorf("%w: %d", ErrATR, len(atr))
		}
		return atr, true, nil
	}
	return nil, false, nil
}

// read reads a message into buffer, which has room for the longest.
func read(conn net.Conn, buffer []byte) ([]byte, error) {
	quickACK(conn)
	if _, err := io.ReadFull(conn, buffer[:2]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(buffer)
	// vpcd writes length and body separately, so the body waits until the length is
	// acknowledged: 40 ms later unless asked for each time, because the kernel forgets.
	quickACK(conn)
	_, err := io.ReadFull(conn, buffer[:n])
	return buffer[:n], err
}

func write(conn net.Conn, answer []byte) error {
	if len(answer) > math.MaxUint16 {
		return fmt.Errorf("%w: %d bytes", ErrTooLong, len(answer))
	}
	// In one piece, for the same reason.
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer)))
	if _, err := conn.Write(append(b, answer...)); err != nil {
		return fmt.Errorf("vpcd: %w", err)
	}
	return nil
}
