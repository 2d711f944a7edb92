package main

import (
	"context"
	"log/slog"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/dbusapi/credentialsd"
	"github.com/fobd/fobd/daemon/dbusapi/touchdetector"
)

// portal puts on the session's bus what the configuration wants there under the names of other
// programs: credentialsd and yubikey-touch-detector.
func portal(ctx context.Context, parts *group, engine *daemon.Engine, cfg *config.Config, log *slog.Logger) error {
	if cfg.Credentialsd {
		server, err := credentialsd.Connect(ctx, "", engine, log)
		if err != nil {
			return err
		}
		parts.run(func() error { return server.Serve(ctx) })
	}
	if cfg.TouchDetectorDBus {
		server, err := touchdetector.Connect(ctx, "", log)
		if err != nil {
			return err
		}
		parts.run(func() error { return server.Serve(ctx, engine, self()) })
	}
	return nil
}
