package hid

import (
	"context"
	"errors"
)

// WatchUSB calls changed when watching begins and whenever a USB device came, is ready to be used, or went, until ctx ends; the error
// is then its cause. It costs nothing in between, and needs no privileges.
func WatchUSB(ctx context.Context, changed func()) error {
	conn, err := listenUevents("/run")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.interrupt)()
	changed()
	for {
		e, err := conn.receive()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errOverrun):
			changed()
		case err != nil:
			return err
		case e.subsystem == "usb" && (e.action == "add" || e.action == "remove" || e.action == "bind"):
			changed()
		}
	}
}
