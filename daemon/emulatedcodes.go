package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/slots/softslots"
	"github.com/fobd/fobd/tokens/softkey"
)

// What is behind the name of a key's state file in those of its accounts for one-time codes and of its slots.
const (
	codesSuffix = ".oath"
	slotsSuffix = ".slots"
)

// A Nitrokey 3, whose accounts are reached by a vendor command of CTAPHID.
const (
	nitrokey3Vendor, nitrokey3Product = 0x20A0, 0x42B2
)

// emulatedCodes is the application for one-time codes of an emulated key. Its methods do nothing on nil.
type emulatedCodes struct {
	kind   applet.Personality
	applet *applet.Applet
	store  softkey.Store // nil for memory
	// slots are a YubiKey's, nil for others, slotStore their file.
	slots     *softslots.Key
	slotStore softkey.Store
	sides     []string // their ids, while it is on
}

// codes makes the application that a request wants. The person who touches it is that of the key.
func (m *emulator) codes(dir, name, state, kind string, auth *softkey.Authenticator) (*emulatedCodes, error) {
	if kind == "none" {
		return nil, nil
	}
	e := &emulatedCodes{kind: applet.Personality(kind)}
	if kind == "" {
		e.kind = applet.YubiKey
	}
	cfg := applet.Config{Personality: e.kind, Touch: func(ctx context.Context, _ applet.Prompt) bool { return auth.Asked(ctx) }}
	if state != "" {
		var err error
		if e.store, cfg.State, err = openCodes[applet.State](m, dir, state+codesSuffix); err != nil {
			return nil, err
		}
		if cfg.State != nil {
			defer cfg.State.Wipe()
		}
		cfg.Save = e.save
	}
	var err error
	if e.applet, err = applet.New(cfg); err != nil {
		return nil, errors.Join(invalidEmulation(fmt.Errorf("emulated key %s: %w", name, err)), e.close())
	}
	if err := m.withSlots(e, dir, state, auth); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// withSlots gives the application of a YubiKey its slots.
func (m *emulator) withSlots(e *emulatedCodes, dir, state string, auth *softkey.Authenticator) error {
	if e.kind != applet.YubiKey {
		return nil
	}
	cfg := softslots.Config{Touch: auth.Asked}
	if state != "" {
		file, last, err := openCodes[softslots.State](m, dir, state+slotsSuffix)
		if err != nil {
			return err
		}
		e.slotStore, cfg.State = file, last
		if last != nil {
			defer last.Wipe()
		}
		cfg.Save = func(s softslots.State) error {
			defer s.Wipe()
			return saveCodes(file, s)
		}
	}
	var err error
	if e.slots, err = softslots.New(cfg); err != nil {
		return badState(err)
	}
	return nil
}

// openCodes opens a file beside a key's state. The last state in it is nil if there was none.
func openCodes[S any](m *emulator, dir, name string) (softkey.Store, *S, error) {
	file, err := m.open(dir, name)
	if err != nil {
		return nil, nil, err
	}
	var last *S
	err = file.Load(func(record []byte) error {
		last = new(S)
		return json.Unmarshal(record, last)
	})
	if err != nil {
		return nil, nil, errors.Join(badState(err), file.Close())
	}
	return file, last, nil
}

// saveCodes keeps a state, in the place of the one before.
func saveCodes(file softkey.Store, s any) error {
	record, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("daemon: emulated key: %w", err)
	}
	defer clear(record)
	return file.Rewrite([][]byte{record})
}

// save keeps the accounts.
func (e *emulatedCodes) save(s applet.State) error {
	defer s.Wipe()
	return saveCodes(e.store, s)
}

// vendor says whether it is behind a vendor command of CTAPHID.
func (e *emulatedCodes) vendor() bool { return e != nil && e.kind == applet.Nitrokey }

// withVendor is an authenticator with a vendor command.
type withVendor struct {
	*softkey.Authenticator
	codes *emulatedCodes
}

// Vendor implements what [ctaphid.Authenticator] may have.
func (v withVendor) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(byte)) ([]byte, error) {
	response, err := v.codes.applet.Vendor(ctx, cmd, payload, keepalive)
	switch {
	case errors.Is(err, applet.ErrCommand):
		err = ctaphid.ErrInvalidCmd
	case errors.Is(err, applet.ErrLength):
		err = ctaphid.ErrInvalidLen
	}
	return response, err
}

// beside is what the key's channels reach.
func (e *emulatedCodes) beside(auth *softkey.Authenticator) ctaphid.Authenticator {
	if e.vendor() {
		return withVendor{auth, e}
	}
	return auth
}

// memoryCard is a link to the applet in memory.
type memoryCard struct{ *applet.Applet }

func (memoryCard) Close() error { return nil }

// memorySlots is a link to slots in memory.
type memorySlots struct{ *softslots.Key }

func (memorySlots) Close() error { return nil }

// Transmit implements [oath.Card].
func (m memoryCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	response, err := m.Applet.Transmit(ctx, command)
	if errors.Is(err, applet.ErrGone) {
		err = hid.ErrGone
	}
	return response, err
}

// powerOn plugs the application in with its key.
func (e *emulatedCodes) powerOn(sides *tokens.MemorySides, key hid.Info) {
	if e == nil {
		return
	}
	e.applet.Power(true)
	if e.vendor() {
		return
	}
	attach := func(prefix string, way tokens.Way, link tokens.Link) {
		info := key
		info.ID = prefix + key.ID
		info.UsagePage, info.Usage = 0, 0
		e.sides = append(e.sides, info.ID)
		sides.Attach(tokens.Side{Info: info, Way: way, Connect: func(context.Context, func(hid.Holder)) (tokens.Link, error) { return link, nil }})
	}
	attach("card-", tokens.WayCard, memoryCard{e.applet})
	if e.slots != nil {
		attach("slots-", tokens.WaySlots, memorySlots{e.slots})
	}
}

func (e *emulatedCodes) powerOff(sides *tokens.MemorySides) {
	if e == nil {
		return
	}
	for _, id := range e.sides {
		sides.Detach(id)
	}
	e.sides = nil
	e.applet.Power(false)
}

func (e *emulatedCodes) close() error {
	if e == nil {
		return nil
	}
	var errs []error
	for _, store := range []softkey.Store{e.store, e.slotStore} {
		if store != nil {
			errs = append(errs, store.Close())
		}
	}
	return errors.Join(errs...)
}

// clone makes one in memory that has the same accounts, for a key that is touched by another person.
func (e *emulatedCodes) clone(auth *softkey.Authenticator) (*emulatedCodes, error) {
	if e == nil {
		return nil, nil
	}
	state := e.applet.Snapshot()
	defer state.Wipe()
	made := &emulatedCodes{kind: e.kind}
	var err error
	made.applet, err = applet.New(applet.Config{Personality: e.kind, State: &state, Touch: func(ctx context.Context, _ applet.Prompt) bool { return auth.Asked(ctx) }})
	if err == nil && e.slots != nil {
		slots := e.slots.Snapshot()
		defer slots.Wipe()
		made.slots, err = softslots.New(softslots.Config{State: &slots, Touch: auth.Asked})
	}
	if err != nil {
		return nil, fmt.Errorf("daemon: emulated key: %w", err)
	}
	return made, nil
}

func (e *emulatedCodes) name() string {
	if e == nil {
		return ""
	}
	return string(e.kind)
}

// count is how many accounts there are.
func (e *emulatedCodes) count() int {
	if e == nil {
		return 0
	}
	s := e.applet.Snapshot()
	defer s.Wipe()
	return len(s.Entries)
}
