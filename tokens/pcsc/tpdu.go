package pcsc

import (
	"context"
	"fmt"

	"github.com/fobd/fobd/u2f/apdu"
)

// insGetResponse is GET RESPONSE (ISO/IEC 7816-4, section 7.6.1).
const insGetResponse = 0xC0

// tpdu makes T=0's form of a command (ISO/IEC 7816-3, section 12.2.1): there is always a
// fifth byte, and Le is not sent behind data. Its length was checked to be short.
func tpdu(command []byte, c apdu.Command) []byte {
	switch {
	case len(command) == 4: // case 1
		return append(command[:4:4], 0)
	case len(c.Data) > 0 && c.Le > 0: // case 4
		return command[:len(command)-1]
	}
	return command
}

// t0Rounds bounds how often a card may change its mind about a length: once to ask for one, once for another is what cards do.
const t0Rounds = 4

// transmitT0 sends a command in T=0, and does what that protocol leaves to the host.
func (c *Card) transmitT0(ctx context.Context, command []byte) ([]byte, error) {
	parsed, extended, err := apdu.ParseCommand(command)
	switch {
	case err != nil:
		return nil, failed(cmdTransmit, fmt.Errorf("%w: %w", ErrArgument, err))
	case extended:
		return nil, failed(cmdTransmit, fmt.Errorf("%w: extended lengths, and the card speaks T=0", ErrTooLong))
	}
	response, err := c.transmit(ctx, tpdu(command, parsed))
	for round := 0; err == nil && len(response) == 2; round++ {
		if round == t0Rounds {
			return nil, failed(cmdTransmit, fmt.Errorf("%w: the card never says how long its answer is", ErrNotTransacted))
		}
		// Section 12.2.2: 61xx after case 4, and 6Cxx after case 2, are the
		// transport's. With data they are the application's.
		sw := apdu.SW(uint16(response[0])<<8 | uint16(response[1]))
		next := parsed
		if n, more := sw.More(); more && len(parsed.Data) > 0 {
			next = apdu.Command{CLA: plain(parsed.CLA), INS: insGetResponse, Le: n}
		} else if n, wrong := sw.WrongLe(); wrong && len(parsed.Data) == 0 && parsed.Le != n {
			next.Le = n
		} else {
			break
		}
		if command, err = next.Short(); err != nil {
			return nil, failed(cmdTransmit, err)
		}
		parsed = next
		response, err = c.transmit(ctx, command)
	}
	return response, err
}

// plain is a class without chaining and secure messaging, on the same channel (ISO/IEC
// 7816-4, section 5.4.1).
func plain(cla byte) byte {
	if cla&0xE0 != 0 {
		return 0 // a later or a proprietary class: the basic channel
	}
	return cla & 0x03
}
