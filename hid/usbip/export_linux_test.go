package usbip

import "context"

// AttachTo is Attach at another virtual host controller.
func (d *Device) AttachTo(ctx context.Context, controller string) (*Attachment, error) {
	return d.attach(ctx, controller)
}
