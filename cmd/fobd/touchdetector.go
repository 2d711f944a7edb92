package main

import (
	"context"
	"log/slog"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/touchdetector"
)

// touchDetector runs the socket for programs made for yubikey-touch-detector, where the
// configuration wants it.
func touchDetector(ctx context.Context, parts *group, engine *daemon.Engine, path string, log *slog.Logger) error {
	if path == "" {
		return nil
	}
	path, err := detectorPath(path)
	if err != nil {
		return err
	}
	server, err := touchdetector.Listen(path, log)
	if err != nil {
		return err
	}
	log.Info("touch detector socket", "path", path)
	parts.run(func() error { return server.Serve(ctx, engine, self()) })
	return nil
}

// detectorPath is where that socket is.
func detectorPath(configured string) (string, error) {
	if configured == config.TouchDetectorAuto {
		return touchdetector.DefaultPath()
	}
	return configured, nil
}
