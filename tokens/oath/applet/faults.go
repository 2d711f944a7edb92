package applet

import (
	"slices"
	"time"

	"github.com/fobd/fobd/u2f/apdu"
)

// Fault is what goes wrong with one command.
type Fault struct {
	// Delay makes the card slow: it waits before it looks at the command.
	Delay time.Duration
	// PullBefore pulls the card out before the command is done, PullAfter when it was done and before it is answered.
	PullBefore, PullAfter bool
	// SW, if not 0, is answered in the place of what the command gave, which is done all the same.
	SW apdu.SW
	// Change, if not nil, rewrites the response APDU, which is its to keep.
	Change func(response []byte) []byte
}

// faults are those that are waiting for their command.
type faults struct{ list []Fault }

// SetFaults sets what goes wrong with the next commands, one each; chained commands and parts of responses count one by
// one. What is left of earlier faults is dropped.
func (a *Applet) SetFaults(list ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults.list = slices.Clone(list)
}

func (f *faults) next() Fault {
	if len(f.list) == 0 {
		return Fault{}
	}
	one := f.list[0]
	f.list = f.list[1:]
	return one
}

func (f Fault) change(response []byte) []byte {
	if f.SW != 0 {
		response = apdu.Response{SW: f.SW}.Marshal()
	}
	if f.Change != nil {
		response = f.Change(response)
	}
	return response
}
