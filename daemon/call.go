package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens"
)

// call is one operation that runs: who asked for what, and the person.
type call struct {
	e     *Engine
	op    *Operation
	who   policy.Actor
	began time.Time
	// ui reaches the agents of who, and the person behind the request, requester.
	ui, requester UI
	// deadline is when the operation gives up; explicit that the request said so.
	deadline time.Time
	explicit bool
	// whole is the operation's context without the deadline, for what goes on after it.
	whole context.Context
	// rpID and purpose are shown in prompts.
	rpID, purpose string
	// site is what the policy is told of it.
	site siteClaim
	// frontEnd is the way in, where it is not the actor's.
	frontEnd string
	// token is the serial number of the token for one-time codes that it is about, about what else the audit log
	// is told: a person, and why a code was not accepted.
	token, about string
	// person is whom it is about.
	person string
	// asking are those who ask a person for consent.
	asking sync.WaitGroup

	mu        sync.Mutex  // guards what follows
	key       *tokens.Key // the key that does it, once that is known
	vouched   bool        // by polkit
	verdict   verdict
	agreement *agreement // nil until a person is asked for consent
	unwritten bool       // the audit log could not be written
}

// nobodyHint says how somebody can be asked.
const nobodyHint = "start an agent that can be asked, such as fob agent, or run it from a program that shows prompts"

// nobody is the person behind a request that came without one.
type nobody struct{}

func (nobody) Show(api.Prompt) func() { return func() {} }

func (nobody) PIN(_ context.Context, p api.Prompt) (api.Secret, error) {
	return api.Secret{}, &api.Error{Code: api.CodePINRequired, Message: "a PIN is needed and nobody can be asked for it", Hint: nobodyHint, Key: p.Key, Retries: p.Retries}
}

func (nobody) Choose(_ context.Context, p api.Prompt) (int, error) {
	if p.Kind == api.PromptConsent {
		return 0, &api.Error{Code: api.CodeDenied, Message: "a person must agree and no agent can ask them: " + p.Message, Hint: "start an agent, such as fob agent --notify, or add a rule to the policy", Key: p.Key}
	}
	return 0, &api.Error{Code: api.CodeInvalidRequest, Message: "there is a choice and nobody can be asked", Hint: nobodyHint, Key: p.Key}
}

func (nobody) Confirm(_ context.Context, p api.Prompt) (bool, error) {
	return false, &api.Error{Code: api.CodeDenied, Message: "a person must agree and nobody can be asked", Hint: nobodyHint, Key: p.Key}
}

func (nobody) Interactive() bool { return false }

// interactive says whether prompts of a kind reach a person: through the program that asks, or an agent.
func (c *call) interactive(kind api.PromptKind) bool {
	return interactive(c.requester) || c.e.Desk.reachable(c.who, kind)
}

// run asks the policy, then decodes and runs. What is about a site is decoded first, see [call.enter].
func (c *call) run(ctx context.Context, decode func(any) error) (any, error) {
	defer c.asking.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !c.op.sited {
		if err := c.admit(ctx); err != nil {
			return nil, err
		}
	}
	defer context.AfterFunc(c.e.stopping, func() { cancel(errShuttingDown) })()
	return c.op.run(c, ctx, decode)
}

// limit sets the operation's deadline; 0 is the default time.
func (c *call) limit(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc, error) {
	switch {
	case timeout > c.e.cfg.MaxTimeout:
		return nil, nil, &api.Error{
			Code:    api.CodeInvalidRequest,
			Message: fmt.Sprintf("a time-out of %v is too long", timeout),
			Hint:    fmt.Sprintf("ask for at most %v", c.e.cfg.MaxTimeout),
		}
	case timeout > 0:
		c.explicit = true
	default:
		timeout = c.e.cfg.Timeout
	}
	c.deadline, c.whole = c.began.Add(timeout), ctx
	ctx, cancel := context.WithDeadlineCause(ctx, c.deadline, errDeadline)
	return ctx, cancel, nil
}

// took notes which key does it.
func (c *call) took(k *tokens.Key) {
	c.mu.Lock()
	first := c.key == nil
	c.key = k
	c.mu.Unlock()
	if first {
		c.e.events.publish(c.event(api.EventStarted, k))
	}
}

func (c *call) taken() *tokens.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}

func (c *call) event(kind api.EventType, k *tokens.Key) api.Event {
	event := api.Event{Type: kind, Operation: c.op.Name, Program: c.who.Program, PID: c.who.PID, User: c.who.User, RPID: c.rpID}
	if k != nil {
		key := describe(k)
		event.Key = &key
	}
	return event
}

// finish writes the one line of the log and of the audit log, and the last event.
func (c *call) finish(ctx context.Context, err error) {
	c.audit(ctx, err)
	k := c.taken()
	failure := ErrorOf(err)
	if k != nil {
		event := c.event(api.EventFinished, k)
		if failure != nil {
			event.Code = failure.Code
		}
		c.e.events.publish(event)
	}
	level, result := slog.LevelInfo, "ok"
	if failure != nil {
		result = string(failure.Code)
		if failure.Code == api.CodeInternal {
			level = slog.LevelError
		}
	}
	if !c.e.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("operation", c.op.Name),
		slog.String("result", result),
		slog.Duration("took", time.Since(c.began)),
		slog.String("program", c.who.Program),
		slog.Int("pid", c.who.PID),
		slog.Uint64("uid", uint64(c.who.UID)),
	}
	if k != nil {
		attrs = append(attrs, slog.String("key", k.ID()))
	}
	if c.rpID != "" {
		attrs = append(attrs, slog.String("rp", c.rpID))
	}
	if err != nil && failure.Code == api.CodeInternal {
		attrs = append(attrs, slog.Any("error", err))
	}
	c.e.log.LogAttrs(context.WithoutCancel(ctx), level, "operation", attrs...)
}

// prompt fills in what every prompt says.
func (c *call) prompt(kind api.PromptKind, k *tokens.Key) api.Prompt {
	p := api.Prompt{
		ID:        rand.Text(),
		Kind:      kind,
		Operation: c.op.Name,
		Program:   c.who.Program,
		PID:       c.who.PID,
		User:      c.who.User,
		RPID:      c.rpID,
		Purpose:   c.purpose,
	}
	if !c.deadline.IsZero() {
		p.Deadline = c.deadline.Format(time.RFC3339)
	}
	if k != nil {
		p.Key, p.KeyName = k.ID(), k.Name()
	}
	p.Message = c.sentence(&p)
	return p
}

// show shows a prompt that wants no answer, to the person and to all who watch, until the
// function it returns is called.
func (c *call) show(p api.Prompt) (withdraw func()) {
	c.e.events.prompt(p)
	hide := c.ui.Show(p)
	return sync.OnceFunc(func() {
		hide()
		c.e.events.withdraw(p)
	})
}

// progress tells the program that asks how far an operation is, by prompts that want nothing. of is 0 if nobody knows; end takes the last
// one away.
func (c *call) progress() (tell func(what string, done, of int), end func()) {
	withdraw := func() {}
	tell = func(what string, done, of int) {
		withdraw()
		p := c.prompt(api.PromptProgress, nil)
		p.Message, p.Done, p.Of = what, done, of
		withdraw = c.requester.Show(p)
	}
	return tell, func() { withdraw() }
}

// showOthers shows a prompt that wants no answer as show does, but not to the program that asks.
func (c *call) showOthers(p api.Prompt) (withdraw func()) {
	c.e.events.prompt(p)
	hide := c.e.Desk.tell(c.who, p)
	return func() {
		hide()
		c.e.events.withdraw(p)
	}
}

// ask shows a prompt that wants an answer. It ends at once when the key is pulled out.
func ask[T any](ctx context.Context, s *session, p api.Prompt, question func(context.Context, api.Prompt) (T, error)) (T, error) {
	return askAbout(ctx, s.c, s.key, p, question)
}

// askAbout is ask about a key that is open at another interface.
func askAbout[T any](ctx context.Context, c *call, k *tokens.Key, p api.Prompt, question func(context.Context, api.Prompt) (T, error)) (T, error) {
	ctx, cancel := k.While(ctx)
	defer cancel()
	c.e.events.prompt(p)
	defer c.e.events.withdraw(p)
	v, err := question(ctx, p)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = context.Cause(ctx)
		}
		err = &keyError{k, err}
	}
	return v, err
}
