package softkey

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobd/fobd/ctap2"
)

// snapshotVersion is that of the form of a [Authenticator.Snapshot].
const snapshotVersion = 1

// MaxSnapshot is the longest snapshot that is restored, in bytes.
const MaxSnapshot = 64 << 20

// ErrSnapshot says that something is no snapshot, or not one of a key of this kind.
var ErrSnapshot = errors.New("softkey: bad snapshot")

type snapshot struct {
	Version uint     `cbor:"1,keyasint"`
	Profile Profile  `cbor:"2,keyasint"`
	Records [][]byte `cbor:"3,keyasint"` // as a Store has them
}

// snapshotMode reads one: it may be longer than a message.
var snapshotMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  4,
		MaxArrayElements: 1 << 20,
		MaxMapPairs:      16,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// Snapshot returns the whole state that lasts: secrets, counter, PIN, configuration, credentials, large
// blobs and fingers. What a power cycle clears is not in it, nor are the faults and the clock. Whoever
// has it has the key.
func (a *Authenticator) Snapshot() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	records, err := a.records()
	if err != nil {
		return nil, err
	}
	return ctap2.Marshal(&snapshot{Version: snapshotVersion, Profile: a.cfg.Profile, Records: records})
}

// Restore puts the key back to a snapshot of a key of the same profile, as if it had been
// plugged in then: a command that waits for the person ends. It happens as a whole or, with an error,
// not at all, also in the Store. The signature counter may go back by it, as it never does otherwise:
// relying parties may take the key for a cloned one. A clone is a new key that is restored. The random
// numbers of a key with a Seed are the same each time that it was restored to the same snapshot.
func (a *Authenticator) Restore(data []byte) error {
	if len(data) > MaxSnapshot {
		return fmt.Errorf("%w: longer than %d bytes", ErrSnapshot, MaxSnapshot)
	}
	var s snapshot
	if err := snapshotMode.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	switch {
	case s.Version != snapshotVersion:
		return fmt.Errorf("%w: of version %d", ErrSnapshot, s.Version)
	case s.Profile != a.cfg.Profile:
		return fmt.Errorf("%w: of profile %q", ErrSnapshot, s.Profile)
	case len(s.Records) == 0:
		return fmt.Errorf("%w: empty", ErrSnapshot)
	}
	to := &Authenticator{cfg: a.cfg}
	for i, b := range s.Records {
		var r record
		err := ctap2.Unmarshal(b, &r)
		if err == nil {
			err = to.apply(&r)
		}
		if err != nil {
			return fmt.Errorf("%w: record %d: %w", ErrSnapshot, i, err)
		}
	}
	for _, c := range to.state.discoverable.list {
		if _, err := c.key(); err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
	}
	if a.cfg.Seed != nil {
		to.state.starts++
	}
	records, err := to.records()
	if err != nil {
		return err
	}
	defer a.interrupt()()
	if err := a.rewrite(records); err != nil {
		return err
	}
	a.state, a.keys = to.state, keyCache{}
	if a.cfg.Seed != nil {
		a.rand = rand.NewChaCha8(seed(a.cfg.Seed, a.state.starts))
	}
	a.powerUp()
	return nil
}

// rewrite replaces all that is stored.
func (a *Authenticator) rewrite(records [][]byte) error {
	if err := a.write(); err != nil {
		return fmt.Errorf("softkey: restore: %w", err)
	}
	if a.cfg.Store == nil {
		return nil
	}
	if err := a.cfg.Store.Rewrite(slices.Clone(records)); err != nil {
		return fmt.Errorf("softkey: restore: %w", err)
	}
	return nil
}
