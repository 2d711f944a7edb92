package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
)

// notify tells a service manager something, if there is one (sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// watchdog tells the service manager that the engine answers, as often as it wants to
// hear it, until ctx ends. Without a watchdog it only waits: an idle daemon does not wake up.
func watchdog(ctx context.Context, engine *daemon.Engine, log *slog.Logger) error {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog", "error", err)
	}
	if every <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := alive(ctx, engine, every/4); err != nil {
			log.Error("the engine does not answer", "error", err)
			continue
		}
		notify(log, "WATCHDOG=1")
	}
}

// errSeen ends a stream of events that has told enough.
var errSeen = errors.New("seen")

// alive checks that the engine can still tell which keys there are: that takes its locks.
func alive(ctx context.Context, engine *daemon.Engine, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := engine.Events(ctx, self(), func(e api.Event) error {
		if e.Type == api.EventReady {
			return errSeen
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		return nil
	}
	return err
}
