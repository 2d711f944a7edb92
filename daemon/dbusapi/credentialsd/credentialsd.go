// Package credentialsd answers on D-Bus as credentialsd's gateway does, so that programs that go
// through the desktop portal (sandboxed browsers among them) use the daemon's keys.
//
// That interface is experimental and moves; this is the one that [InterfaceVersion] names. The caller
// is the portal, which has found out for which program and site it asks; as credentialsd does, we
// take its word for the origin and show the program that it names to the person as a claim. Prompts
// go to agents, for a portal has no way to show any.
package credentialsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi/internal/bus"
	"github.com/fobd/fobd/daemon/policy"
)

// InterfaceVersion names the state of credentialsd's public sources that this was written from. The
// interface has no version of its own.
const InterfaceVersion = "experimental gateway interface, credentialsd/src/gateway/dbus.rs as read in 2026"

// Names on the bus.
const (
	Name      = "xyz.iinuwa.credentialsd.Credentials"
	Path      = dbus.ObjectPath("/org/freedesktop/portal/desktop")
	Interface = "org.freedesktop.handler.portal.experimental.Credential"
)

// MaxCalls is how many calls are answered at once; the portal has no reason for more.
const MaxCalls = 64

// shutdownTimeout bounds how long [Server.Serve] waits for cancelled operations.
const shutdownTimeout = 10 * time.Second

// Causes of the end of a call.
var (
	errLeft     = &api.Error{Code: api.CodeCancelled, Message: "the portal that asked has left the bus"}
	errStopping = &api.Error{Code: api.CodeShuttingDown, Message: "the daemon is stopping", Hint: "try again when it is back"}
)

// Engine is what this needs of a [daemon.Engine].
type Engine interface {
	Do(ctx context.Context, who policy.Actor, op string, decode func(any) error, ui daemon.UI) (any, error)
}

// Server is the adapter on a bus. It is made by [Connect].
type Server struct {
	engine Engine
	conn   *bus.Conn
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	closing bool
	calls   map[*call]struct{}
	running sync.WaitGroup
}

// call is a call that is not answered yet.
type call struct {
	sender string // unique name, which is never given twice
	cancel context.CancelCauseFunc
}

// Connect joins the bus at address, or the session's when that is empty, and takes the name there. Calls are answered from then on.
func Connect(ctx context.Context, address string, engine Engine, log *slog.Logger) (*Server, error) {
	s := &Server{engine: engine, log: log, calls: map[*call]struct{}{}}
	var err error
	if s.conn, err = bus.Dial(address, bus.Options{Left: s.left}); err != nil {
		return nil, fmt.Errorf("credentialsd: %w", err)
	}
	if err := s.export(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("credentialsd: %w", err), s.conn.Close())
	}
	log.Info("credentialsd adapter on D-Bus", "name", Name, "written-from", InterfaceVersion)
	return s, nil
}

func (s *Server) export(ctx context.Context) error {
	if err := s.conn.Export(gateway{s}, Path, Interface); err != nil {
		return err
	}
	if err := s.conn.Export(introspect.NewIntrospectable(node()), Path, "org.freedesktop.DBus.Introspectable"); err != nil {
		return err
	}
	return s.conn.Own(ctx, Name)
}

// Serve waits until ctx ends or the bus hangs up, cancels what runs then, and waits for its end. It
// returns nil after ctx has ended.
func (s *Server) Serve(ctx context.Context) error {
	defer func() { _ = s.conn.Close() }()
	var err error
	select {
	case <-ctx.Done():
	case <-s.conn.Context().Done():
		err = fmt.Errorf("credentialsd: %w", bus.ErrLost)
	}
	s.mu.Lock()
	s.closing = true
	for c := range s.calls {
		c.cancel(errStopping)
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(shutdownTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		s.log.Warn("credentialsd: operations did not end in time; leaving the bus", "timeout", shutdownTimeout)
	}
	return err
}

// enter counts a call in, before the bus is asked who calls: a caller that leaves after that is found
// here.
func (s *Server) enter(sender string) (ctx context.Context, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, nil, errStopping
	case len(s.calls) >= MaxCalls:
		return nil, nil, fmt.Errorf("credentialsd: %d calls wait for an answer already", MaxCalls)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &call{sender, cancel}
	s.calls[c] = struct{}{}
	s.running.Add(1)
	return ctx, func() {
		cancel(nil)
		s.mu.Lock()
		delete(s.calls, c)
		s.mu.Unlock()
		s.running.Done()
	}, nil
}

// left cancels what a program wanted that has left the bus.
func (s *Server) left(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.calls {
		if c.sender == name {
			c.cancel(errLeft)
		}
	}
}

// node describes the object.
func node() *introspect.Node {
	arg := func(name, kind, direction string) introspect.Arg {
		return introspect.Arg{Name: name, Type: kind, Direction: direction}
	}
	window, origin := arg("parent_window", "s", "in"), arg("origin", "s", "in")
	last := []introspect.Arg{
		arg("options", "a{sv}", "in"), arg("claimed_app_id", "s", "in"),
		arg("response", "u", "out"), arg("results", "a{sv}", "out"),
	}
	return &introspect.Node{Name: string(Path), Interfaces: []introspect.Interface{
		introspect.IntrospectData,
		{Name: Interface, Methods: []introspect.Method{
			{Name: "CreateCredential", Args: append([]introspect.Arg{window, origin, arg("type", "s", "in")}, last...)},
			{Name: "GetCredential", Args: append([]introspect.Arg{window, origin}, last...)},
		}},
	}}
}
