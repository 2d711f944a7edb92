// Package apdu encodes and decodes the commands and responses of smart cards.
//
// It is for packages whose messages are APDUs: u2f first, and applets such as
// OATH's. The specification is ISO/IEC 7816-4, section 5 (short and extended
// length fields, command chaining, status words) and section 7.6.1 (GET RESPONSE).
package apdu

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of the length fields (ISO/IEC 7816-4, section 5.1).
const (
	MaxShortData    = 255
	MaxShortLe      = 256
	MaxExtendedData = 65535
	MaxExtendedLe   = 65536
)

// Errors of this package.
var (
	// ErrMalformed says that bytes are not an APDU.
	ErrMalformed = errors.New("apdu: malformed")
	// ErrTooLong says that data or an expected length does not fit its field.
	ErrTooLong = errors.New("apdu: too long")
)

// claChaining marks a command that is continued by the next one (ISO/IEC 7816-4,
// section 5.4.1).
const claChaining = 0x10

// Command is a command APDU.
type Command struct {
	CLA, INS, P1, P2 byte
	// Data is the command data field, empty when there is none.
	Data []byte
	// Le is the greatest number of response bytes expected, 0 for none. The
	// greatest of an encoding, 256 or 65536, means "all there is".
	Le int
}

// Short encodes the command with one-byte length fields. The error is [ErrTooLong]
// for more than 255 bytes of data or an Le over 256.
func (c Command) Short() ([]byte, error) {
	if err := c.check(MaxShortData, MaxShortLe); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 6+len(c.Data))
	b = append(b, c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) > 0 {
		b = append(b, byte(len(c.Data)))
		b = append(b, c.Data...)
	}
	if c.Le > 0 {
		b = append(b, byte(c.Le)) // 256 is 0
	}
	return b, nil
}

// Extended encodes the command with two-byte length fields (a command without data
// and Le has none). The error is [ErrTooLong] for more than 65535 bytes of data or
// an Le over 65536.
func (c Command) Extended() ([]byte, error) {
	if err := c.check(MaxExtendedData, MaxExtendedLe); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 9+len(c.Data))
	b = append(b, c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) > 0 || c.Le > 0 {
		b = append(b, 0)
	}
	if len(c.Data) > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.Data)))
		b = append(b, c.Data...)
	}
	if c.Le > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(c.Le)) // 65536 is 0
	}
	return b, nil
}

// Chained encodes the command as a chain of short ones, to be sent in order; all
// but the last have the chaining bit and no Le (ISO/IEC 7816-4, section 5.4.1). A
// command that fits is not chained.
func (c Command) Chained() ([][]byte, error) {
	if err := c.check(MaxExtendedData, MaxShortLe); err != nil {
		return nil, err
	}
	var chain [][]byte
	rest := c.Data
	for len(rest) > MaxShortData {
		part := c
		part.CLA |= claChaining
		part.Data, part.Le = rest[:MaxShortData], 0
		b, err := part.Short()
		if err != nil {
			return nil, err
		}
		chain = append(chain, b)
		rest = rest[MaxShortData:]
	}
	c.Data = rest
	b, err := c.Short()
	if err != nil {
		return nil, err
	}
	return append(chain, b), nil
}

func (c Command) check(data, le int) error {
	if len(c.Data) > data {
		return fmt.Errorf("%w: %d bytes of data, at most %d fit", ErrTooLong, len(c.Data), data)
	}
	if c.Le < 0 || c.Le > le {
		return fmt.Errorf("%w: %d bytes expected, at most %d can be", ErrTooLong, c.Le, le)
	}
	return nil
}

// Chained says whether the command's class has the chaining bit, so that the next
// command continues it. Proprietary classes (0x80 and up) use it as others do.
func Chained(cla byte) bool { return cla&claChaining != 0 }

// ParseCommand decodes a command APDU of any case, short or extended (ISO/IEC
// 7816-4, section 5.1, cases 1 to 4), and says whether its length fields are
// extended. Data shares b's memory. The error is [ErrMalformed].
func ParseCommand(b []byte) (c Command, extended bool, err error) {
	if len(b) < 4 {
		return Command{}, false, fmt.Errorf("%w: command of %d bytes", ErrMalformed, len(b))
	}
	c = Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	body := b[4:]
	switch {
	case len(body) == 0: // case 1
		return c, false, nil
	case len(body) == 1: // case 2, short
		c.Le = shortLe(body[0])
		return c, false, nil
	case body[0] != 0: // cases 3 and 4, short
		n, rest := int(body[0]), body[1:]
		switch len(rest) {
		case n:
		case n + 1:
			c.Le = shortLe(rest[n])
		default:
			return Command{}, false, fmt.Errorf("%w: %d bytes after a length of %d", ErrMalformed, len(rest), n)
		}
		c.Data = rest[:n]
		return c, false, nil
	case len(body) < 3:
		return Command{}, false, fmt.Errorf("%w: extended length cut off", ErrMalformed)
	case len(body) == 3: // case 2, extended
		c.Le = extendedLe(body[1:])
		return c, true, nil
	}
	n, rest := int(binary.BigEndian.Uint16(body[1:])), body[3:]
	switch {
	case n == 0 && len(rest) != 2:
		// libfido2 writes a data length of zero before Le.
		return Command{}, false, fmt.Errorf("%w: data of length zero", ErrMalformed)
	case len(rest) == n: // case 3, extended
	case len(rest) == n+2: // case 4, extended
		c.Le = extendedLe(rest[n:])
	default:
		return Command{}, false, fmt.Errorf("%w: %d bytes after a length of %d", ErrMalformed, len(rest), n)
	}
	c.Data = rest[:n]
	return c, true, nil
}

func shortLe(b byte) int {
	if b == 0 {
		return MaxShortLe
	}
	return int(b)
}

func extendedLe(b []byte) int {
	if n := int(binary.BigEndian.Uint16(b)); n != 0 {
		return n
	}
	return MaxExtendedLe
}
