package daemon

import "time"

// Observer counts what an engine does. Its methods are called by several goroutines and must return at once.
type Observer interface {
	// Operation tells of one that has ended.
	Operation(Observation)
	// Waited tells how long an operation waited for its turn at a key.
	Waited(time.Duration)
	// Touched tells how long a key waited for a person.
	Touched(time.Duration)
}

// Observation is an operation that has ended.
type Observation struct {
	Operation string
	Result    string // "ok", or the code of the error
	Decision  string // as the audit log has it
	Took      time.Duration
}

// unobserved counts nothing.
type unobserved struct{}

func (unobserved) Operation(Observation) {}
func (unobserved) Waited(time.Duration)  {}
func (unobserved) Touched(time.Duration) {}

// Stats are what an engine has at the moment.
type Stats struct {
	Keys, Busy, Running, Waiting, Subscribers, Agents, Leases, Grants int
}

// Stats counts.
func (e *Engine) Stats() Stats {
	s := Stats{Keys: len(e.keys.Keys()), Waiting: e.arbiter.waiting(), Leases: len(e.leases.all()), Grants: len(e.grants.all())}
	e.mu.Lock()
	s.Running = e.running.All()
	e.mu.Unlock()
	e.events.mu.Lock()
	s.Busy, s.Subscribers = len(e.events.holders), len(e.events.subscribers)
	e.events.mu.Unlock()
	e.Desk.mu.Lock()
	s.Agents = len(e.Desk.agents)
	e.Desk.mu.Unlock()
	return s
}
