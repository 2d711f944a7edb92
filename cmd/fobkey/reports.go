package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fobd/fobd/hid"
)

// reportSeed decides which byte of a report is corrupted: always the same one.
const reportSeed = 1

// reports are the faults of single reports, on every way to the key. A new connection begins to
// count its reports at 0; a change of the faults makes all begin anew.
type reports struct {
	mu     sync.Mutex // guards what follows
	faults []hid.Fault
	live   map[*hid.Faulty]struct{}
}

// wrap puts the faults in front of a device.
func (r *reports) wrap(d hid.Device) *hid.Faulty {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := hid.NewFaulty(d, reportSeed, hid.KeyEnd(r.faults)...)
	if r.live == nil {
		r.live = map[*hid.Faulty]struct{}{}
	}
	r.live[f] = struct{}{}
	return f
}

// unwrap closes a wrapped device.
func (r *reports) unwrap(f *hid.Faulty) {
	r.mu.Lock()
	delete(r.live, f)
	r.mu.Unlock()
	_ = f.Close()
}

func (r *reports) set(faults []hid.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = slices.Clone(faults)
	for f := range r.live {
		f.SetFaults(hid.KeyEnd(r.faults)...)
	}
}

func (r *reports) get() []hid.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// unplugs says whether one of the faults unplugs the key.
func (r *reports) unplugs() bool {
	return slices.ContainsFunc(r.get(), func(f hid.Fault) bool { return f.Kind == hid.Disconnect })
}

// maxReportFaults bounds the faults of reports.
const maxReportFaults = 1024

// fault follows the order fault, for both kinds of faults.
func (k *key) fault(f fixtures, o order) (string, error) {
	k.faulting.Lock()
	defer k.faulting.Unlock()
	reports := k.reports.get()
	var err error
	switch o.word {
	case "on":
		var more []hid.Fault
		var others []string
		if more, others, err = hid.ParseFaults(o.args...); err != nil {
			return "", err
		}
		if len(reports)+len(more) > maxReportFaults {
			return "", fmt.Errorf("more than %d faults of reports", maxReportFaults)
		}
		if len(others) > 0 {
			err = f.setFaults(others)
		}
		reports = append(reports, more...)
	case "off":
		var others []string
		for _, name := range o.args {
			if !strings.HasPrefix(name, hid.FaultPrefix) {
				others = append(others, name)
			} else if !slices.Contains(hid.FaultNames(), name) {
				return "", fmt.Errorf("no fault is called %q", name)
			}
		}
		if len(others) > 0 {
			err = f.unsetFaults(others)
		}
		reports = slices.DeleteFunc(reports, func(fault hid.Fault) bool {
			return slices.Contains(o.args, hid.FaultPrefix+fault.Kind.String())
		})
	case "clear":
		err, reports = f.clearFaults(), nil
	}
	if err != nil {
		return "", err
	}
	if o.word != "" {
		k.reports.set(reports)
	}
	words := f.faults()
	for _, fault := range reports {
		words = append(words, fault.String())
	}
	return strings.Join(words, " "), nil
}
