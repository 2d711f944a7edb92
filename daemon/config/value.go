package config

import (
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The types of this file are structs because the TOML library asks only those for
// their text form; it would let any string into a string and any integer into an integer.

// Duration is a time span, written like "90s" or "1m30s". It is never negative.
type Duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 || v > 24*time.Hour {
		return fmt.Errorf("want a time span between 0s and 24h, like 90s, not %s", quote(text))
	}
	d.Duration = v
	return nil
}

// Mode holds permission bits of a file, written in octal as a string: "0660".
type Mode struct{ fs.FileMode }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || v > 0o777 {
		return fmt.Errorf("want permission bits like 0660, not %s", quote(text))
	}
	m.FileMode = fs.FileMode(v)
	return nil
}

func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m.FileMode)) }

// Level is the least important level that is logged.
type Level struct{ slog.Level }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(text []byte) error {
	if l.Level.UnmarshalText(text) != nil {
		return fmt.Errorf("want debug, info, warn or error, not %s", quote(text))
	}
	return nil
}

// The forms of log lines.
const (
	FormatText = "text" // key=value
	FormatJSON = "json"
)

// Format is the form of log lines.
type Format struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Format) UnmarshalText(text []byte) error {
	return oneOf(&f.Value, text, FormatText, FormatJSON)
}

// The buses.
const (
	DBusAuto    = "auto" // that of the daemon's scope, if it is there
	DBusSession = "session"
	DBusSystem  = "system"
	DBusOff     = "off"
)

// DBus names a bus.
type DBus struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *DBus) UnmarshalText(text []byte) error {
	return oneOf(&d.Value, text, DBusAuto, DBusSession, DBusSystem, DBusOff)
}

// When lines of the audit log are made to outlast a power failure.
const (
	SyncAlways   = "always"   // before the answer
	SyncInterval = "interval" // within a second
	SyncNever    = "never"
)

// Sync is one of these.
type Sync struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sync) UnmarshalText(text []byte) error {
	return oneOf(&s.Value, text, SyncAlways, SyncInterval, SyncNever)
}

// Presence is what an emulated person does when an emulated key blinks.
type Presence struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Presence) UnmarshalText(text []byte) error {
	return oneOf(&p.Value, text, "grant", "deny", "manual", "delay")
}

// UV is what an emulated key's own user verification does.
type UV struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UV) UnmarshalText(text []byte) error {
	return oneOf(&u.Value, text, "none", "grant", "deny")
}

// Attestation is how an emulated key attests.
type Attestation struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Attestation) UnmarshalText(text []byte) error {
	return oneOf(&a.Value, text, "packed", "self", "none", "fido-u2f")
}

// Profile is the kind of an emulated key.
type Profile struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Profile) UnmarshalText(text []byte) error {
	return oneOf(&p.Value, text, "u2f", "fido2.0", "fido2.1", "fido2.3", "fido2.3-bio", "minimal")
}

// OATH is the application for one-time codes of an emulated key.
type OATH struct{ Value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OATH) UnmarshalText(text []byte) error {
	return oneOf(&o.Value, text, "yubikey", "neo", "canokey", "nitrokey", "none")
}

func oneOf(v *string, text []byte, allowed ...string) error {
	if !slices.Contains(allowed, string(text)) {
		return fmt.Errorf("want one of %s, not %s", strings.Join(allowed, ", "), quote(text))
	}
	*v = string(text)
	return nil
}

func quote(text []byte) string {
	if len(text) > 40 {
		text = text[:40]
	}
	return strconv.QuoteToGraphic(strings.ToValidUTF8(string(text), "�"))
}
