package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// Limits of what tests do to an emulated key from behind.
const (
	maxFaults   = 64
	maxAdvance  = 100 * 365 * 24 * time.Hour
	maxFixtures = 4096 // credentials in one import
)

// emulateFault is the operation emulate-fault. A request that is wrong changes nothing.
func (c *call) emulateFault(_ context.Context, r *api.EmulateFaultRequest) (*api.EmulateResult, error) {
	if len(r.On)+len(r.Off) > maxFaults {
		return nil, invalidEmulation(fmt.Errorf("%d faults are more than %d", len(r.On)+len(r.Off), maxFaults))
	}
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		return k.setFaults(r.On, r.Off, r.Clear)
	})
}

// emulateClock is the operation emulate-clock.
func (c *call) emulateClock(_ context.Context, r *api.EmulateClockRequest) (*api.EmulateResult, error) {
	if r.AdvanceMS > uint64(maxAdvance/time.Millisecond) {
		return nil, invalidEmulation(errors.New("the clock moves by at most a hundred years"))
	}
	return c.withEmulated(r.Name, func(k *emulatedKey) error {
		k.auth.Advance(time.Duration(r.AdvanceMS) * time.Millisecond)
		return nil
	})
}

// emulateSnapshot is the operation emulate-snapshot. What it returns is secret, and goes into
// no log.
func (c *call) emulateSnapshot(_ context.Context, r *api.EmulateNameRequest) (result *api.EmulateSnapshotResult, err error) {
	_, err = c.withEmulated(r.Name, func(k *emulatedKey) error {
		snapshot, err := k.auth.Snapshot()
		result = &api.EmulateSnapshotResult{Name: k.name, Snapshot: snapshot}
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// emulateRestore is the operation emulate-restore.
func (c *call) emulateRestore(_ context.Context, r *api.EmulateRestoreRequest) (*api.EmulateResult, error) {
	return c.withEmulated(r.Name, func(k *emulatedKey) error { return k.restore(r.Snapshot) })
}

// emulateClone is the operation emulate-clone. The clone is in memory, and on.
func (c *call) emulateClone(ctx context.Context, r *api.EmulateCloneRequest) (*api.EmulateResult, error) {
	m := &c.e.emulated
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := m.named(r.Name)
	if err != nil {
		return nil, err
	}
	name, err := m.unused(r.Clone)
	if err != nil {
		return nil, err
	}
	auth, err := k.clone()
	if err != nil {
		return nil, err
	}
	codes, err := k.codes.Clone(auth.Asked)
	if err != nil {
		return nil, errors.Join(err, auth.Close())
	}
	clone := &emulatedKey{name: name, codes: codes, sides: &m.sides, uhid: k.uhid, profile: k.profile, anytime: k.anytime, cfg: k.cfg, auth: auth, bus: m.bus}
	if err := clone.powerOn(ctx); err != nil {
		return nil, errors.Join(err, auth.Close(), codes.Close())
	}
	m.keys[name] = clone
	return c.emulated(clone), nil
}

// emulateImport is the operation emulate-import. All credentials are taken, or none.
func (c *call) emulateImport(_ context.Context, r *api.EmulateImportRequest) (*api.EmulateResult, error) {
	if len(r.Credentials) > maxFixtures {
		return nil, invalidEmulation(fmt.Errorf("%d credentials are more than %d", len(r.Credentials), maxFixtures))
	}
	return c.withEmulated(r.Name, func(k *emulatedKey) error { return k.importCredentials(r.Credentials) })
}

// emulateExport is the operation emulate-export. What it returns is secret, and goes into no
// log.
func (c *call) emulateExport(_ context.Context, r *api.EmulateNameRequest) (result *api.EmulateExportResult, err error) {
	_, err = c.withEmulated(r.Name, func(k *emulatedKey) error {
		list, err := k.exportCredentials()
		result = &api.EmulateExportResult{Name: k.name, Credentials: list}
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// emulateObserve is the operation emulate-observe.
func (c *call) emulateObserve(ctx context.Context, r *api.EmulateObserveRequest) (*api.EmulateObserveResult, error) {
	m := &c.e.emulated
	m.mu.Lock()
	k, err := m.named(r.Name)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return k.observe(ctx, r.Since, r.Wait)
}
