package dbusapi

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// errLeft is why the operations of a caller end that has left the bus.
var errLeft = &api.Error{Code: api.CodeCancelled, Message: "the program that asked has left the bus"}

// caller is a connection to the bus that has called us. A unique name is never given twice.
type caller struct {
	name string
	// ctx ends when the caller leaves, or the server stops.
	ctx  context.Context
	gone context.CancelCauseFunc
	// identify asks the bus who it is, once.
	identify func() (policy.Actor, error)

	// Guarded by the server's lock.
	calls      int          // that wait for an answer
	operations int          // that run
	ended      []*operation // that are kept, oldest first
	agents     map[string]*agent
}

// enter counts a call in. The caller calls done.
func (s *Server) enter(name string) (from *caller, done func(), err error) {
	if name == "" {
		return nil, nil, busError("AccessDenied", "the bus does not say who is calling")
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil, nil, errStopping
	}
	from = s.callers[name]
	if from == nil {
		from = &caller{name: name, agents: map[string]*agent{}}
		from.ctx, from.gone = context.WithCancelCause(s.base)
		from.identify = sync.OnceValues(func() (policy.Actor, error) { return s.credentials(from) })
		// Before the bus is asked: one that leaves after its answer is found here.
		s.callers[name] = from
	}
	if from.calls >= s.cfg.MaxCalls {
		s.mu.Unlock()
		return nil, nil, busError("LimitsExceeded", fmt.Sprintf("%d calls wait for an answer already", s.cfg.MaxCalls))
	}
	from.calls++
	s.mu.Unlock()
	return from, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		from.calls--
	}, nil
}

// left gives up what a caller wanted.
func (s *Server) left(name string) {
	s.mu.Lock()
	from := s.callers[name]
	delete(s.callers, name)
	s.mu.Unlock()
	if from != nil {
		from.gone(errLeft)
	}
}

// credentials asks the bus who a caller is.
func (s *Server) credentials(from *caller) (policy.Actor, error) {
	stop, err := s.conn.Watch(from.ctx)
	if err != nil {
		s.left(from.name)
		return policy.Actor{}, &api.Error{Code: api.CodeDenied, Message: err.Error()}
	}
	context.AfterFunc(from.ctx, stop)
	// One that has left by now is unknown to the bus.
	who, err := s.conn.Identify(from.ctx, from.name)
	if err != nil {
		s.left(from.name)
		return policy.Actor{}, &api.Error{Code: api.CodeDenied, Message: err.Error()}
	}
	return who, nil
}

// authorize asks the policy about something that is no operation.
func (c *call) authorize(what policy.Action) error {
	who, err := c.from.identify()
	if err != nil {
		return err
	}
	return c.s.cfg.Authorize(who, what)
}

// read asks the policy whether the caller may see what is there.
func (c *call) read() error {
	return c.authorize(policy.Action{Operation: "objects", Scope: policy.ScopeRead})
}

// cause is why a caller's context ended, when err says no more than that it did.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}
