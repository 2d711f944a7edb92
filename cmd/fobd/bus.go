package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/dbusapi"
)

// Waits before the daemon tries to get back on a bus that hung up.
const (
	firstRejoin = time.Second
	lastRejoin  = time.Minute
)

// member keeps the daemon on a bus.
type member struct {
	engine *daemon.Engine
	log    *slog.Logger
	system bool
	// connect joins the bus.
	connect func(ctx context.Context) (server, error)
}

// server is what [dbusapi.Server] is here.
type server interface {
	Serve(ctx context.Context) error
}

// busParts are what the daemon's face on the bus is made of.
type busParts struct {
	engine *daemon.Engine
	cfg    *config.Config
	scope  config.Scope
	polkit *voucher
}

// onBus puts the daemon on the bus that the configuration names. Without one, programs still have
// the socket: it is no error unless the configuration asks for that bus by name.
func onBus(ctx context.Context, parts *group, b busParts, log *slog.Logger) error {
	engine, cfg, scope := b.engine, b.cfg, b.scope
	which := cfg.DBus.Value
	if which == config.DBusOff {
		return nil
	}
	system := which == config.DBusSystem || which == config.DBusAuto && scope == config.System
	m := &member{engine: engine, log: log, system: system}
	m.connect = func(ctx context.Context) (server, error) {
		s := dbusapi.New(engine, dbusapi.Config{
			Self: self(), Authorize: engine.Authorize, Log: log, ShutdownTimeout: cfg.Timeouts.Shutdown.Duration,
			MaxRequest: cfg.Limits.Body << 10,
		})
		address, err := dbusapi.Address(system)
		if err != nil {
			return nil, err
		}
		if err := s.Connect(ctx, address); err != nil {
			return nil, err
		}
		// Polkit is on the system's bus only.
		if asks := vouching(s); system {
			b.polkit.server.Store(&asks)
		}
		return s, nil
	}
	first, err := m.connect(ctx)
	switch {
	case err != nil && which != config.DBusAuto:
		return fmt.Errorf("dbus = %q: %w", which, err)
	case err != nil:
		log.Info("not on D-Bus; programs reach the daemon through its socket", "bus", m, "reason", err)
		return nil
	}
	log.Info("on D-Bus", "bus", m, "name", dbusapi.Name)
	parts.run(func() error { return m.stay(ctx, first) })
	return nil
}

func (m *member) String() string {
	if m.system {
		return config.DBusSystem
	}
	return config.DBusSession
}

// stay serves until ctx ends, and joins the bus again when that hangs up.
func (m *member) stay(ctx context.Context, s server) error {
	for {
		err := s.Serve(ctx)
		// One that the bus itself started ends with it (D-Bus Specification, "Message Bus Starting Services").
		if !errors.Is(err, dbusapi.ErrLost) || os.Getenv("DBUS_STARTER_ADDRESS") != "" {
			return err
		}
		m.log.Warn("the bus hung up; trying to join it again", "bus", m)
		if s = m.rejoin(ctx); s == nil {
			return nil
		}
		m.log.Info("on D-Bus again", "bus", m)
	}
}

// rejoin tries until it works; it returns nil when ctx ends.
func (m *member) rejoin(ctx context.Context) server {
	for wait := firstRejoin; ; wait = min(2*wait, lastRejoin) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		s, err := m.connect(ctx)
		if err == nil {
			return s
		}
		m.log.Debug("the bus is still away", "bus", m, "error", err)
	}
}
