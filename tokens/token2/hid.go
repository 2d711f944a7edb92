package token2

import (
	"context"
	"fmt"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
)

// FeatureReports are those of the key's FIDO interface: 64 bytes without a number.
type FeatureReports interface {
	SetFeature(report []byte) error
	GetFeature(report []byte) (int, error)
}

// The framing of APDUs in feature reports: a mark, flags and a number, a length of at most 61, and a part of the message.
const (
	ReportSize = 64
	ChunkSize  = ReportSize - 3

	mark       = 0x21
	flagLast   = 0x00
	flagMore   = 0x20
	flagBusy   = 0xC0
	flagMask   = 0xE0
	numberMask = 0x1F
)

// Times of the conversation.
const (
	pollTime = 30 * time.Millisecond
	// patience is longer than the key waits for its button.
	patience = 40 * time.Second
	// maxMessage bounds what is put together, in bytes.
	maxMessage = 8192
)

// Reports cuts a message into reports.
func Reports(message []byte) (list [][ReportSize]byte) {
	for n := 0; ; n++ {
		var r [ReportSize]byte
		part := min(ChunkSize, len(message))
		flags := byte(flagMore)
		if part == len(message) {
			flags = flagLast
		}
		r[0], r[1], r[2] = mark, flags|byte(n&numberMask), byte(part)
		copy(r[3:], message[:part])
		list = append(list, r)
		if message = message[part:]; len(message) == 0 {
			return list
		}
	}
}

// Collector puts a message together from reports. The zero value is empty.
type Collector struct {
	message []byte
	next    byte
}

// Add takes a report: done says that it was the last one, busy that there is none yet. The error is an [ErrMalformed].
func (c *Collector) Add(r [ReportSize]byte) (done, busy bool, err error) {
	flags := r[1] & flagMask
	switch {
	case r[0] != mark:
		return false, false, fmt.Errorf("%w: a report that begins with %02x", ErrMalformed, r[0])
	case flags == flagBusy:
		return false, true, nil
	case flags != flagMore && flags != flagLast, r[1]&numberMask != c.next, int(r[2]) > ChunkSize, flags == flagMore && r[2] == 0:
		return false, false, fmt.Errorf("%w: a report with flags %02x", ErrMalformed, r[1])
	case len(c.message)+int(r[2]) > maxMessage:
		return false, false, fmt.Errorf("%w: a message of more than %d bytes", ErrMalformed, maxMessage)
	}
	c.message = append(c.message, r[3:3+int(r[2])]...)
	c.next = (c.next + 1) & numberMask
	return flags == flagLast, false, nil
}

// Message is what was put together.
func (c *Collector) Message() []byte { return c.message }

// HID is a [Card] behind feature reports. It is for one goroutine at a time.
type HID struct{ dev FeatureReports }

// NewHID returns a HID.
func NewHID(dev FeatureReports) *HID { return &HID{dev} }

// Transmit implements [Card]. Errors are the device's, [ErrMalformed], [ErrSilent] and the context's.
func (h *HID) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	for _, r := range Reports(command) {
		err := h.dev.SetFeature(r[:])
		clear(r[:])
		if err != nil {
			return nil, err
		}
	}
	var c Collector
	for began := time.Now(); ; {
		var r [ReportSize]byte
		n, err := h.dev.GetFeature(r[:])
		if err != nil {
			return nil, err
		}
		if n != ReportSize {
			return nil, fmt.Errorf("%w: a report of %d bytes", ErrMalformed, n)
		}
		done, busy, err := c.Add(r)
		switch {
		case err != nil:
			return nil, err
		case done:
			return c.Message(), nil
		case !busy:
			continue
		case time.Since(began) > patience:
			return nil, ErrSilent
		}
		if err := pause.For(ctx, pollTime); err != nil {
			return nil, err
		}
	}
}
