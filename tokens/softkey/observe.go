package softkey

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// MaxObservations is how many observations a key keeps: the last ones.
const MaxObservations = 1024

// Event is what happened to a credential.
type Event string

// The events.
const (
	EventCreated  Event = "created"
	EventUpdated  Event = "updated"
	EventDeleted  Event = "deleted"
	EventAsserted Event = "asserted"
)

// Observation is a command that a key was asked, with its answer's status, or something that
// happened to a credential meanwhile, which comes before the command. It holds no secrets.
type Observation struct {
	// Number counts from 1, without gaps.
	Number uint64
	// Time is of the key's clock.
	Time time.Time
	// Command is what was asked, or during which the event came; [CommandU2F] for a U2F request.
	Command ctap2.Cmd
	// Status is the answer's first byte, of no meaning with an Event. Of a U2F request it is OK or OTHER, and SW is the
	// status word.
	Status ctap2.Status
	SW     uint16
	// RPID is empty where there is none, or where only its hash is known.
	RPID string
	// List are the credential ids of the allow list or exclude list, as they came.
	List [][]byte
	// Event is empty for a command. Credential is the id of the one it is about.
	Event      Event
	Credential []byte
}

// CommandName is the name of the command as faults have it, such as "getAssertion" or "u2f".
func (o *Observation) CommandName() string { return commandWord(o.Command) }

// observed is an observation as it is kept: with the request's own list, which nobody changes.
type observed struct {
	Observation
	list []ctap2.CredentialDescriptor
}

// observer keeps the last observations.
type observer struct {
	mu      sync.Mutex // guards all below
	ring    []observed
	next    uint64        // number of the next one, less 1
	changed chan struct{} // closed at the next observation; nil when nobody waits
}

func (s *observer) add(a *Authenticator, o observed) {
	o.Time = a.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Number = s.next + 1
	if len(s.ring) < MaxObservations {
		s.ring = append(s.ring, o)
	} else {
		s.ring[s.next%MaxObservations] = o
	}
	s.next++
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *observer) command(a *Authenticator, c *command, response []byte) {
	o := observed{list: c.list}
	o.Command, o.RPID = c.cmd, c.rpID
	if len(response) > 0 {
		o.Status = ctap2.Status(response[0])
	}
	s.add(a, o)
}

// u2f notes a U2F request and hands its answer on.
func (s *observer) u2f(a *Authenticator, request, response []byte) []byte {
	var o observed
	o.Command = CommandU2F
	if n := len(response); n >= 2 {
		o.SW = uint16(response[n-2])<<8 | uint16(response[n-1])
	}
	if o.SW != 0x9000 {
		o.Status = ctap2.ErrOther
	}
	s.add(a, o)
	return response
}

func (s *observer) event(a *Authenticator, e Event, c *credential) {
	var o observed
	o.Event, o.Credential, o.RPID = e, c.ID, c.RPID
	switch e {
	case EventCreated:
		o.Command = ctap2.CmdMakeCredential
	case EventAsserted:
		o.Command = ctap2.CmdGetAssertion
	case EventDeleted, EventUpdated:
		o.Command = ctap2.CmdCredentialManagement
	}
	s.add(a, o)
}

// Observations returns what there is from the number since on, the oldest first, and the number
// that comes next, for the next call. A since of 0 is all that is kept. A list that begins with a
// larger number than since tells that some were lost.
func (a *Authenticator) Observations(since uint64) (list []Observation, next uint64) {
	s := &a.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.next - uint64(len(s.ring)) + 1
	for n := max(since, first); n <= s.next; n++ {
		o := &s.ring[(n-1)%MaxObservations]
		out := o.Observation
		out.Credential = bytes.Clone(out.Credential)
		for _, d := range o.list {
			out.List = append(out.List, bytes.Clone(d.ID))
		}
		list = append(list, out)
	}
	return list, s.next + 1
}

// wait returns when there is an observation from the number since on, or with ctx's error.
func (s *observer) wait(ctx context.Context, since uint64) error {
	for {
		s.mu.Lock()
		if s.next >= max(since, 1) {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Observe gives all observations from the number since on, and waits for more until ctx ends.
func (a *Authenticator) Observe(ctx context.Context, since uint64) iter.Seq[Observation] {
	return func(yield func(Observation) bool) {
		for since := since; a.seen.wait(ctx, since) == nil; {
			var list []Observation
			list, since = a.Observations(since)
			for _, o := range list {
				if !yield(o) {
					return
				}
			}
		}
	}
}
