package pcsc

import (
	"context"
	"fmt"
	"slices"
)

// cmdAttribute is SCARD_GET_ATTRIB: card, attribute, a buffer of 264 bytes, its size, rv (struct getset_struct).
const (
	cmdAttribute    command = 0x0F
	attributeBuffer         = 264
	attributeSize           = 4 + 4 + attributeBuffer + 4 + 4
)

// Attribute is the number of something that a reader tells of itself (PC/SC part 3, section 3.1.2).
type Attribute uint32

// AttributeChannel is how the reader is connected: see [Card.USB].
const AttributeChannel Attribute = 0x00020110

// Attribute reads an attribute of the reader.
func (c *Card) Attribute(ctx context.Context, a Attribute) ([]byte, error) {
	body := slices.Concat(structure(c.handle, uint32(a)), make([]byte, attributeBuffer), structure(attributeBuffer, 0))
	answer, err := c.request(ctx, cmdAttribute, body)
	if err != nil {
		return nil, err
	}
	n := field(answer, attributeSize-8)
	if n > attributeBuffer {
		return nil, failed(cmdAttribute, fmt.Errorf("%w: an attribute of %d bytes", ErrMalformed, n))
	}
	return slices.Clone(answer[8 : 8+n]), nil
}

// USB is the number of the bus that the reader is on, and its own there. ok is false of readers that are not on USB and of drivers that do
// not tell: those of libccid do.
func (c *Card) USB(ctx context.Context) (bus, device uint64, ok bool) {
	b, err := c.Attribute(ctx, AttributeChannel)
	if err != nil || len(b) != 4 {
		return 0, 0, false
	}
	// DDDDCCCC: D 0020 is USB, C is bus and device.
	v := native.Uint32(b)
	return uint64(v >> 8 & 0xFF), uint64(v & 0xFF), v>>16 == 0x0020
}
