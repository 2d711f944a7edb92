// Package dbusapi is the daemon's front end on D-Bus: org.fobd.Fob1, on the system's or a session's
// bus.
//
// It is for desktops and for programs that have a D-Bus library at hand. The root object
// /org/fobd/Fob1 has every row of daemon.Operations as a method, which takes the request as JSON;
// org.freedesktop.DBus.ObjectManager has an object for each key and each operation. No operation has
// code of its own here: names, types and summaries come from the table.
//
// An operation that takes time is answered with an object. It begins after the answer has been
// sent, and its signals go to the caller alone. A PIN travels through a file descriptor, never in a
// message. Who asks is known from the bus, never from the request; a caller that leaves the bus gives
// its operations up.
package dbusapi

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi/internal/bus"
	"github.com/fobd/fobd/daemon/policy"
)

// Names on the bus.
const (
	Name               = "org.fobd.Fob1"
	Root               = dbus.ObjectPath("/org/fobd/Fob1")
	ManagerInterface   = Name + ".Manager"
	KeyInterface       = Name + ".Key"
	OperationInterface = Name + ".Operation"
	ErrorPrefix        = Name + ".Error."
)

// Engine is what this front end needs of a [daemon.Engine].
type Engine interface {
	Do(ctx context.Context, who policy.Actor, op string, decode func(any) error, ui daemon.UI) (any, error)
	Events(ctx context.Context, who policy.Actor, send func(api.Event) error) error
	// The desk's methods.
	UI(who policy.Actor, show func(api.Prompt) (withdraw func())) *daemon.Screen
	Answer(who policy.Actor, id string, body []byte, giveUp bool) error
	Agent(ctx context.Context, who policy.Actor, about api.Agent, send func(api.Line) error) error
	LeaseReports(who policy.Actor, lease string) (*os.File, error)
}

// Config is how a [Server] is made. Zero members have defaults.
type Config struct {
	// Self is the daemon as the one who asks: it lists keys and follows events.
	Self policy.Actor
	// Authorize says who may see objects and properties. Default: everybody on the bus.
	Authorize func(who policy.Actor, what policy.Action) error
	// Log gets one line for each fault. Default: nowhere.
	Log *slog.Logger
	// MaxRequest bounds a request, in bytes. Default: 1 MiB.
	MaxRequest int
	// MaxCalls bounds the calls of one program that wait for an answer, and the operations that it
	// has running. Default: 64.
	MaxCalls int
	// Keep is how long an operation that has ended can be asked for its result. Default: 30 seconds.
	Keep time.Duration
	// SecretTimeout bounds the time in which a caller must have written a PIN. Default: 10 seconds.
	SecretTimeout time.Duration
	// ShutdownTimeout bounds how long [Server.Serve] waits for running operations. Default: 10 seconds.
	ShutdownTimeout time.Duration
}

// Server is the front end. It is made by [New].
type Server struct {
	engine     Engine
	cfg        Config
	manager    *spec
	conn       *bus.Conn
	polkit     *Polkit
	running    sync.WaitGroup // operations and agents
	base       context.Context
	disconnect context.CancelCauseFunc
	// followed is closed when there are no more events; followErr then says why.
	followed      chan struct{}
	followErr     error
	stopFollowing context.CancelFunc

	mu         sync.Mutex // guards what follows
	closing    bool
	callers    map[string]*caller
	keys       map[dbus.ObjectPath]*keyObject
	operations map[dbus.ObjectPath]*operation
	last       uint64 // number of the last operation
}

// New returns a server in front of an engine.
func New(engine Engine, cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(policy.Actor, policy.Action) error { return nil }
	}
	setDefault(&cfg.MaxRequest, 1<<20)
	setDefault(&cfg.MaxCalls, 64)
	setDefault(&cfg.Keep, 30*time.Second)
	setDefault(&cfg.SecretTimeout, 10*time.Second)
	setDefault(&cfg.ShutdownTimeout, 10*time.Second)
	s := &Server{
		engine:     engine,
		cfg:        cfg,
		manager:    managerSpec(daemon.Operations()),
		callers:    map[string]*caller{},
		keys:       map[dbus.ObjectPath]*keyObject{},
		operations: map[dbus.ObjectPath]*operation{},
		followed:   make(chan struct{}),
	}
	s.base, s.disconnect = context.WithCancelCause(context.Background())
	return s
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// ErrLost is why [Server.Serve] ends when the bus hung up.
var ErrLost = bus.ErrLost

// Address is where the session's bus or the system's is ("Well-known Message Bus Instances").
func Address(system bool) (string, error) { return bus.Address(system) }

// errStopping is why operations end with the server.
var errStopping = &api.Error{Code: api.CodeShuttingDown, Message: "the daemon is stopping", Hint: "try again when it is back"}

// Connect joins the bus at address and takes the server's name there. It is called once, before
// [Server.Serve].
func (s *Server) Connect(ctx context.Context, address string) error {
	conn, err := bus.Dial(address, bus.Options{Left: s.left, Handler: handler{s}})
	if err != nil {
		return fmt.Errorf("dbusapi: %w", err)
	}
	s.conn = conn
	s.polkit = &Polkit{conn: conn.Conn}
	// Whoever finds the name finds the keys.
	ready := make(chan struct{})
	following, stop := context.WithCancel(s.base)
	s.stopFollowing = stop
	go func() {
		defer close(s.followed)
		s.followErr = s.engine.Events(following, s.cfg.Self, func(e api.Event) error {
			if e.Type == api.EventReady {
				close(ready)
			}
			return s.event(e)
		})
	}()
	abandon := func(err error) error {
		stop()
		<-s.followed
		_ = conn.Close()
		return err
	}
	select {
	case <-ready:
	case <-s.followed:
		return abandon(fmt.Errorf("dbusapi: events: %w", s.followErr))
	case <-ctx.Done():
		return abandon(context.Cause(ctx))
	}
	if err := conn.Own(ctx, Name); err != nil {
		return abandon(fmt.Errorf("dbusapi: %w", err))
	}
	return nil
}

// Serve answers callers until ctx ends or the bus hangs up. At the end it takes no more calls and
// waits for the running operations, at most the configured time. It returns nil after ctx has ended
// or the engine has stopped.
func (s *Server) Serve(ctx context.Context) error {
	defer func() { _ = s.conn.Close() }()
	var err error
	select {
	case <-ctx.Done():
	case <-s.conn.Context().Done():
		err = fmt.Errorf("dbusapi: %w", ErrLost)
	case <-s.followed:
		if e := daemon.ErrorOf(s.followErr); e == nil || e.Code != api.CodeShuttingDown {
			err = fmt.Errorf("dbusapi: events: %w", s.followErr)
		}
	}
	s.stopFollowing()
	<-s.followed
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.disconnect(errStopping)
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(s.cfg.ShutdownTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		s.cfg.Log.Warn("operations did not end in time; leaving the bus", "timeout", s.cfg.ShutdownTimeout)
	}
	return err
}
