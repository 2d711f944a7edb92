//go:build !linux

package hid

import "context"

// WatchUSB calls changed once and waits for the end of ctx: only Linux tells of USB devices.
func WatchUSB(ctx context.Context, changed func()) error {
	changed()
	<-ctx.Done()
	return context.Cause(ctx)
}
