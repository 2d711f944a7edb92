//go:build !linux

package usbip

import (
	"context"
	"errors"
)

// Attachment is a device in this machine's kernel, which only Linux can have.
type Attachment struct {
	// Port is the port of the virtual hub.
	Port int
}

// Attach fails: only Linux has a virtual host controller for USB/IP.
func (d *Device) Attach(context.Context) (*Attachment, error) {
	return nil, errors.New("usbip: " + errors.ErrUnsupported.Error() + ": only Linux can attach the key")
}

// Done never ends.
func (a *Attachment) Done() <-chan struct{} { return nil }

// Detach does nothing.
func (a *Attachment) Detach() error { return nil }
