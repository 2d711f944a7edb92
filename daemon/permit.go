package daemon

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens"
)

// ask makes a request to the policy of what is known of who and of a key, which may be nil.
func (e *Engine) ask(who policy.Actor, what policy.Action, k *tokens.Key) policy.Request {
	q := policy.Request{Actor: who, Action: what, Time: time.Now()}
	if e.cfg.Session != nil && who.Session != "" {
		q.Session = e.cfg.Session(who.Session)
	}
	if k != nil {
		q.Key = policyKey(k)
	}
	return q
}

func policyKey(k *tokens.Key) *policy.Key {
	d := k.Device()
	key := &policy.Key{ID: k.ID(), Serial: d.Serial, Emulated: d.Emulated}
	if info := k.Info(); info != nil {
		key.AAGUID = info.AAGUID.String()
	}
	return key
}

// Authorize asks the policy about something that is no operation, and about no key.
func (e *Engine) Authorize(who policy.Actor, what policy.Action) error {
	return policy.Authorize(e.rules(), e.ask(who, what, nil))
}

// rules are the policy, but for what the daemon does itself: that, its configuration has said already.
func (e *Engine) rules() policy.Decider { return lettingItself{e.cfg.Rules} }

type lettingItself struct{ policy.Decider }

func (r lettingItself) Decide(q policy.Request) policy.Decision {
	if q.Actor.Via == policy.ViaDaemon {
		return policy.Decision{Effect: policy.Allow, Rules: []policy.Rule{{ID: "daemon", Effect: policy.Allow}}}
	}
	return r.Decider.Decide(q)
}

// permitRaw asks the policy, and a person where it wants one, about a message of CTAP in a lease.
func (c *call) permitRaw(ctx context.Context, a rawAction, k *tokens.Key) error {
	c.site = rawSite(a)
	defer c.asking.Wait()
	// Not the call's own: what a token permits counts, not that it is asked for.
	if err := c.permit(ctx, policy.Action{Operation: a.Operation, Scope: a.Scope}, k); err != nil {
		return err
	}
	if !c.site.web {
		return nil
	}
	return c.permit(ctx, policy.ClaimOrigin, k)
}

// verdict is what the policy and people said of an operation, for the audit log.
type verdict struct {
	effect policy.Effect
	rules  []string
	// granted says how a person agreed, now or before.
	granted string
	// present and verified are what the key says of the person.
	present, verified bool
}

// siteClaim is what a request claims of a web site.
type siteClaim struct {
	origin string
	rpID   string
	// web says that a browser would know the site: only then is there an origin to be claimed.
	web    bool
	up, uv bool
}

// admit asks the policy whether the operation may be begun at all: with any key that is there, or
// about none. Nobody is asked and nothing waits, but for polkit.
func (c *call) admit(ctx context.Context) error {
	if !c.op.keyed {
		return c.permit(ctx, c.action(), nil)
	}
	var first error
	for _, k := range c.e.keys.Keys() {
		err := c.allowed(ctx, c.action(), k)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	// A key may come; of that nothing is known yet.
	return c.allowed(ctx, c.action(), nil)
}

func (c *call) action() policy.Action {
	return policy.Action{Operation: c.op.Name, Scope: c.op.Scope}
}

// allowed is permit without a person.
func (c *call) allowed(ctx context.Context, what policy.Action, k *tokens.Key) error {
	q := c.question(what, k)
	d := c.e.rules().Decide(q)
	if d.Effect != policy.Deny {
		return nil
	}
	return c.refuse(ctx, q, d)
}

// permit asks the policy, and a person where it wants one.
func (c *call) permit(ctx context.Context, what policy.Action, k *tokens.Key) error {
	q := c.question(what, k)
	d := c.e.rules().Decide(q)
	switch d.Effect {
	case policy.Allow:
		c.note(d, "")
		return nil
	case policy.Ask:
		return c.consent(ctx, q, d, k)
	}
	return c.refuse(ctx, q, d)
}

// permitKey asks the policy about a key that the operation could use, and then about the site.
func (c *call) permitKey(ctx context.Context, k *tokens.Key) error {
	if err := c.permit(ctx, c.action(), k); err != nil {
		return err
	}
	if !c.site.web {
		return nil
	}
	return c.permit(ctx, policy.ClaimOrigin, k)
}

func (c *call) question(what policy.Action, k *tokens.Key) policy.Request {
	q := c.e.ask(c.who, what, k)
	c.mu.Lock()
	q.Actor.Vouched = q.Actor.Vouched || c.vouched
	c.mu.Unlock()
	q.Origin, q.RPID = c.site.origin, c.site.rpID
	q.UserPresence, q.UserVerification = c.site.up, c.site.uv
	return q
}

// refuse asks polkit, if its word could change a no, and else is the error that says no.
func (c *call) refuse(ctx context.Context, q policy.Request, d policy.Decision) error {
	c.note(d, "")
	denied := &policy.DeniedError{Actor: q.Actor, Action: q.Action, Decision: d}
	if c.e.cfg.Vouch == nil || q.Action.Scope != policy.ScopeAdmin || q.Actor.Vouched {
		return denied
	}
	q.Actor.Vouched = true
	if d = c.e.rules().Decide(q); d.Effect != policy.Allow {
		return denied
	}
	if err := c.e.cfg.Vouch(ctx, c.who, q.Action, c.who.Interactive || interactive(c.requester)); err != nil {
		return err
	}
	c.mu.Lock()
	c.vouched = true
	c.mu.Unlock()
	c.note(d, "polkit")
	return nil
}

// note keeps a decision for the audit log. Of several the last one counts, but a no before all.
func (c *call) note(d policy.Decision, granted string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verdict.effect == policy.Deny && d.Effect != policy.Deny && granted == "" {
		return
	}
	c.verdict.effect = d.Effect
	if granted != "" {
		c.verdict.granted = granted
	}
	for _, r := range d.Rules {
		if len(c.verdict.rules) == 0 || c.verdict.rules[len(c.verdict.rules)-1] != r.ID {
			c.verdict.rules = append(c.verdict.rules, r.ID)
		}
	}
}

// sshHash is the application parameter of ssh's U2F keys.
var sshHash = sha256.Sum256([]byte("ssh:"))

// rawSite is the site of a message of CTAP. It can sign for any origin of a web site, whatever the program is.
func rawSite(a rawAction) siteClaim {
	if a.Operation != api.OpRegister && a.Operation != api.OpAssert {
		return siteClaim{rpID: a.RPID}
	}
	s := siteClaim{rpID: a.RPID, up: a.Touch, uv: a.Verify}
	switch {
	case a.RPID != "":
		// ssh's are "ssh:…", pam-u2f's "pam://…".
		s.web = !strings.Contains(a.RPID, ":")
	case a.Application != nil:
		// Only the hash of an AppID is known.
		s.web = *a.Application != sshHash
	}
	return s
}
