// Package applet is the emulated side of package oath: a card with the OATH applet, APDUs in, APDUs out. It has the
// personality of a YubiKey, a YubiKey NEO, a CanoKey or a Nitrokey 3, with what each of them does beside or against the
// protocol, and a person who touches it.
//
// It is for tests and for emulated tokens. It is a card of PC/SC ([Applet.Transmit], and [Slot] for a virtual reader) and
// the vendor command of CTAPHID ([Applet.Vendor]). It gives no protection against the user that it runs as.
//
// Where neither documents nor sources say what a device does, a comment says so.
package applet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// DefaultTouchTimeout is how long the device waits for a touch.
const DefaultTouchTimeout = 15 * time.Second

// Codes says what CALCULATE gives of a truncated response.
type Codes string

// The ways of it.
const (
	CodesDefault Codes = ""        // as the personality does
	CodesReduced Codes = "reduced" // modulo ten to the power of the digits
	CodesWhole   Codes = "whole"   // 31 bits
)

// Prompt is what the device blinks for.
type Prompt struct {
	Cmd oath.Cmd
	// Name is that of the credential, empty where it is about none.
	Name string
}

// Config says what kind of device an [Applet] is. The zero value is a YubiKey 5.4.3, touched at once.
type Config struct {
	// Personality is the kind of device; "" means [YubiKey].
	Personality Personality
	// Version is that of the applet; zero means a usual one of the personality.
	Version oath.Version
	// Serial is the device's serial number.
	Serial uint32
	// Capacity is the room for credentials; 0 means that of the personality.
	Capacity int
	// Codes says what CALCULATE gives.
	Codes Codes
	// FIPS makes it one of the FIPS series: no credentials without an access code, which stays.
	FIPS bool
	// NoExtended and NoChaining are what the card does not take: extended APDUs are answered by 6700, chained ones by 6884.
	NoExtended, NoChaining bool
	// Touch is the person: it returns true when the device was touched, and false when not, at the latest when ctx ends.
	// nil touches at once. It may use all methods but those that send commands.
	Touch func(ctx context.Context, p Prompt) bool
	// TouchTimeout is how long the device waits; 0 means [DefaultTouchTimeout].
	TouchTimeout time.Duration
	// State is what the device has at the beginning; nil for a fresh one. See [Applet.Snapshot].
	State *State
	// Save, if not nil, is called with the state after each change, before the command is answered; the state is Save's
	// to keep and wipe. When it fails, the change has not happened, and the command is answered by 6581.
	Save func(State) error
	// Rand is where salts and challenges come from; nil for crypto/rand.
	Rand io.Reader
}

// Errors of the card as a whole.
var (
	// ErrGone says that there is no card any more.
	ErrGone = errors.New("applet: the card was pulled out")
	// ErrCommand says that the device has no such vendor command (CTAPHID_ERROR 01).
	ErrCommand = errors.New("applet: no such vendor command")
	// ErrLength says that a vendor command is no APDU (CTAPHID_ERROR 03).
	ErrLength = errors.New("applet: not an APDU")
)

// Applet is an emulated device. Commands run one after the other; all methods may be called from any goroutine.
type Applet struct {
	cfg    Config
	traits traits
	turn   chan struct{} // holds one value while a command runs

	// mu guards what follows. The command whose turn it is holds it, but not while it waits for the person. Only who
	// has the turn changes anything but the faults.
	mu     sync.Mutex
	state  State
	before *State // the state before the running command, nil when it has changed nothing
	run    runtime
	faults faults
	power  *power
}

// runtime is what a power cycle clears.
type runtime struct {
	selected  application
	chain     apdu.Assembler
	rest      answer // what SEND REMAINING has yet to give
	challenge []byte
	unlocked  bool // by the access code
	keyed     bool // the PIN was verified by the command before this one
	fresh     bool // it was verified, or set, by this one
	missed    time.Time
	long      time.Time // when the last response went out, if it was a long one
	keepalive func(status byte)
}

// power is one plugging in. ended is closed when it ends.
type power struct{ ended chan struct{} }

// New returns a device that has just been plugged in. The error is about the configuration or the state.
func New(cfg Config) (*Applet, error) {
	if cfg.Personality == "" {
		cfg.Personality = YubiKey
	}
	t, ok := personalities[cfg.Personality]
	if !ok {
		return nil, fmt.Errorf("applet: unknown personality %.32q", string(cfg.Personality))
	}
	if cfg.Version == (oath.Version{}) {
		cfg.Version = t.version
	}
	if cfg.Capacity <= 0 {
		cfg.Capacity = t.capacity
	}
	if cfg.TouchTimeout <= 0 {
		cfg.TouchTimeout = DefaultTouchTimeout
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	switch cfg.Codes {
	case CodesDefault:
	case CodesReduced, CodesWhole:
		t.reduced = cfg.Codes == CodesReduced
	default:
		return nil, fmt.Errorf("applet: unknown kind of codes %.32q", string(cfg.Codes))
	}
	a := &Applet{cfg: cfg, traits: t, turn: make(chan struct{}, 1), power: &power{ended: make(chan struct{})}}
	a.run.chain.Max = maxCommand
	if cfg.State != nil {
		if err := cfg.State.check(cfg.Personality, cfg.Capacity); err != nil {
			return nil, err
		}
		a.state = cfg.State.clone()
		return a, nil
	}
	a.state.Personality = cfg.Personality
	var err error
	a.state.Salt, err = a.random()
	return a, err
}

func (a *Applet) random() ([]byte, error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(a.cfg.Rand, b); err != nil {
		return nil, fmt.Errorf("applet: random numbers: %w", err)
	}
	return b, nil
}

// Version is that of the applet.
func (a *Applet) Version() oath.Version { return a.cfg.Version }

// Snapshot returns what lasts, with all keys. Wipe it when done.
func (a *Applet) Snapshot() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.clone()
}

// Restore puts the device back to a snapshot of one of the same personality, as if it had been plugged in then: a command
// that runs ends with [ErrGone]. When Config.Save fails, the device has been plugged in anew and is what it was.
func (a *Applet) Restore(s State) error {
	if err := s.check(a.cfg.Personality, a.cfg.Capacity); err != nil {
		return err
	}
	a.unplug()
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.plug()
	if a.cfg.Save != nil {
		if err := a.cfg.Save(s.clone()); err != nil {
			return fmt.Errorf("applet: restore: %w", err)
		}
	}
	a.state.Wipe()
	a.state = s.clone()
	return nil
}

// unplug ends what runs.
func (a *Applet) unplug() {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.power.ended:
	default:
		close(a.power.ended)
	}
}

// plug begins anew; a.mu is held, and it is the caller's turn.
func (a *Applet) plug() {
	chain := apdu.Assembler{Max: maxCommand}
	a.run = runtime{chain: chain}
	a.power = &power{ended: make(chan struct{})}
}

// Power pulls the device out, which ends a command that runs, or plugs it in. What was unlocked is locked then.
func (a *Applet) Power(on bool) {
	a.unplug()
	if !on {
		return
	}
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plug()
}
