package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/fobd/fobd/daemon/config"
)

// newLog writes to standard error. Under systemd's journal, which has its own clock and
// keeps priorities, a line begins with the priority instead of the time (sd-daemon(3)).
func newLog(c config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level.Level}
	w := io.Writer(os.Stderr)
	journal := os.Getenv("JOURNAL_STREAM") != ""
	if journal {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if c.Format.Value == config.FormatJSON {
		h = slog.NewJSONHandler(w, options)
	}
	if journal {
		h = prioritized{h, &sync.Mutex{}, w}
	}
	return slog.New(h)
}

// prioritized puts syslog's priority before each line.
type prioritized struct {
	slog.Handler
	mu *sync.Mutex // keeps the priority and its line together
	w  io.Writer
}

// Handle implements [slog.Handler].
func (p prioritized) Handle(ctx context.Context, r slog.Record) error {
	priority := "<6>"
	switch {
	case r.Level >= slog.LevelError:
		priority = "<3>"
	case r.Level >= slog.LevelWarn:
		priority = "<4>"
	case r.Level < slog.LevelInfo:
		priority = "<7>"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := io.WriteString(p.w, priority); err != nil {
		return err
	}
	return p.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (p prioritized) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prioritized{p.Handler.WithAttrs(attrs), p.mu, p.w}
}

// WithGroup implements [slog.Handler].
func (p prioritized) WithGroup(name string) slog.Handler {
	return prioritized{p.Handler.WithGroup(name), p.mu, p.w}
}
