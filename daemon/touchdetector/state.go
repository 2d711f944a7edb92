// Package touchdetector tells bars and widgets that were made for yubikey-touch-detector
// when a key waits for a touch: on the socket that they know, [Server], and as a value for
// other faces of it, [State] and [Follow].
//
// The messages are those of yubikey-touch-detector's unix socket. Of its three kinds there
// is U2F only, which is what FIDO touches are called there.
package touchdetector

import (
	"context"
	"errors"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Change is a touch that is waited for from now on, or no more.
type Change struct{ On bool }

// Message is the change as the socket tells it.
func (c Change) Message() string {
	if c.On {
		return "U2F_1"
	}
	return "U2F_0"
}

// State makes changes of a stream of events: the first touch that is waited for is a change,
// and that none is waited for any more. It does not matter who waits, the daemon for a
// program or one that goes around it. The zero value waits for nothing. It is not safe for
// use by several goroutines.
type State struct {
	prompts map[string]bool // by id
	foreign map[string]bool // by key
}

// On says whether a touch is waited for.
func (s *State) On() bool { return len(s.prompts)+len(s.foreign) > 0 }

// Event takes an event and says whether it changed anything.
func (s *State) Event(e api.Event) (Change, bool) {
	before := s.On()
	switch {
	case e.Type == api.EventPrompt && e.Prompt != nil && touches(e.Prompt.Kind):
		if s.prompts == nil {
			s.prompts = make(map[string]bool)
		}
		s.prompts[e.Prompt.ID] = true
	case e.Type == api.EventWithdrawn && e.Prompt != nil:
		delete(s.prompts, e.Prompt.ID)
	case e.Type == api.EventForeign && e.Key != nil:
		if s.foreign == nil {
			s.foreign = make(map[string]bool)
		}
		s.foreign[e.Key.ID] = true
	case (e.Type == api.EventForeignOver || e.Type == api.EventDetached) && e.Key != nil:
		delete(s.foreign, e.Key.ID)
	}
	return Change{s.On()}, s.On() != before
}

// touches says whether the key blinks while a prompt of this kind is shown.
func touches(kind api.PromptKind) bool {
	return kind == api.PromptTouch || kind == api.PromptVerify || kind == api.PromptSample
}

// Source is where events come from: the engine.
type Source interface {
	Events(ctx context.Context, who policy.Actor, send func(api.Event) error) error
}

// errLost ends a stream of events in which some are missing.
var errLost = errors.New("touchdetector: events are missing")

// Follow calls changed for every change, from a state in which nothing is waited for, until
// ctx ends or source fails. When events were lost it begins anew with what there is, and
// only the difference is a change. In the end nothing is waited for.
func Follow(ctx context.Context, source Source, who policy.Actor, changed func(Change)) error {
	told := false
	tell := func(on bool) {
		if on != told {
			told = on
			changed(Change{on})
		}
	}
	defer tell(false)
	for {
		var state State
		ready := false
		err := source.Events(ctx, who, func(e api.Event) error {
			if e.Type == api.EventLost {
				return errLost
			}
			state.Event(e)
			if ready = ready || e.Type == api.EventReady; ready {
				tell(state.On())
			}
			return nil
		})
		if !errors.Is(err, errLost) {
			return err
		}
	}
}
