package main

import (
	"context"
	"log/slog"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/dbusapi/logind"
)

// watchLogins ends what people agreed to until their screen is locked or their session ends, where
// systemd-logind tells of that.
func watchLogins(ctx context.Context, parts *group, engine *daemon.Engine, log *slog.Logger) {
	w, err := logind.Connect(ctx, "", log)
	if err != nil {
		log.Debug("nobody tells of locked screens; grants end by time, unplug and fob grant revoke", "reason", err)
		return
	}
	parts.run(func() error {
		err := w.Serve(ctx, func(session string) { engine.SessionLocked(session) })
		if err != nil {
			log.Warn("nobody tells of locked screens any more", "reason", err)
			<-ctx.Done()
		}
		return nil
	})
}
