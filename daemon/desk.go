package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Desk is where questions to people lie until somebody answers them, and where the agents sit who
// can: programs that show the prompts of their user's operations. The zero value has neither. Its
// methods may be called from several goroutines.
type Desk struct {
	// order names agents in order of preference, and the program that asks as "requester".
	order []string

	mu     sync.Mutex           // guards what follows
	open   map[string]*question // by id
	shown  map[string]notice    // what wants no answer, by id
	agents []*agent             // in the order in which they came
}

// question is a prompt that wants an answer.
type question struct {
	id      string
	kind    api.PromptKind
	choices int
	who     policy.Actor // whose operation it is
	agent   *agent       // who was asked, nil for the program that asks
	// answered carries the one answer.
	answered chan answer

	mu      sync.Mutex // guards settled
	settled bool       // answered, given up or withdrawn
}

// answer is what a person said to a prompt.
type answer struct {
	pin    []byte
	index  int
	yes    bool
	gaveUp bool
}

// notice is a prompt that only tells.
type notice struct {
	prompt api.Prompt
	who    policy.Actor
}

// give settles the question with an answer. It is false when it was settled before.
func (q *question) give(a answer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settled {
		return false
	}
	q.settled = true
	q.answered <- a
	return true
}

// settle withdraws the question, and with it an answer that came just before.
func (q *question) settle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settled = true
	select {
	case a := <-q.answered:
		clear(a.pin)
	default:
	}
}

// put lays a question down, and gives it a name if it has none.
func (d *Desk) put(p *api.Prompt, who policy.Actor, a *agent) *question {
	if p.ID == "" {
		p.ID = rand.Text()
	}
	q := &question{id: p.ID, kind: p.Kind, choices: len(p.Choices), who: who, agent: a, answered: make(chan answer, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = make(map[string]*question)
	}
	d.open[p.ID] = q
	return q
}

// remove takes questions off the desk; those that lie there under the same names by now stay.
func (d *Desk) remove(questions ...*question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range questions {
		if d.open[q.id] == q {
			delete(d.open, q.id)
		}
	}
}

// wait waits for the answer, the end of the operation, or the agent's leaving (errAgentLeft).
func (q *question) wait(ctx context.Context, key string) (answer, error) {
	var left <-chan struct{}
	if q.agent != nil {
		left = q.agent.left
	}
	select {
	case a := <-q.answered:
		if a.gaveUp {
			return answer{}, &api.Error{Code: api.CodeCancelled, Message: "the person gave up", Key: key}
		}
		return a, nil
	case <-left:
		q.settle()
		return answer{}, errAgentLeft
	case <-ctx.Done():
		q.settle()
		return answer{}, context.Cause(ctx)
	}
}

// Answer answers the prompt id, or gives up for the person: with a PIN as it is, the index of a
// choice or true or false as JSON, by the kind of the prompt. It keeps nothing of body, which the
// caller wipes. Who may not answer is told that there is no such prompt. Errors are an [*api.Error]; a wrong answer leaves the prompt open.
func (d *Desk) Answer(who policy.Actor, id string, body []byte, giveUp bool) error {
	d.mu.Lock()
	q := d.open[id]
	if q != nil && !q.answerable(who) {
		q = nil
	}
	d.mu.Unlock()
	if q == nil {
		return &api.Error{Code: api.CodeNotFound, Message: "no such prompt", Hint: "its operation may be over"}
	}
	a := answer{gaveUp: true}
	if !giveUp {
		var err error
		if a, err = q.parse(body); err != nil {
			return err
		}
	}
	if !q.give(a) {
		clear(a.pin)
		return &api.Error{Code: api.CodeConflict, Message: "the prompt was answered or withdrawn before"}
	}
	return nil
}

// answerable says whether who may answer: root, and programs of the user and session that was asked. To
// the question whether a program may do something, only the agent itself that was asked may say yes:
// else that program could, whatever process it has made for it.
func (q *question) answerable(who policy.Actor) bool {
	asked := q.who
	if q.agent != nil {
		asked = q.agent.who
	}
	switch {
	case who.UID == 0:
		return true
	case who.UID != asked.UID, who.Session != "" && asked.Session != "" && who.Session != asked.Session:
		return false
	}
	return q.kind != api.PromptConsent || who.PID == asked.PID && who.Start == asked.Start && who.BusName == asked.BusName
}

// parse reads an answer. Nothing of body goes into an error: it may be a PIN.
func (q *question) parse(body []byte) (answer, error) {
	invalid := func(format string, args ...any) (answer, error) {
		return answer{}, &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf(format, args...)}
	}
	switch q.kind {
	case api.PromptPIN, api.PromptNewPIN, api.PromptCode:
		if len(body) == 0 {
			return invalid("the answer is empty")
		}
		return answer{pin: bytes.Clone(body)}, nil
	case api.PromptChoose, api.PromptConsent:
		var i *int
		if json.Unmarshal(body, &i) != nil || i == nil || *i < 0 || *i >= q.choices {
			return invalid("want the index of one of %d choices", q.choices)
		}
		return answer{index: *i}, nil
	}
	var yes *bool
	if json.Unmarshal(body, &yes) != nil || yes == nil {
		return invalid("want true or false")
	}
	return answer{yes: *yes}, nil
}

// Screen is a [UI] at the other end of a front end: prompts are shown there, and answered through
// [Desk.Answer]. It is made by [Desk.UI].
type Screen struct {
	desk *Desk
	who  policy.Actor
	show func(api.Prompt) (withdraw func())

	mu   sync.Mutex // guards open
	open []*question
}

var _ UI = (*Screen)(nil)

// UI returns a screen whose prompts show shows until the function that it returns is called, which
// happens once; only who's user, in who's session, and root can answer them. The caller closes the screen.
func (d *Desk) UI(who policy.Actor, show func(api.Prompt) (withdraw func())) *Screen {
	return &Screen{desk: d, who: who, show: show}
}

// Close forgets the prompts of an operation that has ended.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.desk.remove(s.open...)
	s.open = nil
}

// Show implements [UI].
func (s *Screen) Show(p api.Prompt) (withdraw func()) {
	if p.ID == "" {
		p.ID = rand.Text()
	}
	return sync.OnceFunc(s.show(p))
}

// PIN implements [UI].
func (s *Screen) PIN(ctx context.Context, p api.Prompt) (api.Secret, error) {
	a, err := s.ask(ctx, p)
	return api.NewSecret(a.pin), err
}

// Choose implements [UI].
func (s *Screen) Choose(ctx context.Context, p api.Prompt) (int, error) {
	a, err := s.ask(ctx, p)
	return a.index, err
}

// Confirm implements [UI].
func (s *Screen) Confirm(ctx context.Context, p api.Prompt) (bool, error) {
	a, err := s.ask(ctx, p)
	return a.yes, err
}

func (s *Screen) ask(ctx context.Context, p api.Prompt) (answer, error) {
	q := s.desk.put(&p, s.who, nil)
	s.mu.Lock()
	s.open = append(s.open, q)
	s.mu.Unlock()
	defer s.show(p)()
	return q.wait(ctx, p.Key)
}
