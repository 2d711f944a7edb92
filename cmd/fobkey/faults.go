package main

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

// faultName is a kind of fault, for help and documentation.
type faultName struct{ name, value, doc string }

// faultNames lists all kinds of faults: of messages, and of reports.
func faultNames() []faultName {
	var names []faultName
	for _, f := range softkey.FaultNames() {
		names = append(names, faultName{f.Name, f.Value, f.Doc})
	}
	return names
}

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
func (s *soft) observe(ctx context.Context, line func(string) error) error {
	_, next := s.Observations(math.MaxUint64)
	for o := range s.Observe(ctx, next) {
		seen := api.Observation{
			Number: o.Number, Time: o.Time.Format(time.RFC3339Nano), Kind: "command", Command: o.CommandName(),
			RPID: o.RPID, Event: string(o.Event), Credential: o.Credential,
		}
		if o.Event != "" {
			seen.Kind = "credential"
		} else {
			seen.Status = strings.ToUpper(o.Status.Name())
		}
		for _, id := range o.List {
			seen.List = append(seen.List, id)
		}
		text, err := json.Marshal(seen)
		if err != nil {
			return err
		}
		if err := line(string(text)); err != nil {
			return err
		}
	}
	return ctx.Err()
}
