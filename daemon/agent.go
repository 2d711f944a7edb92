package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Requester is the name, in the order of those who are asked, of the program that asks.
const Requester = "requester"

// maxAgents bounds the agents of one user.
const maxAgents = 32

var (
	// errAgentLeft says that an agent left before its prompt was answered.
	errAgentLeft = errors.New("the agent left")
	errTooSlow   = &api.Error{Code: api.CodeTooMany, Message: "the agent does not take its prompts", Hint: "subscribe again, and read faster"}
)

// agent is a program that shows prompts. Its lines are guarded by the desk's lock.
type agent struct {
	who   policy.Actor
	name  string
	kinds []api.PromptKind // nil: all
	// left is closed when it is not there any more.
	left chan struct{}

	behind []api.Line // not sent yet
	slow   bool
	news   chan struct{} // has room for one
}

// serves says whether the agent is for the prompts of what who does: its own user's, in its own
// session or in none, as services are; and in its own session also root's, as sudo is.
func (a *agent) serves(who policy.Actor, kind api.PromptKind) bool {
	if a.kinds != nil && !slices.Contains(a.kinds, kind) {
		return false
	}
	if a.who.UID == who.UID {
		return a.who.Session == "" || who.Session == "" || a.who.Session == who.Session
	}
	return who.UID == 0 && who.Session != "" && a.who.Session == who.Session
}

// send puts a line into the agent's stream. The desk's lock is held.
func (a *agent) send(l api.Line) {
	if len(a.behind) >= maxBehind {
		a.slow = true
	} else {
		a.behind = append(a.behind, l)
	}
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// Agent streams the prompts that are for who's agents to send, beginning with those that are there
// now and a line that says ready, until ctx ends, whose cause it then returns, or send fails. One that does not take its lines is sent away.
func (d *Desk) Agent(ctx context.Context, who policy.Actor, about api.Agent, send func(api.Line) error) error {
	if err := checkAgent(about); err != nil {
		return err
	}
	a := &agent{who: who, name: about.Name, kinds: about.Kinds, left: make(chan struct{}), news: make(chan struct{}, 1)}
	if err := d.enter(a); err != nil {
		return err
	}
	defer d.leave(a)
	for {
		select {
		case <-a.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		d.mu.Lock()
		lines, slow := a.behind, a.slow
		a.behind = nil
		d.mu.Unlock()
		for _, l := range lines {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := send(l); err != nil {
				return err
			}
		}
		if slow {
			return errTooSlow
		}
	}
}

func checkAgent(about api.Agent) error {
	refuse := func(message, hint string) error {
		return &api.Error{Code: api.CodeInvalidRequest, Message: message, Hint: hint}
	}
	switch {
	case about.Name == "" || len(about.Name) > 32 || strings.ContainsFunc(about.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }):
		return refuse("an agent has a name of 1 to 32 letters, digits and signs", `such as "tty" or "notify"`)
	case about.Name == Requester:
		return refuse("an agent cannot be named requester", "that is the program that asks; take another name")
	}
	for _, kind := range about.Kinds {
		if !slices.Contains(api.PromptKinds(), kind) {
			return refuse("no such kind of prompt: "+shorten(string(kind)), "GET /v1/openapi.json lists them")
		}
	}
	return nil
}

// enter adds an agent, and tells it what is shown now. Questions that somebody has been asked stay
// with them.
func (d *Desk) enter(a *agent) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, other := range d.agents {
		if other.who.UID == a.who.UID {
			n++
		}
	}
	if n >= maxAgents {
		return tooMany(fmt.Sprintf("%s has %d agents already", a.who.User, n), "stop some of them")
	}
	d.agents = append(d.agents, a)
	for _, n := range d.shown {
		if a.serves(n.who, n.prompt.Kind) {
			a.send(api.Line{Prompt: &n.prompt})
		}
	}
	a.send(api.Line{Ready: true})
	return nil
}

func (d *Desk) leave(a *agent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.agents = slices.DeleteFunc(d.agents, func(other *agent) bool { return other == a })
	close(a.left)
}

// tell shows a prompt that wants no answer to the agents, until the function it returns is called.
func (d *Desk) tell(who policy.Actor, p api.Prompt) (withdraw func()) {
	p.Lease = ""
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shown == nil {
		d.shown = make(map[string]notice)
	}
	d.shown[p.ID] = notice{p, who}
	d.each(who, p.Kind, api.Line{Prompt: &p})
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.shown, p.ID)
		d.each(who, p.Kind, api.Line{Withdrawn: p.ID})
	}
}

// each sends a line to all agents that serve. d.mu is held.
func (d *Desk) each(who policy.Actor, kind api.PromptKind, l api.Line) {
	for _, a := range d.agents {
		if a.serves(who, kind) {
			a.send(l)
		}
	}
}

// next returns who is asked next of those that have not been asked: an agent, or nil for the
// program that asks. ok is false when there is nobody left.
func (d *Desk) next(who policy.Actor, kind api.PromptKind, asked map[*agent]bool) (a *agent, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	best := -1
	consider := func(candidate *agent, name string, otherwise int) {
		rank := slices.Index(d.order, name)
		if rank < 0 {
			rank = len(d.order) + otherwise
		}
		if !asked[candidate] && (best < 0 || rank < best) {
			a, ok, best = candidate, true, rank
		}
	}
	for _, candidate := range d.agents {
		if candidate.serves(who, kind) {
			consider(candidate, candidate.name, 0)
		}
	}
	consider(nil, Requester, 1)
	return a, ok
}

// of returns the agents that are the same process as who, or the same program where that is known.
func (d *Desk) of(who policy.Actor) []*agent {
	d.mu.Lock()
	defer d.mu.Unlock()
	var same []*agent
	for _, a := range d.agents {
		if who.PID != 0 && a.who.PID == who.PID || who.App.ID() != "" && a.who.App.ID() == who.App.ID() && a.who.UID == who.UID {
			same = append(same, a)
		}
	}
	return same
}

// askAgent asks one agent.
func (d *Desk) askAgent(ctx context.Context, a *agent, who policy.Actor, p api.Prompt) (answer, error) {
	q := d.put(&p, who, a)
	defer d.remove(q)
	d.mu.Lock()
	a.send(api.Line{Prompt: &p})
	d.mu.Unlock()
	v, err := q.wait(ctx, p.Key)
	d.mu.Lock()
	a.send(api.Line{Withdrawn: p.ID})
	d.mu.Unlock()
	return v, err
}

// people are those behind an operation: the agents of its user, and its own [UI].
type people struct {
	desk *Desk
	who  policy.Actor
	ui   UI
}

// Show implements [UI].
func (p people) Show(prompt api.Prompt) (withdraw func()) {
	hide, withdrawn := p.ui.Show(prompt), p.desk.tell(p.who, prompt)
	return func() {
		withdrawn()
		hide()
	}
}

// PIN implements [UI].
func (p people) PIN(ctx context.Context, prompt api.Prompt) (pin api.Secret, err error) {
	a, asked, err := p.ask(ctx, prompt)
	if asked {
		return api.NewSecret(a.pin), err
	}
	pin, err = p.ui.PIN(ctx, prompt)
	return pin, err
}

// Choose implements [UI].
func (p people) Choose(ctx context.Context, prompt api.Prompt) (int, error) {
	if a, asked, err := p.ask(ctx, prompt); asked {
		return a.index, err
	}
	if prompt.Kind == api.PromptConsent {
		return nobody{}.Choose(ctx, prompt)
	}
	return p.ui.Choose(ctx, prompt)
}

// Confirm implements [UI].
func (p people) Confirm(ctx context.Context, prompt api.Prompt) (bool, error) {
	if a, asked, err := p.ask(ctx, prompt); asked {
		return a.yes, err
	}
	return p.ui.Confirm(ctx, prompt)
}

// ask asks agents in the order of preference. asked is false when it is the program's own turn.
func (p people) ask(ctx context.Context, prompt api.Prompt) (v answer, asked bool, err error) {
	seen := make(map[*agent]bool)
	// A program does not agree for the person to what it wants itself.
	consent := prompt.Kind == api.PromptConsent
	if consent || !interactive(p.ui) {
		seen[nil] = true
	}
	if consent {
		for _, a := range p.desk.of(p.who) {
			seen[a] = true
		}
	}
	for {
		a, ok := p.desk.next(p.who, prompt.Kind, seen)
		if !ok || a == nil {
			// Without an agent, a program that nobody can be reached by says so itself.
			return answer{}, false, nil
		}
		seen[a] = true
		v, err = p.desk.askAgent(ctx, a, p.who, prompt)
		if !errors.Is(err, errAgentLeft) {
			return v, true, err
		}
	}
}

// reachable says whether an agent shows prompts of a kind to who.
func (d *Desk) reachable(who policy.Actor, kind api.PromptKind) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.agents, func(a *agent) bool { return a.serves(who, kind) })
}

// interactive says whether prompts reach a person. A UI may say so by a method; one that
// has none does.
func interactive(ui UI) bool {
	i, ok := ui.(interface{ Interactive() bool })
	return !ok || i.Interactive()
}
