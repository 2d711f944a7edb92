package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/metrics"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/relyingparty"
	"github.com/fobd/fobd/hid"
)

// run is the daemon's life: it returns nil after ctx has ended and everything has stopped.
func run(ctx context.Context, cfg *config.Config, scope config.Scope) (err error) {
	log := newLog(cfg.Log)
	if err := errors.Join(harden(), exposeCheck(cfg.Expose)); err != nil {
		return err
	}
	looker, endLooker, err := startLooker()
	if err != nil {
		return err
	}
	defer endLooker()
	// Root keeps what it has: the folders of a daemon that runs by hand can be anybody's.
	if os.Geteuid() != 0 {
		if err := keepOnly(); err != nil {
			return err
		}
	}
	endpoint, err := listen(ctx, cfg.Socket, scope, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endpoint.Close()) }()

	var buses []hid.Bus
	if cfg.HID {
		bus := hid.NewSystemBus(log, looker)
		if cfg.Trace != "" {
			bus = &tracedBus{Bus: bus, file: cfg.Trace}
		}
		buses = append(buses, bus)
	}
	sides := codeSides(cfg, looker, log)
	rules, err := newPolicy(cfg, scope)
	if err != nil {
		return err
	}
	counts := metrics.New()
	written, err := openAudit(cfg, log)
	if err != nil {
		return err
	}
	if written.Log != nil {
		// After the engine: its last operations are written down, too.
		defer func() { err = errors.Join(err, written.Log.Close()) }()
	}
	known, sealing, closeRegistry, err := openRegistry(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeRegistry()) }()
	logins := &sessions{dir: "/run/systemd/sessions"}
	var polkit voucher
	engine, err := daemon.New(daemon.Config{
		Sources: buses,
		Sides:   sides,
		Rules:   rules,
		Session: logins.state,
		Vouch:   polkit.vouch,
		Audit:   written,
		Limits: daemon.Limits{
			Requests: cfg.Limits.Requests, UserRequests: cfg.Limits.UserRequests,
			Streams: cfg.Limits.Streams, UserStreams: cfg.Limits.UserStreams, Queue: cfg.Limits.Queue, UserQueue: cfg.Limits.UserQueue,
		},
		Registry:   known,
		People:     people(cfg, sealing, log),
		KeepTokens: cfg.PIN.Keep.Duration,
		Observer:   counts,
		Verifier:   relyingparty.Verifier{},
		Log:        log,
		StateDir:   cfg.StateDir,
		Enterprise: daemon.Enterprise{Vendor: cfg.Enterprise.Vendor, RPIDs: cfg.Enterprise.RPIDs},
		Version:    version,
		Mode:       string(scope),
		Socket:     endpoint.path,
		Timeout:    cfg.Timeouts.Operation.Duration,

		PromptOrder: cfg.Prompts.Order,
		Foreign:     cfg.ForeignTouches,
	})
	if err != nil {
		return err
	}
	counts.Watch(engine.Stats)
	front := httpapi.New(engine, httpapi.Config{
		Metrics:         counts.Handler(),
		Log:             log,
		BodyTimeout:     cfg.Timeouts.Body.Duration,
		ShutdownTimeout: cfg.Timeouts.Shutdown.Duration,

		MaxConnections:     cfg.Limits.Connections,
		MaxUserConnections: cfg.Limits.UserConnections,
		MaxBody:            int64(cfg.Limits.Body) << 10,
	})

	if err := lockIn(cfg, scope, endpoint, log); err != nil {
		return err
	}

	// The first part that ends, or ctx, ends them all.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	parts := group{stop: stop}
	parts.run(func() error { return looker.wait(ctx) })
	parts.run(func() error { return engine.Run(ctx) })
	if err := emulate(ctx, engine, cfg.Emulate); err != nil {
		stop(err)
		return errors.Join(err, parts.wait())
	}
	parts.run(func() error { return front.Serve(ctx, endpoint) })
	parts.run(func() error { return reload(ctx, rules, log) })
	watchLogins(ctx, &parts, engine, log)
	if cfg.Expose.Enabled {
		parts.run(func() error { return expose(ctx, engine, cfg.Expose, scope, looker, log) })
	}
	if err := touchDetector(ctx, &parts, engine, cfg.TouchDetectorSocket, log); err != nil {
		stop(err)
		return errors.Join(err, parts.wait())
	}
	if err := onBus(ctx, &parts, busParts{engine, cfg, scope, &polkit}, log); err != nil {
		stop(err)
		return errors.Join(err, parts.wait())
	}
	if err := portal(ctx, &parts, engine, cfg, log); err != nil {
		stop(err)
		return errors.Join(err, parts.wait())
	}
	parts.run(func() error { return watchdog(ctx, engine, log) })
	notify(log, "READY=1")
	log.Info("ready", "version", version, "mode", scope, "socket", endpoint.path, "emulated", len(cfg.Emulate))

	<-ctx.Done()
	notify(log, "STOPPING=1")
	log.Info("stopping", "reason", context.Cause(ctx))
	return parts.wait()
}

// group is a set of goroutines that end together.
type group struct {
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	mu   sync.Mutex // guards errs
	errs []error
}

func (g *group) run(part func() error) {
	g.wg.Go(func() {
		err := part()
		g.mu.Lock()
		g.errs = append(g.errs, err)
		g.mu.Unlock()
		if err == nil {
			err = errEnded
		}
		g.stop(err)
	})
}

var errEnded = errors.New("a part of the daemon ended")

func (g *group) wait() error {
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}

// emulate adds the keys that the configuration wants from the start.
func emulate(ctx context.Context, engine *daemon.Engine, keys []config.Emulate) error {
	me := self()
	for _, k := range keys {
		request := k.Request()
		_, err := engine.Do(ctx, me, api.OpEmulateAdd, func(v any) error {
			r, ok := v.(*api.EmulateAddRequest)
			if !ok {
				return fmt.Errorf("%s takes a %T", api.OpEmulateAdd, v)
			}
			*r = request
			return nil
		}, nil)
		if err != nil {
			return fmt.Errorf("emulated key %q: %w", k.Name, err)
		}
	}
	return nil
}

// self is the daemon as the one who asks.
func self() policy.Actor {
	who := policy.Actor{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: os.Getpid(), Program: "fobd"}
	who.User = strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(who.User); err == nil {
		who.User = u.Username
	}
	who.App.Exe, _ = os.Executable()
	who.Via = policy.ViaDaemon
	return who
}
