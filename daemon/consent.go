package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens"
)

// agreement is the one answer that an operation gets from a person, however many keys it concerns.
type agreement struct {
	once sync.Once
	done chan struct{}
	err  error
	how  string
}

// consent looks whether a person has agreed before, and else asks them: agents only, for the program
// that asks could answer itself.
func (c *call) consent(ctx context.Context, q policy.Request, d policy.Decision, k *tokens.Key) error {
	if g := c.e.grants.find(q, k); g != nil {
		c.note(d, "grant "+g.ID)
		return nil
	}
	c.mu.Lock()
	if c.agreement == nil {
		c.agreement = &agreement{done: make(chan struct{})}
	}
	a := c.agreement
	c.mu.Unlock()
	c.asking.Go(func() {
		a.once.Do(func() {
			defer close(a.done)
			// Not ctx: that ends when this key is pulled out, and another one may wait for the answer.
			whole := c.whole
			if whole == nil {
				whole = ctx
			}
			whole, cancel := context.WithDeadlineCause(whole, c.deadline, errDeadline)
			defer cancel()
			a.how, a.err = c.askConsent(whole, q, d, k)
		})
	})
	select {
	case <-a.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if a.err != nil {
		c.note(policy.Decision{Effect: policy.Deny, Rules: d.Rules}, "")
		return a.err
	}
	c.note(d, a.how)
	return nil
}

// askConsent asks, and keeps what was agreed to for longer.
func (c *call) askConsent(ctx context.Context, q policy.Request, d policy.Decision, k *tokens.Key) (how string, err error) {
	p := c.prompt(api.PromptConsent, k)
	p.Origin = q.Origin
	p.Message = consentSentence(c, q)
	for _, span := range d.Grants {
		p.Choices = append(p.Choices, api.Choice{Name: spanName(span)})
	}
	p.Choices = append(p.Choices, api.Choice{Name: "No"})
	c.e.events.prompt(p)
	defer c.e.events.withdraw(p)
	i, err := c.ui.Choose(ctx, p)
	switch {
	case err != nil:
		var known *api.Error
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = context.Cause(ctx)
		} else if !errors.As(err, &known) {
			err = &api.Error{Code: api.CodeDenied, Message: "nobody agreed: " + err.Error()}
		}
		return "", err
	case i < 0 || i >= len(d.Grants):
		return "", &api.Error{
			Code: api.CodeDenied, Message: fmt.Sprintf("the person does not let %v do this", q.Actor),
			Hint: "ask them, or add a rule: fob policy explain says which one wants their consent",
		}
	}
	g := c.e.grants.add(q, k, d.Grants[i])
	if g == nil {
		return "consent", nil
	}
	c.e.log.Info("grant", "grant", g.ID, "user", q.Actor.User, "program", q.Actor.Program, "site", q.RPID, "until", d.Grants[i])
	return "consent, grant " + g.ID, nil
}

// consentSentence says what a person is asked to agree to.
func consentSentence(c *call, q policy.Request) string {
	who := asker(&api.Prompt{Program: q.Actor.Program})
	if id := printable(q.Actor.App.ID()); id != "" {
		who += " (" + id + ")"
	}
	what := c.op.Name
	switch c.op.Name {
	case api.OpRegister:
		what = "register a key"
	case api.OpAssert:
		what = "sign in"
	}
	where := q.RPID
	switch {
	case q.Origin != "":
		where = q.Origin
	case where == "":
		where = "a site that it does not name"
	}
	if q.Action != policy.ClaimOrigin {
		return fmt.Sprintf("Let %s %s?", who, what)
	}
	return fmt.Sprintf("Let %s %s for you as %s? It is no browser that fobd knows", who, what, where)
}

// spanName is a span of a grant for people.
func spanName(span string) string {
	switch span {
	case policy.GrantOnce:
		return "Only this once"
	case policy.GrantLock:
		return "Until the screen is locked"
	case policy.GrantUnplug:
		return "Until the key is pulled out"
	}
	d, err := time.ParseDuration(span)
	if err != nil {
		return span
	}
	return "For " + spell(d)
}

// spell says a duration in words: 15 minutes.
func spell(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d >= u.d && d%u.d == 0 {
			if n := d / u.d; n != 1 {
				return fmt.Sprintf("%d %ss", n, u.name)
			}
			return "1 " + u.name
		}
	}
	return d.String()
}
