package pcsc

import (
	"context"
	"fmt"
)

// ControlFeatures is the code of CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10, section
// 2.2): the reader answers with a list of what it can do.
const ControlFeatures = 0x42000000 + 3400

// Control sends bytes to the reader's driver, and returns what it answers. What a code
// means is between the caller and the driver; [ErrUnsupported] and [ErrNotTransacted] are
// how one says that it has no such code. Needs no card with [ShareDirect].
func (c *Card) Control(ctx context.Context, code uint32, data []byte) (answer []byte, err error) {
	if len(data) > maxData {
		return nil, failed(cmdControl, fmt.Errorf("%w: %d bytes", ErrTooLong, len(data)))
	}
	body := structure(c.handle, code, uint32(len(data)), maxData, 0, 0)
	err = c.patiently(ctx, cmdControl, func() error {
		s := c.session.Load()
		return s.do(ctx, cmdControl, s.client.cardTimeout(), func(w wire) error {
			if err := w.send(cmdControl, body, data); err != nil {
				return err
			}
			var err error
			answer, err = w.answer(controlSize, 16)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}
