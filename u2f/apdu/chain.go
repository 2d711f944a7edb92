package apdu

import (
	"context"
	"fmt"
	"slices"
)

// Assembler puts chained commands together, on the card's side. The zero value
// takes up to [MaxExtendedData] bytes. It is not safe for several goroutines.
type Assembler struct {
	// Max bounds the data of a whole command, in bytes; 0 means
	// MaxExtendedData.
	Max    int
	parts  Command
	active bool
}

// Add takes the next command. When it completes one, or is one by itself, the
// command is returned and done is true; its Data is the caller's. Otherwise the
// card answers [OK] and waits for the next. A command that differs from the ones it
// continues (but for the chaining bit) drops them and stands by itself. Data over
// the limit drops the chain with [ErrTooLong].
func (a *Assembler) Add(c Command) (whole Command, done bool, err error) {
	limit := a.Max
	if limit <= 0 {
		limit = MaxExtendedData
	}
	head := Command{CLA: c.CLA &^ claChaining, INS: c.INS, P1: c.P1, P2: c.P2}
	if a.active && !(head.CLA == a.parts.CLA && head.INS == a.parts.INS && head.P1 == a.parts.P1 && head.P2 == a.parts.P2) {
		a.Reset()
	}
	if len(c.Data) > limit-len(a.parts.Data) {
		a.Reset()
		return Command{}, false, fmt.Errorf("%w: chain of over %d bytes", ErrTooLong, limit)
	}
	head.Data = append(a.parts.Data, c.Data...)
	if Chained(c.CLA) {
		a.parts, a.active = head, true
		return Command{}, false, nil
	}
	a.Reset()
	head.Le = c.Le
	return head, true, nil
}

// Reset forgets an incomplete chain, as SELECT does.
func (a *Assembler) Reset() { a.parts, a.active = Command{}, false }

// SendFunc sends a command APDU and returns the response APDU.
type SendFunc func(ctx context.Context, command []byte) (response []byte, err error)

// insGetResponse is GET RESPONSE (ISO/IEC 7816-4, section 7.6.1).
const insGetResponse = 0xC0

// MaxResponse bounds what [Exchange] collects, in bytes.
const MaxResponse = 65536

// Exchange sends an encoded command (or the parts of a chain, in order) and returns
// the whole response: while the card answers 61xx, the rest is fetched with GET
// RESPONSE of class cla. A chain ends early when a part of it is refused. The error
// is send's, [ErrMalformed], or [ErrTooLong] for a card that does not end; status
// words other than OK are in the response, not errors.
func Exchange(ctx context.Context, send SendFunc, cla byte, commands ...[]byte) (Response, error) {
	var r Response
	for i, command := range commands {
		var err error
		if r, err = exchangeOne(ctx, send, command); err != nil {
			return Response{}, err
		}
		if i < len(commands)-1 && r.SW != OK {
			return r, nil
		}
	}
	data := slices.Clone(r.Data)
	for {
		n, more := r.SW.More()
		if !more {
			return Response{Data: data, SW: r.SW}, nil
		}
		get, err := Command{CLA: cla, INS: insGetResponse, Le: n}.Short()
		if err != nil {
			return Response{}, err
		}
		if r, err = exchangeOne(ctx, send, get); err != nil {
			return Response{}, err
		}
		if _, more := r.SW.More(); more && len(r.Data) == 0 {
			return Response{}, fmt.Errorf("%w: card promises more and gives none", ErrMalformed)
		}
		if len(r.Data) > MaxResponse-len(data) {
			return Response{}, fmt.Errorf("%w: response of over %d bytes", ErrTooLong, MaxResponse)
		}
		data = append(data, r.Data...)
	}
}

func exchangeOne(ctx context.Context, send SendFunc, command []byte) (Response, error) {
	b, err := send(ctx, command)
	if err != nil {
		return Response{}, err
	}
	return ParseResponse(b)
}
