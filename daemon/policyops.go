package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/webauthn"
	"github.com/fobd/fobd/tokens"
)

// rules are those of the engine as more than a yes or no.
func (c *call) rules() (*policy.Set, error) {
	if s, ok := c.e.cfg.Rules.(*policy.Set); ok {
		return s, nil
	}
	return nil, &api.Error{Code: api.CodeUnsupported, Message: "this daemon has no policy but root and its own user", Hint: "run fobd, which has one"}
}

func apiRules(rules []policy.Rule) []api.Rule {
	list := make([]api.Rule, 0, len(rules))
	for _, r := range rules {
		list = append(list, api.Rule{ID: r.ID, File: r.File, Line: r.Line, Effect: string(r.Effect), Reason: r.Reason})
	}
	return list
}

// policyList is the operation policy-list.
func (c *call) policyList(context.Context, *api.PolicyListRequest) (*api.PolicyListResult, error) {
	s, err := c.rules()
	if err != nil {
		return nil, err
	}
	result := &api.PolicyListResult{Rules: []api.Rule{}, Schema: policy.Schema(Actions())}
	for _, r := range s.List() {
		rule := apiRules([]policy.Rule{r.Rule})[0]
		rule.Text = r.Text
		result.Rules = append(result.Rules, rule)
	}
	return result, nil
}

// policyCheck is the operation policy-check.
func (c *call) policyCheck(_ context.Context, r *api.PolicyCheckRequest) (*api.PolicyCheckResult, error) {
	s, err := c.rules()
	if err != nil {
		return nil, err
	}
	if r.Name == "" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "the file has no name"}
	}
	result := &api.PolicyCheckResult{Errors: []string{}}
	for _, err := range split(s.Check(r.Name, []byte(r.Text))) {
		result.Errors = append(result.Errors, strings.TrimPrefix(err.Error(), "policy: "))
	}
	return result, nil
}

// split takes joined errors apart.
func split(err error) []error {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &joined):
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, split(one)...)
		}
		return all
	}
	return []error{err}
}

// policyExplain is the operation policy-explain.
func (c *call) policyExplain(ctx context.Context, r *api.PolicyExplainRequest) (*api.PolicyExplainResult, error) {
	s, err := c.rules()
	if err != nil {
		return nil, err
	}
	what, err := actionNamed(r.Operation)
	if err != nil {
		return nil, err
	}
	who := c.who
	if r.User != "" || len(r.Groups) > 0 || r.Exe+r.Unit+r.Flatpak+r.Snap != "" {
		if r.User != "" && r.User != who.User || len(r.Groups) > 0 {
			if err := c.e.Authorize(c.who, policy.Action{Operation: c.op.Name, Scope: policy.ScopeAdmin}); err != nil {
				return nil, err
			}
			if who, err = actorNamed(cmp.Or(r.User, who.User), r.Groups); err != nil {
				return nil, err
			}
			who.Via = c.who.Via
		}
		who.App = policy.App{Exe: r.Exe, Unit: r.Unit, Flatpak: r.Flatpak, Snap: r.Snap}
	}
	var k *tokens.Key
	q := c.e.ask(who, what, nil)
	if r.Key != "" {
		if k, err = c.e.find(r.Key); err == nil {
			q.Key = policyKey(k)
		} else {
			q.Key = &policy.Key{ID: r.Key, Serial: r.Key}
		}
	}
	q.Origin, q.RPID = r.Origin, r.RPID
	if q.Origin != "" {
		domain, err := webauthn.ParseOrigin(q.Origin)
		if err != nil {
			return nil, err
		}
		if q.RPID, err = webauthn.RPID(domain, q.RPID); err != nil {
			return nil, err
		}
	}
	if what == policy.SecondFactor {
		if q.Factors, err = c.factorsOf(ctx, who.User, r.Given); err != nil {
			return nil, err
		}
	} else if len(r.Given) > 0 {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "what a person has given is for second-factor only"}
	}
	d, looked := s.Explain(q)
	return &api.PolicyExplainResult{
		Decision: string(d.Effect), Rules: apiRules(d.Rules), Looked: apiRules(looked), Grants: d.Grants, Request: facts(q),
	}, nil
}

func actionNamed(name string) (policy.Action, error) {
	for _, a := range append(Actions(), policy.ClaimOrigin, policy.SecondFactor) {
		if a.Operation == name {
			return a, nil
		}
	}
	return policy.Action{}, &api.Error{Code: api.CodeInvalidRequest, Message: "no such operation: " + shorten(name), Hint: "policy-list has them in its schema"}
}

// overflowUID is the number of nobody (user_namespaces(7)).
const overflowUID = 65534

// actorNamed is a user as the user database has it.
func actorNamed(name string, groups []string) (policy.Actor, error) {
	u, err := user.Lookup(name)
	if err != nil && groups != nil {
		// Somebody who is not there yet: nobody's number, and the groups that they will have.
		return policy.Actor{UID: overflowUID, User: name, Groups: "," + strings.Join(groups, ",") + ","}, nil
	}
	if err != nil {
		return policy.Actor{}, &api.Error{
			Code: api.CodeNotFound, Message: "no such user: " + shorten(name), Hint: "with groups, it can be somebody who is not there yet",
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return policy.Actor{}, fmt.Errorf("daemon: user %s: %w", name, err)
	}
	who := policy.Actor{UID: uint32(uid), User: u.Username}
	if groups == nil {
		ids, err := u.GroupIds()
		if err != nil {
			return policy.Actor{}, &api.Error{Code: api.CodeNotFound, Message: "the groups of " + shorten(name) + " are not known: " + err.Error()}
		}
		for _, id := range ids {
			if g, err := user.LookupGroupId(id); err == nil {
				groups = append(groups, g.Name)
			}
		}
	}
	who.Groups = "," + strings.Join(groups, ",") + ","
	return who, nil
}

// factorsOf are what somebody has enrolled, and has given as a request says.
func (c *call) factorsOf(ctx context.Context, user string, given []string) (f policy.Factors, err error) {
	s, err := c.registry()
	if err != nil {
		return f, err
	}
	p, err := c.proofOf(ctx, s, &api.UserVerifyRequest{User: user})
	if err != nil {
		return f, err
	}
	f = policy.Factors{Enrolled: p.enrolled(), Keys: len(p.keys), Codes: p.codes}
	for _, name := range given {
		factor := policy.Factor(name)
		if !slices.Contains([]policy.Factor{policy.FactorKey, policy.FactorVerified, policy.FactorCode, policy.FactorRecovery}, factor) {
			return f, &api.Error{Code: api.CodeInvalidRequest, Message: "nobody can give " + shorten(name), Hint: "want key, verification, code or recovery"}
		}
		f.Given = append(f.Given, factor)
	}
	return f, nil
}

// words are factors for people.
func words(factors []policy.Factor) string {
	list := make([]string, len(factors))
	for i, f := range factors {
		list[i] = string(f)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// facts are what the rules are told, for people; what is empty is left out.
func facts(q policy.Request) map[string]string {
	m := map[string]string{
		"principal": "User::\"" + q.Actor.User + "\"", "groups": strings.Trim(q.Actor.Groups, ","), "action": "Action::\"" + q.Action.Operation + "\"",
		"app.exe": q.Actor.App.Exe, "app.unit": q.Actor.App.Unit, "app.flatpak": q.Actor.App.Flatpak, "app.snap": q.Actor.App.Snap,
		"via": q.Actor.Via, "session": q.Actor.Session, "origin": q.Origin, "rp": q.RPID, "now": q.Time.Format(time.RFC3339),
	}
	var state []string
	for name, on := range map[string]bool{"active": q.Session.Active, "local": q.Session.Local, "remote": q.Session.Remote} {
		if on {
			state = append(state, name)
		}
	}
	m["session is"] = strings.Join(state, ", ")
	if q.Key != nil {
		m["resource"] = "Key::\"" + cmp.Or(q.Key.Serial, q.Key.ID) + "\""
		if q.Key.Emulated {
			m["resource"] += ", emulated"
		}
	} else {
		m["resource"] = "no key"
	}
	if q.Action == policy.SecondFactor {
		m["given"], m["enrolled"], m["resource"] = cmp.Or(words(q.Factors.Given), "nothing"), cmp.Or(words(q.Factors.Enrolled), "nothing"), ""
		m["keys"], m["codes"] = strconv.Itoa(q.Factors.Keys), strconv.Itoa(q.Factors.Codes)
	}
	for name, v := range m {
		if v == "" {
			delete(m, name)
		}
	}
	return m
}

// administers says whether the caller sees what is others'.
func (c *call) administers() bool {
	return c.e.Authorize(c.who, policy.Action{Operation: c.op.Name, Scope: policy.ScopeAdmin}) == nil
}

// grantList is the operation grant-list.
func (c *call) grantList(context.Context, *api.GrantListRequest) (*api.GrantListResult, error) {
	everybody := c.administers()
	result := &api.GrantListResult{Grants: []api.Grant{}}
	for _, g := range c.e.grants.all() {
		if g.UID != c.who.UID && !everybody {
			continue
		}
		grant := api.Grant{
			ID: g.ID, User: g.User, Program: g.Program, App: g.App, RPID: g.RPID, Session: g.Session, Until: g.Span,
			Given: g.Given.Format(time.RFC3339), Uses: g.Uses,
		}
		if !g.Expires.IsZero() {
			grant.Until = g.Expires.Format(time.RFC3339)
		}
		if g.Key != nil {
			grant.Key = g.Key.ID()
		}
		result.Grants = append(result.Grants, grant)
	}
	return result, nil
}

// grantRevoke is the operation grant-revoke.
func (c *call) grantRevoke(_ context.Context, r *api.GrantRevokeRequest) (*api.GrantRevokeResult, error) {
	if (r.Grant == "") == !r.All {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "name a grant, or ask for all", Hint: "grant-list shows them"}
	}
	everybody := c.administers()
	n := c.e.grants.end(func(g *grant) bool {
		return (g.UID == c.who.UID || everybody) && (r.All || g.ID == r.Grant)
	})
	if n == 0 && !r.All {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "no such grant", Hint: "it may have ended; grant-list shows those that hold"}
	}
	return &api.GrantRevokeResult{Revoked: n}, nil
}
