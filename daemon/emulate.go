package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softcodes"
	"github.com/fobd/fobd/tokens/softkey"
)

// maxEmulatedName bounds the names of emulated keys and of their files.
const maxEmulatedName = 32

// checkName says why a text cannot name an emulated key or its file: it becomes part of an
// id, a serial number and a path.
func checkName(what, name string) error {
	ok := len(name) > 0 && len(name) <= maxEmulatedName && name[0] != '.' && name[0] != '-'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0)
	}
	if !ok {
		return &api.Error{
			Code: api.CodeInvalidRequest, Message: fmt.Sprintf("%s cannot be %s of an emulated key", shorten(name), what),
			Hint: fmt.Sprintf("use 1 to %d of A-Z a-z 0-9 . _ -, and begin with a letter or digit", maxEmulatedName),
		}
	}
	return nil
}

func invalidEmulation(err error) error {
	return &api.Error{Code: api.CodeInvalidRequest, Message: plain(err), Hint: "the manual page of fob says what an emulated key can be"}
}

// algorithms reads names of COSE algorithms.
func algorithms(names []string) ([]cose.Algorithm, error) {
	known := softkey.Algorithms()
	var list []cose.Algorithm
	for _, name := range names {
		i := slices.IndexFunc(known, func(a cose.Algorithm) bool { return strings.EqualFold(a.String(), name) })
		if i < 0 || slices.Contains(list, known[i]) {
			return nil, invalidEmulation(fmt.Errorf("%s is not an algorithm, or there twice", shorten(name)))
		}
		list = append(list, known[i])
	}
	return list, nil
}

// emulateAdd is the operation emulate-add. The key is on.
func (c *call) emulateAdd(ctx context.Context, r *api.EmulateAddRequest) (*api.EmulateResult, error) {
	list, err := algorithms(r.Algorithms)
	if err != nil {
		return nil, err
	}
	faults, reports, err := parseFaults(softkey.Faults{}, nil, r.Faults)
	if err != nil {
		return nil, err
	}
	m := &c.e.emulated
	m.mu.Lock()
	defer m.mu.Unlock()
	name, err := m.unused(r.Name)
	if err != nil {
		return nil, err
	}
	cfg := softkey.Config{
		Profile:      softkey.Profile(r.Profile),
		CTAP1Only:    r.CTAP1Only,
		Seed:         r.Seed,
		Attestation:  softkey.Attestation(r.Attestation),
		Algorithms:   list,
		Presence:     softkey.Presence(r.Presence),
		Delay:        time.Duration(r.DelayMS) * time.Millisecond,
		Verification: softkey.Verification(r.UV),
	}
	switch {
	case r.CTAP1Only && cfg.Profile == "":
		cfg.Profile = softkey.ProfileU2F
	case cfg.Profile == "":
		cfg.Profile = softkey.ProfileFIDO23
	}
	if r.NoResetWindow {
		cfg.ResetWindow = -1
	}
	if r.State != "" {
		if cfg.Store, err = m.store(c.e.cfg.StateDir, r.State); err != nil {
			return nil, err
		}
	}
	auth, err := softkey.New(cfg)
	if err != nil {
		if cfg.Store != nil {
			_ = cfg.Store.Close() // nothing was written
		}
		if _, ok := errors.AsType[*softkey.StateError](err); ok {
			return nil, badState(err)
		}
		return nil, invalidEmulation(err)
	}
	auth.SetFaults(faults)
	codes, err := m.codes(c.e.cfg.StateDir, name, r.State, r.OATH, auth)
	if err != nil {
		return nil, errors.Join(err, auth.Close())
	}
	k := &emulatedKey{name: name, codes: codes, sides: &m.sides, state: r.State, uhid: r.UHID, profile: cfg.Profile, anytime: r.NoResetWindow, cfg: cfg, auth: auth, bus: m.bus}
	k.reports.set(reports)
	if err := k.powerOn(ctx); err != nil {
		return nil, errors.Join(err, auth.Close(), codes.Close())
	}
	m.keys[name] = k
	return c.emulated(k), nil
}

// unused checks the name for a new key; an empty one is chosen. m.mu is held.
func (m *emulator) unused(name string) (string, error) {
	if name == "" {
		name = m.free()
	}
	if err := checkName("the name", name); err != nil {
		return "", err
	}
	switch {
	case m.closed:
		return "", errShuttingDown
	case m.keys[name] != nil:
		return "", &api.Error{Code: api.CodeConflict, Message: "there is an emulated key called " + name, Hint: "remove it first, or choose another name"}
	case len(m.keys) >= maxEmulated:
		return "", &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("there are %d emulated keys", maxEmulated), Hint: "remove one first"}
	}
	return name, nil
}

// free returns a name that no key has.
func (m *emulator) free() string {
	for i := 1; ; i++ {
		if name := fmt.Sprintf("key%d", i); m.keys[name] == nil {
			return name
		}
	}
}

// store opens a file for the state of a key.
func (m *emulator) store(dir, name string) (softkey.Store, error) {
	if err := checkName("the state file", name); err != nil {
		return nil, err
	}
	for _, suffix := range []string{".key", ".lock", ".new", ".tmp", softcodes.AccountsSuffix, softcodes.SlotsSuffix} {
		if strings.HasSuffix(name, suffix) {
			// The softkey has files of its own beside it.
			return nil, invalidEmulation(fmt.Errorf("the name of a state file does not end with %s: %s", suffix, shorten(name)))
		}
	}
	if dir == "" {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "this daemon has no state directory", Hint: "leave out state to keep the key in memory"}
	}
	for _, k := range m.keys {
		if k.state == name {
			return nil, &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("the state %s is that of the emulated key %s", name, k.name)}
		}
	}
	return m.open(dir, name)
}

// open opens a file in the state directory.
func (m *emulator) open(dir, name string) (softkey.Store, error) {
	dir = filepath.Join(dir, "emulated")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("daemon: emulated key: %w", err)
	}
	store, err := softkey.OpenFile(filepath.Join(dir, name))
	if err != nil {
		return nil, badState(err)
	}
	return store, nil
}

// badState is the error about a state file that can't be used. The file stays as it is.
func badState(err error) *api.Error {
	message := plain(err)
	if errors.Is(err, softkey.ErrStateLocked) {
		return &api.Error{Code: api.CodeConflict, Message: message, Hint: "another daemon or fobkey uses it; choose another name"}
	}
	return &api.Error{Code: api.CodeConflict, Message: message, Hint: "bring back the file and its key from a backup, or move it away to begin with an empty key"}
}

// emulated is the answer about one key. The keys that are attached are looked at first,
// so that a request that follows finds the new one. m.mu is held.
func (c *call) emulated(k *emulatedKey) *api.EmulateResult {
	c.e.keys.Refresh()
	return &api.EmulateResult{Key: k.describe(c.e.keys.Keys())}
}

// named returns the key with a name; an empty one is the only key. m.mu is held.
func (m *emulator) named(name string) (*emulatedKey, error) {
	if name == "" {
		switch len(m.keys) {
		case 0:
			return nil, &api.Error{Code: api.CodeNotFound, Message: "there is no emulated key", Hint: "add one with emulate-add"}
		case 1:
			for _, k := range m.keys {
				return k, nil
			}
		}
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf("there are %d emulated keys", len(m.keys)), Hint: "name one of them"}
	}
	k := m.keys[name]
	if k == nil {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "there is no emulated key " + shorten(name), Hint: "emulate-list shows those that are there"}
	}
	return k, nil
}

// emulateList is the operation emulate-list.
func (c *call) emulateList(context.Context, *api.EmulateListRequest) (*api.EmulateListResult, error) {
	m := &c.e.emulated
	m.mu.Lock()
	defer m.mu.Unlock()
	result := &api.EmulateListResult{Keys: []api.EmulatedKey{}}
	attached := c.e.keys.Keys()
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		result.Keys = append(result.Keys, m.keys[name].describe(attached))
	}
	return result, nil
}

// withEmulated runs do on one key and answers what became of it.
func (c *call) withEmulated(name string, do func(k *emulatedKey) error) (*api.EmulateResult, error) {
	m := &c.e.emulated
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := m.named(name)
	if err != nil {
		return nil, err
	}
	if err := do(k); err != nil {
		return nil, err
	}
	return c.emulated(k), nil
}

// emulateRemove is the operation emulate-remove. The key's file stays.
func (c *call) emulateRemove(_ context.Context, r *api.EmulateNameRequest) (*api.EmulateResult, error) {
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		delete(c.e.emulated.keys, k.name)
		return k.remove()
	})
}

// emulateTouch is the operation emulate-touch. A key that does not blink keeps the touch for
// the next time that it does.
func (c *call) emulateTouch(_ context.Context, r *api.EmulateNameRequest) (*api.EmulateResult, error) {
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		if !k.on {
			return &api.Error{Code: api.CodeConflict, Message: "the emulated key " + k.name + " is off", Hint: "switch it on with emulate-power"}
		}
		k.auth.Touch()
		return nil
	})
}

// emulatePower is the operation emulate-power. Switching to the state that the key is in
// does nothing.
func (c *call) emulatePower(ctx context.Context, r *api.EmulatePowerRequest) (*api.EmulateResult, error) {
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		switch {
		case !r.On:
			k.powerOff()
		case !k.on:
			return k.powerOn(ctx)
		}
		return nil
	})
}

// emulateSet is the operation emulate-set.
func (c *call) emulateSet(_ context.Context, r *api.EmulateSetRequest) (*api.EmulateResult, error) {
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		presence, delay, _ := k.auth.Behaviour()
		if r.DelayMS > 0 {
			presence, delay = softkey.PresenceDelay, time.Duration(r.DelayMS)*time.Millisecond
		}
		if r.Presence != "" {
			presence = softkey.Presence(r.Presence)
		}
		if r.Presence != "" || r.DelayMS > 0 {
			if err := k.auth.SetPresence(presence, delay); err != nil {
				return invalidEmulation(err)
			}
		}
		if r.UV != "" {
			if err := k.auth.SetVerification(softkey.Verification(r.UV)); err != nil {
				return invalidEmulation(err)
			}
		}
		return nil
	})
}

// maxSamples bounds what one request says about samples.
const maxSamples = 256

// emulateFinger is the operation emulate-finger.
func (c *call) emulateFinger(_ context.Context, r *api.EmulateFingerRequest) (*api.EmulateResult, error) {
	if len(r.Samples) > maxSamples {
		return nil, invalidEmulation(fmt.Errorf("%d samples are more than %d", len(r.Samples), maxSamples))
	}
	var samples []ctap2.SampleStatus
	for _, name := range r.Samples {
		status, ok := ctap2.ParseSampleStatus(name)
		if !ok {
			return nil, invalidEmulation(fmt.Errorf("%s is nothing that a sensor says of a sample", shorten(name)))
		}
		samples = append(samples, status)
	}
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		if k.profile != softkey.ProfileFIDO23Bio {
			return &api.Error{Code: api.CodeUnsupported, Message: "the emulated key " + k.name + " has no sensor that learns fingers", Hint: "add one with the profile fido2.3-bio"}
		}
		k.auth.Samples(samples...)
		return nil
	})
}
