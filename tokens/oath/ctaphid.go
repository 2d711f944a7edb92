package oath

import (
	"context"
	"fmt"

	"github.com/fobd/fobd/u2f/apdu"
)

// CmdSecrets is the vendor command of CTAPHID that Nitrokey's secrets app listens to.
const CmdSecrets byte = 0x70

// keepaliveUPNeeded is the status of CTAPHID_KEEPALIVE for a touch (CTAP 2.2, section 11.2.9.1.7).
const keepaliveUPNeeded = 2

// Vendor sends a vendor command of CTAPHID and returns its response. keepalive is called with the status of every
// KEEPALIVE that comes meanwhile, on the calling goroutine.
type Vendor func(ctx context.Context, cmd byte, payload []byte, keepalive func(status byte)) ([]byte, error)

// CTAPHID is the [Card] behind a channel of CTAPHID, Nitrokey's secrets app without a reader for smart cards. There the
// status word comes first in a response, no command has an Le, and lengths above 255 are extended ones.
type CTAPHID struct{ send Vendor }

// NewCTAPHID returns the card behind a channel.
func NewCTAPHID(send Vendor) *CTAPHID { return &CTAPHID{send: send} }

// Transmit implements [Card].
func (c *CTAPHID) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	return c.TransmitTouch(ctx, command, func(bool) {})
}

// TransmitTouch implements [TouchCard].
func (c *CTAPHID) TransmitTouch(ctx context.Context, command []byte, touch func(waiting bool)) ([]byte, error) {
	parsed, extended, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, err
	}
	parsed.Le = 0
	encode := parsed.Short
	if extended && len(parsed.Data) > apdu.MaxShortData {
		encode = parsed.Extended
	}
	payload, err := encode()
	if err != nil {
		return nil, err
	}
	defer clear(payload)
	waiting := false
	set := func(now bool) {
		if now != waiting {
			waiting = now
			touch(now)
		}
	}
	defer set(false)
	b, err := c.send(ctx, CmdSecrets, payload, func(status byte) { set(status == keepaliveUPNeeded) })
	if err != nil {
		return nil, err
	}
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: %d bytes where a status word should be", ErrMalformed, len(b))
	}
	return append(b[2:len(b):len(b)], b[0], b[1]), nil
}
