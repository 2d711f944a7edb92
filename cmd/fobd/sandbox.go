package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fobd/fobd/cmd/internal/sandbox"
	"github.com/fobd/fobd/daemon/config"
)

// lockIn locks the daemon in before it serves the first program: it opens its own folders, what the
// system says of users and devices, and the devices; it starts no program any more and speaks to no network.
func lockIn(cfg *config.Config, scope config.Scope, e *endpoint, log *slog.Logger) error {
	if !cfg.Sandbox {
		log.Warn("no sandbox: the configuration says so")
		return nil
	}
	r := sandbox.Rules{
		// /usr is for the names of users where the C library looks them up, and for time zones.
		Read:    []string{"/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/run/systemd", "/run/udev"},
		Devices: []string{"/dev"},
	}
	if dir := cfg.Policy.Dir; dir != "" {
		if scope == config.User {
			// What is not there yet can be put there, and read by a reload.
			_ = os.MkdirAll(dir, 0o700)
		}
		r.Read = append(r.Read, dir)
	}
	for _, dir := range []string{cfg.StateDir, cfg.Audit.Dir} {
		if dir != "" {
			_ = os.MkdirAll(dir, 0o700) // whoever needs it says that it is missing
			r.Write = append(r.Write, dir)
		}
	}
	if path := cfg.Tokens.Database; path != "" && !isPostgres(path) {
		r.Write = append(r.Write, filepath.Dir(path))
	}
	for _, file := range []string{cfg.People.Metadata, cfg.People.MetadataRoot} {
		if file != "" {
			r.Read = append(r.Read, filepath.Dir(file))
		}
	}
	if file := cfg.Tokens.KeyFile; file != "" {
		r.Write = append(r.Write, filepath.Dir(file)) // a new key may come
	}
	if cfg.Trace != "" {
		r.Write = append(r.Write, filepath.Dir(cfg.Trace))
	}
	if e.lock != nil {
		r.Sockets = append(r.Sockets, filepath.Dir(e.path))
	}
	if path, err := detectorPath(cfg.TouchDetectorSocket); err == nil && path != "" {
		r.Sockets = append(r.Sockets, filepath.Dir(path))
	}
	applied, err := sandbox.Enter(r)
	if err != nil {
		return err
	}
	if applied.Landlock == 0 || !applied.Seccomp {
		log.Warn("the sandbox has holes: the kernel does not have all that it is made of", "landlock", applied.Landlock, "seccomp", applied.Seccomp)
		return nil
	}
	log.Debug("sandbox", "landlock", applied.Landlock, "seccomp", applied.Seccomp)
	return nil
}
