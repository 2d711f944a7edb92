package main

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens/softkey"
)

// faultName is a kind of fault, for help and documentation.
type faultName struct{ name, value, doc string }

// reportDocs say what happens to a report, by the name of the fault without its prefix.
var reportDocs = map[hid.FaultKind]string{
	hid.Drop:       "a report is lost",
	hid.Delay:      "it, and all after it, comes late",
	hid.Duplicate:  "it comes twice",
	hid.Corrupt:    "a byte of it is another one",
	hid.Reorder:    "it comes after the next one",
	hid.Disconnect: "the connection ends instead; a key of the kernel is pulled out",
	hid.Foreign:    "a report of another channel comes before it",
	hid.Busy:       "it is lost and answered CHANNEL_BUSY, if it begins a message",
}

// faultNames lists all kinds of faults: of messages, and of reports.
func faultNames() []faultName {
	var names []faultName
	for _, f := range softkey.FaultNames() {
		names = append(names, faultName{f.Name, f.Value, f.Doc})
	}
	for _, name := range hid.FaultNames() {
		doc := ""
		for kind, text := range reportDocs {
			if hid.FaultPrefix+kind.String() == name {
				doc = text
			}
		}
		names = append(names, faultName{name, hid.FaultForm, doc})
	}
	return names
}

var _ interface {
	fixtures
	stored
} = (*soft)(nil)

// faults implements fixtures.
func (s *soft) faults() []string { return s.Faults().Strings() }

// setFaults implements fixtures.
func (s *soft) setFaults(specs []string) error {
	return s.change(func(f *softkey.Faults) error { return each(specs, f.Set) })
}

// unsetFaults implements fixtures.
func (s *soft) unsetFaults(names []string) error {
	return s.change(func(f *softkey.Faults) error { return each(names, f.Unset) })
}

// clearFaults implements fixtures.
func (s *soft) clearFaults() error {
	return s.change(func(f *softkey.Faults) error { *f = softkey.Faults{}; return nil })
}

// change makes a change of the faults that are switched on, as a whole.
func (s *soft) change(edit func(*softkey.Faults) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	f := s.Faults()
	if err := edit(&f); err != nil {
		return err
	}
	s.SetFaults(f)
	return nil
}

func each(words []string, do func(string) error) error {
	for _, word := range words {
		if err := do(word); err != nil {
			return err
		}
	}
	return nil
}

// advance implements fixtures.
func (s *soft) advance(d time.Duration) { s.Advance(d) }

// observe implements fixtures. The lines are those of the daemon's operation.
func (s *soft) observe() func(ctx context.Context, line func(string) error) error {
	_, next := s.Observations(math.MaxUint64)
	return func(ctx context.Context, line func(string) error) error {
		for o := range s.Observe(ctx, next) {
			text, err := json.Marshal(observation(&o))
			if err != nil {
				return err
			}
			if err := line(string(text)); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
}

func observation(o *softkey.Observation) *api.Observation {
	seen := &api.Observation{
		Number: o.Number, Time: o.Time.Format(time.RFC3339Nano), Kind: "command", Command: o.CommandName(),
		RPID: o.RPID, Event: string(o.Event), Credential: o.Credential,
	}
	if o.Event != "" {
		seen.Kind = "credential"
	} else {
		seen.Status = o.Status.Name()
	}
	for _, id := range o.List {
		seen.List = append(seen.List, id)
	}
	return seen
}

// snapshot implements stored.
func (s *soft) snapshot() ([]byte, error) { return s.Snapshot() }

// restore implements stored.
func (s *soft) restore(snapshot []byte) error { return s.Restore(snapshot) }

// importCredentials implements stored: an array of credentials as WebDriver has them (WebAuthn
// Level 3, section 11.7).
func (s *soft) importCredentials(data []byte) (int, error) {
	var list []softkey.Fixture
	if err := json.Unmarshal(data, &list); err != nil {
		return 0, err
	}
	return len(list), s.Import(list)
}

// exportCredentials implements stored.
func (s *soft) exportCredentials() ([]byte, int, error) {
	list, err := s.Export()
	if err != nil {
		return nil, 0, err
	}
	data, err := json.MarshalIndent(list, "", "  ")
	return append(data, '\n'), len(list), err
}
