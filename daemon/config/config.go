// Package config reads the daemon's configuration file.
//
// It is for cmd/fobd. The file is TOML 1.0; a key that nobody knows is an error that
// names file, line and key, so that a misspelt one is never silently without effect.
// Files named *.toml in the folder fobd.toml.d beside it are read after it, in the
// order of their names, and override it key by key; their [[emulate]] tables add up.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fobd/fobd/daemon/api"
)

// Config is what the file can say. [Defaults] gives what holds without one.
type Config struct {
	Socket   Socket   `toml:"socket"`
	Log      Log      `toml:"log"`
	Timeouts Timeouts `toml:"timeouts"`
	Limits   Limits   `toml:"limits"`
	PIN      PIN      `toml:"pin"`
	Tokens   Tokens   `toml:"tokens"`
	People   People   `toml:"people"`
	Codes    Codes    `toml:"codes"`
	// Enterprise says for which sites keys may tell which one they are.
	Enterprise Enterprise `toml:"enterprise-attestation"`
	Policy     Policy     `toml:"policy"`
	Audit      Audit      `toml:"audit"`
	Prompts    Prompts    `toml:"prompts"`
	Expose     Expose     `toml:"expose"`
	// HID says whether real keys are used at all.
	HID bool `toml:"hid"`
	// ForeignTouches says whether touches are noticed that other programs wait for at real keys.
	ForeignTouches bool `toml:"foreign-touches"`
	// Sandbox says whether the daemon locks itself in before it serves.
	Sandbox bool `toml:"sandbox"`
	// DBus says on which bus programs find the daemon as org.fobd.Fob1.
	DBus DBus `toml:"dbus"`
	// TouchDetectorSocket is where programs made for yubikey-touch-detector hear of touches:
	// a path, [TouchDetectorAuto] for where they look for it, or empty for no such socket.
	TouchDetectorSocket string `toml:"touch-detector-socket"`
	// TouchDetectorDBus says whether they hear of touches on the session's bus, too.
	TouchDetectorDBus bool `toml:"touch-detector-dbus"`
	// Credentialsd says whether portals find the daemon on the session's bus where credentialsd
	// would be, by its experimental interface.
	Credentialsd bool `toml:"credentialsd"`
	// StateDir holds what lasts. Empty when the mode gives no place for it: then
	// only keys in memory work.
	StateDir string `toml:"state-dir"`
	// Trace begins the names of files that get every HID report of a real key, PINs'
	// ciphertexts included; .1, .2 and so on follows, one for each opening. Empty for none.
	Trace string `toml:"trace"`
	// Emulate are the keys that the daemon emulates from the start.
	Emulate []Emulate `toml:"emulate"`
}

// TouchDetectorAuto is yubikey-touch-detector.socket in XDG_RUNTIME_DIR.
const TouchDetectorAuto = "auto"

// Socket is where programs reach the daemon. None of it matters when systemd hands
// the socket over.
type Socket struct {
	Path string `toml:"path"`
	Mode Mode   `toml:"mode"`
	// Group is the name of the socket's group, empty for the daemon's own.
	Group string `toml:"group"`
}

// Log says what the daemon writes to its standard error.
type Log struct {
	Level  Level  `toml:"level"`
	Format Format `toml:"format"`
}

// Timeouts bound what could last.
type Timeouts struct {
	// Operation bounds an operation whose request names no time-out of its own.
	Operation Duration `toml:"operation"`
	// Body bounds how long a client may take to send a request, or to take a line of an answer.
	Body Duration `toml:"body"`
	// Shutdown bounds how long the daemon waits for running requests when it stops.
	Shutdown Duration `toml:"shutdown"`
}

// Limits bound what programs could take from each other.
type Limits struct {
	// Connections bounds the connections of all users to the socket, UserConnections those of one.
	Connections     int `toml:"connections"`
	UserConnections int `toml:"user-connections"`
	// Requests bounds the operations that run or wait, UserRequests those of one user.
	Requests     int `toml:"requests"`
	UserRequests int `toml:"user-requests"`
	// Streams bounds those who follow events, UserStreams those of one user.
	Streams     int `toml:"streams"`
	UserStreams int `toml:"user-streams"`
	// Queue bounds those who wait for one key, UserQueue those of one user.
	Queue     int `toml:"queue"`
	UserQueue int `toml:"user-queue"`
	// Body bounds a request, in KiB.
	Body int `toml:"body"`
}

// Tokens is about tokens for one-time codes.
type Tokens struct {
	// Enabled says whether the daemon keeps them.
	Enabled bool `toml:"enabled"`
	// Database is where: empty for SQLite's tokens.db in the state directory, or postgres://….
	Database string `toml:"database"`
	// KeyFile seals the seeds: empty for tokens.key in the state directory, or systemd's credential fobd-tokens-key.
	KeyFile string `toml:"key-file"`
}

// People is about people's security keys, and what the daemon states about people.
type People struct {
	// RPID is the site that their credentials are made for, RPName its name.
	RPID   string `toml:"rp-id"`
	RPName string `toml:"rp-name"`
	// Issuer is the daemon's name in statements, and before names in authenticator apps. Statement is how long a statement holds.
	Issuer    string   `toml:"issuer"`
	Statement Duration `toml:"statement"`
	// Metadata is a file of FIDO's Metadata Service, MetadataRoot a certificate in PEM that it is signed under, empty for FIDO's.
	Metadata     string `toml:"metadata"`
	MetadataRoot string `toml:"metadata-root"`
	// Models are the AAGUIDs of the models that are taken, none for all; Attested takes only keys that prove which model they are.
	Models   []string `toml:"models"`
	Attested bool     `toml:"attested"`
}

// Codes is about plugged-in tokens that make one-time codes.
type Codes struct {
	// SmartCards says whether pcscd is asked for tokens that are smart cards.
	SmartCards bool `toml:"smart-cards"`
	// PCSCD is its socket, empty for where it is on most systems.
	PCSCD string `toml:"pcscd"`
	// Readers are parts of the names of readers that are looked at, none for those of tokens that are known.
	Readers []string `toml:"readers"`
	// Poll keeps asking pcscd, for readers that are not on USB.
	Poll bool `toml:"poll"`
}

// PIN is about the PINs of keys.
type PIN struct {
	// Keep is how long what a key gives for a PIN or a finger is kept for the process that asked; 0 is not at all.
	Keep Duration `toml:"keep"`
}

// maxStatement is the longest that a statement may hold: what has happened to the person's keys since, it does not tell.
const maxStatement = 24 * time.Hour

// maxKeep is the longest that a key lets it be used (CTAP 2.3, section 6.5.2.1).
const maxKeep = 10 * time.Minute

// Expose says whether programs that do not know fobd see a virtual key, which shares the real ones.
type Expose struct {
	Enabled bool `toml:"enabled"`
	// Key names the key that the virtual one is like, by its id or serial number; empty for any.
	Key string `toml:"key"`
	// VendorID and ProductID are the virtual key's USB numbers; both 0 for fobd's own. Browsers in
	// snaps allow the numbers of some vendors only.
	VendorID  uint16 `toml:"vendor-id"`
	ProductID uint16 `toml:"product-id"`
}

// Audit says how the audit log is kept.
type Audit struct {
	Enabled bool `toml:"enabled"`
	// Dir is its folder; empty for audit in the state directory.
	Dir string `toml:"dir"`
	// Sync says when lines are made to outlast a power failure; those of administration always are
	// before the answer.
	Sync Sync `toml:"fsync"`
	// MaxSize is how many MiB a file gets, Keep how many files are kept, 0 for all.
	MaxSize int `toml:"max-size"`
	Keep    int `toml:"keep"`
	// Journal copies each line to systemd's journal.
	Journal bool `toml:"journal"`
	// Required makes it an error when a line cannot be written.
	Required bool `toml:"required"`
}

// Policy says where the rules are.
type Policy struct {
	// Dir holds files *.cedar; empty for none.
	Dir string `toml:"dir"`
	// Defaults says whether the rules that are built in hold, too.
	Defaults bool `toml:"defaults"`
}

// Prompts says who is asked when a person is wanted.
type Prompts struct {
	// Order names agents in order of preference, and the program that asks as "requester".
	// Agents that it does not name come after those it does, the requester last.
	Order []string `toml:"order"`
}

// Enterprise says what a site gets that wants enterprise attestation, which can tell single
// keys apart (CTAP 2.3, section 7.1). Without it, such a site gets what others get.
type Enterprise struct {
	// Vendor lets a key answer to the sites that its vendor has put into it.
	Vendor bool `toml:"vendor"`
	// RPIDs are the sites that the platform's manager lets every key answer to.
	RPIDs []string `toml:"rp-ids"`
}

// Emulate is one [[emulate]] table: a key that exists in software only. Its members
// mean what those of [api.EmulateAddRequest] mean.
type Emulate struct {
	Name          string      `toml:"name"`
	State         string      `toml:"state"`
	Presence      Presence    `toml:"presence"`
	Delay         Duration    `toml:"delay"`
	UV            UV          `toml:"uv"`
	Attestation   Attestation `toml:"attestation"`
	Algorithms    []string    `toml:"algorithms"`
	Profile       Profile     `toml:"profile"`
	Faults        []string    `toml:"faults"`
	CTAP1Only     bool        `toml:"ctap1-only"`
	UHID          bool        `toml:"uhid"`
	NoResetWindow bool        `toml:"no-reset-window"`
	OATH          OATH        `toml:"oath"`
}

// Request gives the request that adds the key.
func (e Emulate) Request() api.EmulateAddRequest {
	return api.EmulateAddRequest{
		Name: e.Name, State: e.State,
		Presence: e.Presence.Value, DelayMS: uint32(e.Delay.Milliseconds()),
		UV: e.UV.Value, Attestation: e.Attestation.Value, Algorithms: e.Algorithms,
		Profile: e.Profile.Value, Faults: e.Faults, CTAP1Only: e.CTAP1Only, UHID: e.UHID, NoResetWindow: e.NoResetWindow, OATH: e.OATH.Value,
	}
}

// Defaults gives the configuration of a daemon without a file.
func Defaults(s Scope) Config {
	c := Config{
		Socket: Socket{Path: s.SocketPath(), Mode: Mode{0o600}},
		Log:    Log{Level: Level{slog.LevelInfo}, Format: Format{FormatText}},
		Timeouts: Timeouts{
			Operation: Duration{time.Minute},
			Body:      Duration{10 * time.Second},
			Shutdown:  Duration{10 * time.Second},
		},
		Limits:     Limits{Connections: 16384, UserConnections: 12288, Requests: 4096, UserRequests: 2048, Streams: 16384, UserStreams: 12288, Queue: 2048, UserQueue: 1024, Body: 1024},
		PIN:        PIN{Duration{5 * time.Minute}},
		Tokens:     Tokens{Enabled: true},
		People:     People{RPID: "fobd.invalid", Issuer: "fobd", Statement: Duration{5 * time.Minute}, Models: []string{}},
		Codes:      Codes{SmartCards: true, Readers: []string{}},
		Enterprise: Enterprise{RPIDs: []string{}},
		Policy:     Policy{Dir: s.PolicyDir(), Defaults: true},
		Audit:      Audit{Enabled: true, Sync: Sync{SyncInterval}, MaxSize: 64, Keep: 16, Journal: s == System},
		Prompts:    Prompts{Order: []string{}},
		HID:        true,

		ForeignTouches: true,
		Sandbox:        true,
		DBus:           DBus{DBusAuto},

		StateDir: s.StateDir(),
	}
	if s == System {
		// The policy decides who may do what; it can let people at the machine in, who are in no group.
		c.Socket.Mode = Mode{0o666}
	}
	return c
}

// Validate checks what no single key can know by itself.
func (c *Config) Validate() error {
	var errs []error
	if c.Socket.Path == "" {
		errs = append(errs, errors.New("config: no place for the socket: XDG_RUNTIME_DIR is not set; say socket.path"))
	}
	// sockaddr_un has room for 107 bytes and a zero, unix(7).
	if n := len(c.Socket.Path); n > 107 {
		errs = append(errs, fmt.Errorf("config: socket.path is %d bytes long, at most 107 work", n))
	}
	if c.Audit.MaxSize < 1 || c.Audit.MaxSize > 1<<20 || c.Audit.Keep < 0 {
		errs = append(errs, errors.New("config: audit.max-size must be from 1 to 1048576 MiB, and audit.keep not less than 0"))
	}
	if c.PIN.Keep.Duration > maxKeep {
		errs = append(errs, fmt.Errorf("config: pin.keep is %v, and keys let go after %v", c.PIN.Keep.Duration, maxKeep))
	}
	if d := c.People.Statement.Duration; d <= 0 || d > maxStatement {
		errs = append(errs, fmt.Errorf("config: people.statement is %v, want more than 0 and at most %v", d, maxStatement))
	}
	for _, model := range c.People.Models {
		if _, err := uuid.Parse(model); err != nil || len(model) != 36 {
			errs = append(errs, fmt.Errorf("config: people.models has %q, want AAGUIDs such as 2fc0579f-8113-47ea-b116-bb5a8db9202a", model))
		}
	}
	if c.People.MetadataRoot != "" && c.People.Metadata == "" {
		errs = append(errs, errors.New("config: people.metadata-root without people.metadata"))
	}
	if path := c.Codes.PCSCD; path != "" && (!filepath.IsAbs(path) || len(path) > 107) {
		errs = append(errs, fmt.Errorf("config: codes.pcscd is %q, want an absolute path of at most 107 bytes", path))
	}
	if slices.Contains(c.Codes.Readers, "") {
		errs = append(errs, errors.New("config: codes.readers has an empty name, which every reader's name contains"))
	}
	l := c.Limits
	if min(l.Connections, l.UserConnections, l.Requests, l.UserRequests, l.Streams, l.UserStreams, l.Queue, l.UserQueue, l.Body) < 1 || l.Body > 1<<16 {
		errs = append(errs, errors.New("config: each of the limits must be at least 1, and limits.body at most 65536 KiB"))
	}
	if path := c.TouchDetectorSocket; path != "" && path != TouchDetectorAuto && (!filepath.IsAbs(path) || len(path) > 107) {
		errs = append(errs, fmt.Errorf("config: touch-detector-socket is %q, want %q or an absolute path of at most 107 bytes", path, TouchDetectorAuto))
	}
	var names []string
	for _, e := range c.Emulate {
		if e.Name != "" && slices.Contains(names, e.Name) {
			errs = append(errs, fmt.Errorf("config: two emulated keys are named %q", e.Name))
		}
		names = append(names, e.Name)
		if strings.ContainsAny(e.State, "/\x00") {
			errs = append(errs, fmt.Errorf("config: emulate.state is the name of a file in the state directory, not a path: %q", e.State))
		}
		if e.State != "" && c.StateDir == "" {
			errs = append(errs, fmt.Errorf("config: emulate.state is %q, but there is no state-dir", e.State))
		}
	}
	return errors.Join(errs...)
}
