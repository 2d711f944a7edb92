package oath

import (
	"encoding/binary"
	"fmt"
)

// TLV is a tag, a BER length and a value.
type TLV struct {
	Tag   byte
	Value []byte
}

// maxTLV is the longest value that two length bytes can tell.
const maxTLV = 0xFFFF

// AppendTLV appends a tag with its value to b. Values are below 64 KiB; what is longer is cut off there, which no caller of
// this package comes near.
func AppendTLV(b []byte, tag byte, value []byte) []byte {
	value = value[:min(len(value), maxTLV)]
	b = append(b, tag)
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n <= 0xFF:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return append(b, value...)
}

// CutTLV takes the first TLV off b. Its value shares b's memory. The error is [ErrMalformed].
func CutTLV(b []byte) (t TLV, rest []byte, err error) {
	if len(b) < 2 {
		return TLV{}, nil, fmt.Errorf("%w: %d bytes where a tag and a length should be", ErrMalformed, len(b))
	}
	t.Tag, rest = b[0], b[2:]
	n := int(b[1])
	switch {
	case n == 0x81 && len(rest) >= 1:
		n, rest = int(rest[0]), rest[1:]
	case n == 0x82 && len(rest) >= 2:
		n, rest = int(binary.BigEndian.Uint16(rest)), rest[2:]
	case n >= 0x80:
		return TLV{}, nil, fmt.Errorf("%w: length %02x of tag %02x", ErrMalformed, b[1], b[0])
	}
	if n > len(rest) {
		return TLV{}, nil, fmt.Errorf("%w: tag %02x has %d of %d bytes", ErrMalformed, b[0], len(rest), n)
	}
	t.Value = rest[:n:n]
	return t, rest[n:], nil
}

// ParseTLVs takes b apart. The values share b's memory. The error is [ErrMalformed].
func ParseTLVs(b []byte) ([]TLV, error) {
	var all []TLV
	for len(b) > 0 {
		t, rest, err := CutTLV(b)
		if err != nil {
			return nil, err
		}
		all, b = append(all, t), rest
	}
	return all, nil
}

// only takes a response apart that must be one TLV with the given tag.
func only(b []byte, tag byte) ([]byte, error) {
	t, rest, err := CutTLV(b)
	switch {
	case err != nil:
		return nil, err
	case t.Tag != tag || len(rest) > 0:
		return nil, fmt.Errorf("%w: tag %02x and %d bytes behind it, want tag %02x alone", ErrMalformed, t.Tag, len(rest), tag)
	}
	return t.Value, nil
}
