// Package logind hears from systemd-logind when a screen is locked, a session ends, or the machine goes
// to sleep, so that what people agreed to until then ends (org.freedesktop.login1(5)).
//
// It is for cmd/fobd.
package logind

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/dbusapi/internal/bus"
)

const (
	name             = "org.freedesktop.login1"
	root             = "/org/freedesktop/login1"
	managerInterface = name + ".Manager"
	sessionInterface = name + ".Session"
	properties       = "org.freedesktop.DBus.Properties"
)

// Watcher is on the system's bus. It is made by [Connect].
type Watcher struct {
	conn    *bus.Conn
	log     *slog.Logger
	signals chan *dbus.Signal
}

// maxBehind is how many signals wait; what comes beyond them is lost, and then all sessions count as locked.
const maxBehind = 256

// Connect joins the bus at address, or the system's when that is empty.
func Connect(ctx context.Context, address string, log *slog.Logger) (*Watcher, error) {
	if address == "" {
		var err error
		if address, err = bus.Address(true); err != nil {
			return nil, fmt.Errorf("logind: %w", err)
		}
	}
	w := &Watcher{log: log, signals: make(chan *dbus.Signal, maxBehind)}
	var err error
	if w.conn, err = bus.Dial(address, bus.Options{Signal: w.hear}); err != nil {
		return nil, fmt.Errorf("logind: %w", err)
	}
	for _, rule := range []string{
		"interface='" + managerInterface + "',member='PrepareForSleep'",
		"interface='" + managerInterface + "',member='SessionRemoved'",
		"interface='" + sessionInterface + "',member='Lock'",
		"interface='" + properties + "',member='PropertiesChanged',arg0='" + sessionInterface + "'",
	} {
		rule = "type='signal',sender='" + name + "'," + rule
		if err := w.conn.BusObject().CallWithContext(ctx, bus.DaemonName+".AddMatch", 0, rule).Err; err != nil {
			_ = w.conn.Close()
			return nil, fmt.Errorf("logind: the bus does not tell of it: %w", err)
		}
	}
	return w, nil
}

// hear must not wait.
func (w *Watcher) hear(s *dbus.Signal) {
	select {
	case w.signals <- s:
	default:
		select {
		case <-w.signals:
		default:
		}
		w.signals <- &dbus.Signal{Name: managerInterface + ".PrepareForSleep", Body: []any{true}}
	}
}

// Serve calls over with the id of each session whose screen was locked or that has ended, and with "" for
// all when the machine goes to sleep, until ctx ends or the bus hangs up. It returns nil after ctx has ended.
func (w *Watcher) Serve(ctx context.Context, over func(session string)) error {
	defer func() { _ = w.conn.Close() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.conn.Context().Done():
			// Nobody would tell any more: what was agreed to until then is over.
			over("")
			return fmt.Errorf("logind: %w", bus.ErrLost)
		case s := <-w.signals:
			if session, ended := ending(s); ended {
				w.log.Debug("session locked or ended", "session", session)
				over(session)
			}
		}
	}
}

// ending says of which session a signal tells that it is locked or ends; "" is all.
func ending(s *dbus.Signal) (session string, ended bool) {
	switch s.Name {
	case managerInterface + ".PrepareForSleep":
		on, ok := at(s.Body, 0).(bool)
		return "", ok && on
	case managerInterface + ".SessionRemoved":
		id, ok := at(s.Body, 0).(string)
		return id, ok && id != ""
	case sessionInterface + ".Lock":
		id := sessionOf(s.Path)
		return id, id != ""
	case properties + ".PropertiesChanged":
		changed, _ := at(s.Body, 1).(map[string]dbus.Variant)
		if locked, ok := changed["LockedHint"].Value().(bool); ok && locked {
			id := sessionOf(s.Path)
			return id, id != ""
		}
	}
	return "", false
}

func at(body []any, i int) any {
	if i < len(body) {
		return body[i]
	}
	return nil
}

// sessionOf is the id of a session by its object: what a path cannot hold is _XX there.
func sessionOf(object dbus.ObjectPath) string {
	dir, label := path.Split(string(object))
	if dir != root+"/session/" {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(label); i++ {
		if label[i] == '_' && i+2 < len(label) {
			if c, err := hex.DecodeString(label[i+1 : i+3]); err == nil {
				b.Write(c)
				i += 2
				continue
			}
		}
		b.WriteByte(label[i])
	}
	return b.String()
}
