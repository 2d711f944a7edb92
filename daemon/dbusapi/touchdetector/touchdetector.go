// Package touchdetector shows on D-Bus whether a key waits for a touch, with the properties of
// yubikey-touch-detector.
//
// It is for bars and widgets that were made for that program and its option --dbus. There are three
// properties, 0 or 1, of which U2FState is what FIDO touches are called there; the other two, of
// OpenPGP and OATH, stay 0. Here they are read-only, there any program of the session may set them.
package touchdetector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi/internal/bus"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/touchdetector"
)

// What yubikey-touch-detector calls itself.
const (
	Name      = "com.github.maximbaz.YubikeyTouchDetector"
	Path      = dbus.ObjectPath("/com/github/maximbaz/YubikeyTouchDetector")
	Interface = Name
)

// Engine is what this needs of a [daemon.Engine].
type Engine interface {
	Events(ctx context.Context, who policy.Actor, send func(api.Event) error) error
}

// Server has the properties on a bus. It is made by [Connect].
type Server struct {
	conn   *bus.Conn
	values properties
}

// Connect joins the bus at address, or the session's when that is empty, and takes the name there.
func Connect(ctx context.Context, address string, log *slog.Logger) (*Server, error) {
	conn, err := bus.Dial(address, bus.Options{})
	if err != nil {
		return nil, fmt.Errorf("touch-detector-dbus: %w", err)
	}
	s := &Server{conn: conn}
	if err := s.export(); err != nil {
		return nil, errors.Join(fmt.Errorf("touch-detector-dbus: %w", err), conn.Close())
	}
	if err := conn.Own(ctx, Name); err != nil {
		return nil, errors.Join(fmt.Errorf("touch-detector-dbus: %w", err), conn.Close())
	}
	log.Info("touch detector on D-Bus", "name", Name)
	return s, nil
}

// export puts the object on the connection.
func (s *Server) export() error {
	if err := s.conn.Export(&s.values, Path, propertiesInterface); err != nil {
		return err
	}
	return s.conn.Export(introspect.NewIntrospectable(node()), Path, "org.freedesktop.DBus.Introspectable")
}

// Serve follows the engine's events, which it gets as who, until ctx ends or the bus hangs up. It
// returns nil after ctx has ended.
func (s *Server) Serve(ctx context.Context, engine Engine, who policy.Actor) error {
	defer func() { _ = s.conn.Close() }()
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(s.conn.Context(), func() { stop(bus.ErrLost) })()
	err := touchdetector.Follow(following, engine, who, func(c touchdetector.Change) {
		// It fails only when the bus has hung up, which ends this anyway.
		_ = s.conn.Emit(Path, propertiesInterface+".PropertiesChanged", Interface, s.values.set(c.On), []string{})
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(context.Cause(following), bus.ErrLost):
		err = bus.ErrLost
	}
	return fmt.Errorf("touch-detector-dbus: %w", err)
}
