// Package policy says who may do what.
//
// Until rules come (Cedar), the answer is short: root and the user that the daemon
// runs as may do everything, others nothing.
package policy

import "fmt"

// Actor is the one who asks, as the kernel or the bus knows them. Nothing in it
// comes from the request.
type Actor struct {
	UID, GID uint32
	PID      int
	User     string // name of UID, or its number
	Program  string // command name of PID when the connection began, empty when unknown
	Exe      string // path of the executable, empty when unknown
	// Session is the login session that PID belongs to, as logind numbers them, empty for a
	// service and when unknown.
	Session string
	// Vouched says that polkit lets the actor administer, this once.
	Vouched bool
}

func (a Actor) String() string {
	if a.Program == "" {
		return fmt.Sprintf("process %d of %s", a.PID, a.User)
	}
	return fmt.Sprintf("%s (process %d of %s)", a.Program, a.PID, a.User)
}

// Scope sorts operations by what they can do.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"  // tells what is there
	ScopeUse   Scope = "use"   // uses a key
	ScopeAdmin Scope = "admin" // changes a key or the daemon
)

// Action is what an actor wants to do.
type Action struct {
	Operation string
	Scope     Scope
}

// Rules decide. The zero value lets only root in.
type Rules struct {
	// Owner is the user that the daemon runs as.
	Owner uint32
}

// DeniedError says that an actor may not do something, and why.
type DeniedError struct {
	Actor  Actor
	Action Action
	Reason string
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("policy: %v may not %s: %s", e.Actor, e.Action.Operation, e.Reason)
}

// Authorize returns nil when who may do what, or a [*DeniedError].
func (r Rules) Authorize(who Actor, what Action) error {
	if who.UID == 0 || who.UID == r.Owner || who.Vouched && what.Scope == ScopeAdmin {
		return nil
	}
	return &DeniedError{who, what, "only root and the daemon's own user may use it"}
}
