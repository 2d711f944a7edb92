package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens/softkey"
)

// reportFaults are what goes wrong with the reports of an emulated key.
type reportFaults struct {
	mu     sync.Mutex // guards what follows; connections are made at any time
	faults []hid.Fault
	uhid   *hid.Faulty // the device in front of the kernel, which is open all the time
}

// set makes faults hold: in front of the kernel at once, otherwise from the next time that the
// key is opened on.
func (f *reportFaults) set(faults []hid.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
	if f.uhid != nil {
		f.uhid.SetFaults(hid.KeyEnd(faults)...)
	}
}

func (f *reportFaults) get() []hid.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.faults)
}

func (f *reportFaults) strings() []string {
	var words []string
	for _, fault := range f.get() {
		words = append(words, fault.String())
	}
	return words
}

// faultSeed chooses the bytes that are changed.
const faultSeed = 1

// host is the host's end of a connection.
func (f *reportFaults) host(end hid.Device) hid.Device {
	if faults := f.get(); len(faults) > 0 {
		return hid.NewFaulty(end, faultSeed, faults...)
	}
	return end
}

// kernel is the key's end of a device in front of the kernel.
func (f *reportFaults) kernel(end hid.Device) hid.Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uhid = hid.NewFaulty(end, faultSeed, hid.KeyEnd(f.faults)...)
	return f.uhid
}

// parseFaults adds faults of messages and of reports to those that are there.
func parseFaults(faults softkey.Faults, reports []hid.Fault, words []string) (softkey.Faults, []hid.Fault, error) {
	more, others, err := hid.ParseFaults(words...)
	if err != nil {
		return faults, nil, invalidEmulation(err)
	}
	reports = append(reports, more...)
	if len(reports) > maxFaults {
		return faults, nil, invalidEmulation(fmt.Errorf("%d faults of reports are more than %d", len(reports), maxFaults))
	}
	for _, word := range others {
		if err := faults.Set(word); err != nil {
			return faults, nil, invalidEmulation(err)
		}
	}
	return faults, reports, nil
}

// setFaults switches faults on and off: first all off if so said, then those of off, then
// those of on. A wrong one changes nothing.
func (k *emulatedKey) setFaults(on, off []string, all bool) error {
	faults, reports := k.auth.Faults(), k.reports.get()
	if all {
		faults, reports = softkey.Faults{}, nil
	}
	for _, name := range off {
		if kind, ok := strings.CutPrefix(name, hid.FaultPrefix); ok && slices.Contains(hid.FaultNames(), name) {
			reports = slices.DeleteFunc(reports, func(f hid.Fault) bool { return f.Kind.String() == kind })
		} else if err := faults.Unset(name); err != nil {
			return invalidEmulation(err)
		}
	}
	faults, reports, err := parseFaults(faults, reports, on)
	if err != nil {
		return err
	}
	k.auth.SetFaults(faults)
	k.reports.set(reports)
	return nil
}

// restore puts the key back to a snapshot.
func (k *emulatedKey) restore(snapshot []byte) error {
	err := k.auth.Restore(snapshot)
	if errors.Is(err, softkey.ErrSnapshot) {
		return invalidEmulation(err)
	}
	return err
}

// clone makes a key in memory with the state of this one.
func (k *emulatedKey) clone() (*softkey.Authenticator, error) {
	snapshot, err := k.auth.Snapshot()
	if err != nil {
		return nil, err
	}
	defer clear(snapshot)
	cfg := k.cfg
	// With the seed it would draw the numbers of the other one.
	cfg.Store, cfg.Seed = nil, nil
	cfg.Presence, cfg.Delay, cfg.Verification = k.auth.Behaviour()
	auth, err := softkey.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := auth.Restore(snapshot); err != nil {
		return nil, errors.Join(err, auth.Close())
	}
	return auth, nil
}

// fixture reads a credential to be imported.
func fixture(c *api.EmulatedCredential) (softkey.Fixture, error) {
	f := softkey.Fixture{
		ID: c.ID, RPID: c.RPID, User: ctap2.User{ID: c.UserID, Name: c.UserName, DisplayName: c.DisplayName},
		Discoverable: c.Discoverable, PrivateKey: c.PrivateKey, CredBlob: c.CredBlob, HMACSecret: c.HMACSecret,
		ThirdPartyPayment: c.ThirdPartyPayment, LargeBlobKey: c.LargeBlobKey, LargeBlob: c.LargeBlob, LargeBlobSize: c.LargeBlobSize,
		SignCount: c.SignCount,
	}
	if c.Algorithm != "" {
		list, err := algorithms([]string{c.Algorithm})
		if err != nil {
			return f, err
		}
		f.Algorithm = list[0]
	}
	if c.CredProtect == "" {
		return f, nil
	}
	for level, name := range protections {
		if name == c.CredProtect {
			f.CredProtect = level
			return f, nil
		}
	}
	return f, invalidEmulation(fmt.Errorf("%s does not protect a credential", shorten(c.CredProtect)))
}

// importCredentials stores credentials: all, or none.
func (k *emulatedKey) importCredentials(list []api.EmulatedCredential) error {
	fixtures := make([]softkey.Fixture, len(list))
	for i := range list {
		var err error
		if fixtures[i], err = fixture(&list[i]); err != nil {
			return err
		}
	}
	if err := k.auth.Import(fixtures); err != nil {
		if errors.Is(err, ctap2.ErrKeyStoreFull) {
			return &api.Error{Code: api.CodeKeyFull, Message: "the emulated key " + k.name + " has no room for so many credentials", Hint: "import fewer, or delete some"}
		}
		return invalidEmulation(err)
	}
	return nil
}

// exportCredentials gives all that are stored.
func (k *emulatedKey) exportCredentials() ([]api.EmulatedCredential, error) {
	fixtures, err := k.auth.Export()
	if err != nil {
		return nil, err
	}
	list := make([]api.EmulatedCredential, 0, len(fixtures))
	for i := range fixtures {
		f := &fixtures[i]
		list = append(list, api.EmulatedCredential{
			ID: f.ID, RPID: f.RPID, UserID: f.User.ID, UserName: f.User.Name, DisplayName: f.User.DisplayName,
			Discoverable: f.Discoverable, PrivateKey: f.PrivateKey, Algorithm: f.Algorithm.String(), CredProtect: protections[f.CredProtect],
			CredBlob: f.CredBlob, HMACSecret: f.HMACSecret, ThirdPartyPayment: f.ThirdPartyPayment,
			LargeBlobKey: f.LargeBlobKey, LargeBlob: f.LargeBlob, LargeBlobSize: f.LargeBlobSize, SignCount: f.SignCount,
		})
	}
	return list, nil
}

// observe tells what the key was asked from a number on; with wait it waits for the first.
func (k *emulatedKey) observe(ctx context.Context, since uint64, wait bool) (*api.EmulateObserveResult, error) {
	if wait {
		// It goes on until there is one, or ctx ends.
		for range k.auth.Observe(ctx, since) {
			break
		}
		if err := context.Cause(ctx); errors.Is(err, errDeadline) {
			return nil, &api.Error{Code: api.CodeTimeout, Message: "nothing was asked of the emulated key " + k.name + " in time", Hint: "ask again, or give it more time"}
		} else if err != nil {
			return nil, err
		}
	}
	list, next := k.auth.Observations(since)
	result := &api.EmulateObserveResult{Name: k.name, Next: next, Observations: make([]api.Observation, 0, len(list))}
	for i := range list {
		result.Observations = append(result.Observations, observation(&list[i]))
	}
	return result, nil
}

// observation is one as it crosses the socket.
func observation(o *softkey.Observation) api.Observation {
	out := api.Observation{
		Number: o.Number, Time: o.Time.Format(time.RFC3339Nano), Kind: "command",
		Command: o.CommandName(), RPID: o.RPID, Event: string(o.Event), Credential: o.Credential,
	}
	for _, id := range o.List {
		out.List = append(out.List, id)
	}
	switch {
	case o.Event != "":
		out.Kind = "credential"
	case o.Command == softkey.CommandU2F:
		out.Status = fmt.Sprintf("%04x", o.SW)
	default:
		out.Status = o.Status.Name()
	}
	return out
}
