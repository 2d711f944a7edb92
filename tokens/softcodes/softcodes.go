// Package softcodes is what an emulated key has besides FIDO: the application for one-time codes (package applet) and, where
// it is a YubiKey, the slots behind its keyboard (package softslots). They last in files beside that of its FIDO credentials, and are
// touched by the same person.
package softcodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/slots/softslots"
	"github.com/fobd/fobd/tokens/softkey"
)

// What is behind the name of a key's state file in those of its accounts and of its slots.
const (
	AccountsSuffix = ".oath"
	SlotsSuffix    = ".slots"
)

// Config says what kind of key it is. The zero value is a YubiKey in memory, touched at once.
type Config struct {
	// Kind is that of the application; "" means a YubiKey's.
	Kind applet.Personality
	// Serial is the serial number.
	Serial uint32
	// Touch is the person: it returns whether the key was touched, at the latest when ctx ends. nil touches at once.
	Touch func(ctx context.Context) bool
	// Open opens the file whose name ends so. nil keeps all in memory.
	Open func(suffix string) (softkey.Store, error)
}

// ErrState says that a file holds no state that such a key can have.
var ErrState = errors.New("softcodes: bad state")

// Codes are the two of one key. All methods may be called from any goroutine, and on nil, which is a key without.
type Codes struct {
	// Applet is the application, Slots are nil for others than YubiKeys.
	Applet *applet.Applet
	Slots  *softslots.Key

	kind   applet.Personality
	stores []softkey.Store
}

// New plugs them in. The error is about the configuration, of Open, or an [ErrState].
func New(cfg Config) (*Codes, error) {
	c := &Codes{kind: cfg.Kind}
	if c.kind == "" {
		c.kind = applet.YubiKey
	}
	if err := c.open(cfg); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Codes) open(cfg Config) error {
	touch := cfg.Touch
	if touch == nil {
		touch = func(context.Context) bool { return true }
	}
	accounts := applet.Config{Personality: c.kind, Serial: cfg.Serial, Touch: func(ctx context.Context, _ applet.Prompt) bool { return touch(ctx) }}
	if cfg.Open != nil {
		store, last, err := load[applet.State](c, cfg.Open, AccountsSuffix)
		if err != nil {
			return err
		}
		if accounts.State = last; last != nil {
			defer last.Wipe()
		}
		accounts.Save = func(s applet.State) error {
			defer s.Wipe()
			return save(store, s)
		}
	}
	var err error
	if c.Applet, err = applet.New(accounts); err != nil {
		return stateError(err, applet.ErrState)
	}
	if c.kind != applet.YubiKey {
		return nil
	}
	keyboard := softslots.Config{Serial: cfg.Serial, Touch: touch}
	if cfg.Open != nil {
		store, last, err := load[softslots.State](c, cfg.Open, SlotsSuffix)
		if err != nil {
			return err
		}
		if keyboard.State = last; last != nil {
			defer last.Wipe()
		}
		keyboard.Save = func(s softslots.State) error {
			defer s.Wipe()
			return save(store, s)
		}
	}
	c.Slots, err = softslots.New(keyboard)
	return stateError(err, softslots.ErrState)
}

func stateError(err, kind error) error {
	if errors.Is(err, kind) {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return err
}

// load opens a file, and reads the last state in it; nil if there was none.
func load[S any](c *Codes, open func(suffix string) (softkey.Store, error), suffix string) (softkey.Store, *S, error) {
	store, err := open(suffix)
	if err != nil {
		return nil, nil, err
	}
	c.stores = append(c.stores, store)
	var last *S
	err = store.Load(func(record []byte) error {
		last = new(S)
		return json.Unmarshal(record, last)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrState, suffix, err)
	}
	return store, last, nil
}

// save keeps a state, in the place of the one before.
func save(store softkey.Store, s any) error {
	record, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("softcodes: %w", err)
	}
	defer clear(record)
	return store.Rewrite([][]byte{record})
}

// Close closes the files.
func (c *Codes) Close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, s := range c.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Clone makes a key in memory that has the same accounts and slots, and another person.
func (c *Codes) Clone(touch func(ctx context.Context) bool) (*Codes, error) {
	if c == nil {
		return nil, nil
	}
	made, err := New(Config{Kind: c.kind, Touch: touch})
	if err != nil {
		return nil, err
	}
	accounts := c.Applet.Snapshot()
	defer accounts.Wipe()
	if err := made.Applet.Restore(accounts); err != nil {
		return nil, fmt.Errorf("softcodes: %w", err)
	}
	if c.Slots == nil {
		return made, nil
	}
	keyboard := c.Slots.Snapshot()
	defer keyboard.Wipe()
	if made.Slots, err = softslots.New(softslots.Config{State: &keyboard, Touch: touch}); err != nil {
		return nil, fmt.Errorf("softcodes: %w", err)
	}
	return made, nil
}

// Power plugs the key in, or pulls it out, which ends what runs and locks what was unlocked.
func (c *Codes) Power(on bool) {
	if c != nil {
		c.Applet.Power(on)
	}
}

// Kind is that of the application, "" for none.
func (c *Codes) Kind() applet.Personality {
	if c == nil {
		return ""
	}
	return c.kind
}

// Accounts is how many accounts there are.
func (c *Codes) Accounts() int {
	if c == nil {
		return 0
	}
	s := c.Applet.Snapshot()
	defer s.Wipe()
	return len(s.Entries)
}

// OverCTAPHID says whether the application is behind a vendor command of CTAPHID, as a Nitrokey 3's is.
func (c *Codes) OverCTAPHID() bool { return c.Kind() == applet.Nitrokey }

// Vendor is that command, as a [ctaphid.Authenticator] may have one. Others than Nitrokeys have none.
func (c *Codes) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(byte)) ([]byte, error) {
	if !c.OverCTAPHID() {
		return nil, ctaphid.ErrInvalidCmd
	}
	response, err := c.Applet.Vendor(ctx, cmd, payload, keepalive)
	switch {
	case errors.Is(err, applet.ErrCommand):
		err = ctaphid.ErrInvalidCmd
	case errors.Is(err, applet.ErrLength):
		err = ctaphid.ErrInvalidLen
	}
	return response, err
}
