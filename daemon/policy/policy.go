// Package policy says who may do what: with which key, for which site, through which program.
//
// Rules are written in Cedar (https://docs.cedarpolicy.com). A decision is a pure function of the rules
// and of what is known about the request; nothing waits, and nothing is asked. The words that rules can
// use are those of [Schema]. The rules that hold without any file are default.cedar.
package policy

import (
	"fmt"
	"strings"
	"time"
)

// Scope sorts operations by what they can do. Rules know scopes as groups of actions.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"  // tells what is there
	ScopeUse   Scope = "use"   // uses a key
	ScopeAdmin Scope = "admin" // changes a key or the daemon
	// ScopeOrigin is that of [ClaimOrigin] alone, and ScopeFactor that of [SecondFactor].
	ScopeOrigin Scope = "origin"
	ScopeFactor Scope = "factor"
)

// Action is what an actor wants to do.
type Action struct {
	Operation string
	Scope     Scope
}

// ClaimOrigin is to speak for a web site, as browsers do: it is decided on its own, after the operation.
var ClaimOrigin = Action{"claim-origin", ScopeOrigin}

// SecondFactor is to count as verified: whether what a person has shown is enough. Its actor is that person, through the program that
// wants to know, and its request has [Factors].
var SecondFactor = Action{"second-factor", ScopeFactor}

// Factor is a kind of what a person can show.
type Factor string

// The factors.
const (
	FactorKey      Factor = "key"          // a touch of a security key
	FactorVerified Factor = "verification" // and its PIN, or a finger on it
	FactorCode     Factor = "code"         // a one-time code
	FactorRecovery Factor = "recovery"     // a recovery code
)

// Factors are what a person has shown, and has.
type Factors struct {
	// Given are those shown, Enrolled those that the person could show.
	Given, Enrolled []Factor
	// Keys and Codes are how many security keys and tokens for codes the person has.
	Keys, Codes int
}

// Key is the key that something is to be done with.
type Key struct {
	ID, Serial, AAGUID string
	Emulated           bool
}

// Session is the state of a login session (sd-login(3)).
type Session struct {
	Active bool // it is in the foreground of its seat
	Local  bool // it has a seat
	Remote bool
}

// Request is what is known when something is to be decided. Nothing in it but RPID, Origin and what is
// asked for comes from the program.
type Request struct {
	Actor  Actor
	Action Action
	// Key is nil for what is about no key.
	Key *Key
	// RPID and Origin are of the site, empty when there is none.
	RPID, Origin string
	// UserPresence and UserVerification are what the program asks for.
	UserPresence, UserVerification bool
	// Session is the state of the actor's login session.
	Session Session
	// Factors belong to [SecondFactor].
	Factors Factors
	// Time is when it is decided, in local time.
	Time time.Time
}

// Effect is how a request is decided.
type Effect string

// The effects.
const (
	Deny  Effect = "deny"
	Allow Effect = "allow"
	// Ask allows it after a person has agreed.
	Ask Effect = "ask"
)

// Rule is one of those that decided.
type Rule struct {
	ID   string
	File string
	Line int // from 1
	// Effect is what the rule says when it applies.
	Effect Effect
	// Reason is what its author wants people to hear.
	Reason string
}

func (r Rule) String() string {
	if r.File == "" {
		return r.ID
	}
	return fmt.Sprintf("%s (%s:%d)", r.ID, r.File, r.Line)
}

// Decision is the answer to a [Request].
type Decision struct {
	Effect Effect
	// Rules decided: those that forbid, else those that permit; none when nothing permits it.
	Rules []Rule
	// Grants are the spans for which a person may agree, with [Ask]: "once", a duration, "lock", "unplug".
	Grants []string
}

// Decider decides. Its methods may be called from several goroutines.
type Decider interface {
	Decide(r Request) Decision
}

// Authorize returns nil when d allows a request, or a [*DeniedError]: also when a person would have to be asked.
func Authorize(d Decider, r Request) error {
	decision := d.Decide(r)
	if decision.Effect == Allow {
		return nil
	}
	return &DeniedError{r.Actor, r.Action, decision}
}

// DeniedError says that an actor may not do something, and why.
type DeniedError struct {
	Actor    Actor
	Action   Action
	Decision Decision
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("policy: %v may not %s: %s", e.Actor, e.what(), e.Reason())
}

func (e *DeniedError) what() string {
	switch e.Action {
	case ClaimOrigin:
		return "speak for this site"
	case SecondFactor:
		return "count as verified"
	}
	return e.Action.Operation
}

// Reason says which rules denied it.
func (e *DeniedError) Reason() string {
	if len(e.Decision.Rules) == 0 {
		return "no rule permits it"
	}
	var reasons []string
	for _, r := range e.Decision.Rules {
		reason := r.Reason
		if reason == "" {
			reason = "rule " + r.ID
		}
		reasons = append(reasons, reason)
	}
	if e.Decision.Effect == Ask {
		return "a person must agree (" + strings.Join(reasons, ", ") + ")"
	}
	return strings.Join(reasons, ", ")
}

// Rules are the least there can be: root and one user may do everything, others nothing. The zero
// value lets only root in. They are for engines without a policy.
type Rules struct {
	// Owner is the user that the daemon runs as.
	Owner uint32
}

// Decide implements [Decider].
func (r Rules) Decide(q Request) Decision {
	if q.Action == SecondFactor {
		if len(q.Factors.Given) > 0 {
			return Decision{Effect: Allow, Rules: []Rule{{ID: "one-factor", Effect: Allow}}}
		}
		return Decision{Effect: Deny}
	}
	if q.Actor.UID == 0 || q.Actor.UID == r.Owner || q.Actor.Vouched && q.Action.Scope == ScopeAdmin {
		return Decision{Effect: Allow, Rules: owner}
	}
	return Decision{Effect: Deny, Rules: others}
}

var (
	owner  = []Rule{{ID: "owner", Effect: Allow}}
	others = []Rule{{ID: "others", Effect: Deny, Reason: "only root and the daemon's own user may use it"}}
)
