package policy

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// Types of entities, as fobd.cedarschema has them.
const (
	typeUser   = "User"
	typeGroup  = "Group"
	typeApp    = "App"
	typeKey    = "Key"
	typeRP     = "RelyingParty"
	typeAction = "Action"
	typeDaemon = "Daemon"
)

var theDaemon = types.NewEntityUID(typeDaemon, "fobd")

// Decide implements [Decider].
func (s *Set) Decide(r Request) Decision {
	rules := s.rules.Load()
	if rules.timed {
		d, _ := s.evaluate(rules, r)
		return d
	}
	name := keyOf(r)
	if d, ok := rules.kept.get(name); ok {
		return d
	}
	d, _ := s.evaluate(rules, r)
	rules.kept.put(name, d)
	return d
}

// Explain decides, and tells which rules were looked at.
func (s *Set) Explain(r Request) (Decision, []Rule) { return s.evaluate(s.rules.Load(), r) }

func (s *Set) evaluate(rules *rules, r Request) (Decision, []Rule) {
	w := s.world(r)
	c := candidates{rules.index, []cedar.EntityUID{w.request.Action, types.NewEntityUID(typeAction, types.String(r.Action.Scope)), anything}, nil}
	c.principals = append(append(append(c.principals, w.request.Principal), w.groups...), anything)
	effect, diagnostic := cedar.Authorize(c, w, w.request)
	find := func(id cedar.PolicyID) *rule {
		for candidate := range c.rules() {
			if cedar.PolicyID(candidate.ID) == id {
				return candidate
			}
		}
		return nil
	}
	d := Decision{Effect: Deny}
	ask := true
	for _, reason := range diagnostic.Reasons {
		found := find(reason.PolicyID)
		d.Rules = append(d.Rules, found.Rule)
		ask = ask && found.ask
		if len(d.Grants) == 0 {
			d.Grants = found.grants
		}
	}
	if effect == cedar.Allow {
		d.Effect = Allow
		if ask {
			d.Effect = Ask
		}
	}
	if d.Effect != Ask {
		d.Grants = nil
	}
	// In Cedar a rule that cannot be evaluated does not apply. One that forbids must not be lost so.
	for _, failed := range diagnostic.Errors {
		if found := find(failed.PolicyID); found.Effect == Deny {
			broken := found.Rule
			broken.Reason = "rule " + broken.ID + " cannot be evaluated: " + failed.Message
			if d.Effect != Deny {
				d = Decision{Effect: Deny}
			}
			d.Rules = append(d.Rules, broken)
		}
	}
	// The order of rules is that of the index; people want that of the files.
	slices.SortStableFunc(d.Rules, func(a, b Rule) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	var looked []Rule
	for candidate := range c.rules() {
		looked = append(looked, candidate.Rule)
	}
	return d, looked
}

// world is a request as Cedar sees it, with the entities that it names.
type world struct {
	request  cedar.Request
	groups   []cedar.EntityUID
	entities [4]cedar.Entity // user, app, resource, action
}

// Get implements [cedar.EntityGetter].
func (w *world) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	for i := range w.entities {
		if w.entities[i].UID == uid {
			return w.entities[i], true
		}
	}
	if uid.Type == typeRP {
		// Each name is in the one above it.
		e := cedar.Entity{UID: uid}
		if _, parent, ok := strings.Cut(string(uid.ID), "."); ok {
			e.Parents = types.NewEntityUIDSet(types.NewEntityUID(typeRP, types.String(parent)))
		}
		return e, true
	}
	return cedar.Entity{}, false
}

func (s *Set) world(r Request) *world {
	w := &world{}
	user := types.NewEntityUID(typeUser, types.String(r.Actor.User))
	if r.Actor.UID == 0 {
		user = types.NewEntityUID(typeUser, "root") // whatever the machine calls it
	}
	for group := range strings.SplitSeq(strings.Trim(r.Actor.Groups, ","), ",") {
		if group != "" {
			w.groups = append(w.groups, types.NewEntityUID(typeGroup, types.String(group)))
		}
	}
	w.entities[0] = cedar.Entity{
		UID: user, Parents: types.NewEntityUIDSet(w.groups...),
		Attributes: types.NewRecord(types.RecordMap{"uid": types.Long(r.Actor.UID)}),
	}
	a := r.Actor.App
	app := types.NewEntityUID(typeApp, types.String(a.ID()))
	w.entities[1] = cedar.Entity{UID: app, Attributes: types.NewRecord(types.RecordMap{
		"exe": types.String(a.Exe), "program": types.String(r.Actor.Program), "unit": types.String(a.Unit),
		"flatpak": types.String(a.Flatpak), "snap": types.String(a.Snap),
	})}
	resource := theDaemon
	w.entities[2] = cedar.Entity{UID: resource}
	if k := r.Key; k != nil {
		name := k.Serial
		if name == "" {
			name = k.ID
		}
		resource = types.NewEntityUID(typeKey, types.String(name))
		w.entities[2] = cedar.Entity{UID: resource, Attributes: types.NewRecord(types.RecordMap{
			"id": types.String(k.ID), "serial": types.String(k.Serial), "aaguid": types.String(k.AAGUID), "emulated": types.Boolean(k.Emulated),
		})}
	}
	action := types.NewEntityUID(typeAction, types.String(r.Action.Operation))
	w.entities[3] = cedar.Entity{UID: action, Parents: types.NewEntityUIDSet(types.NewEntityUID(typeAction, types.String(r.Action.Scope)))}
	context := types.RecordMap{
		"app": app, "owner": types.Boolean(s.cfg.OwnerRules && r.Actor.UID == s.cfg.Owner), "vouched": types.Boolean(r.Actor.Vouched),
		"via": types.String(r.Actor.Via), "active": types.Boolean(r.Session.Active), "local": types.Boolean(r.Session.Local),
		"remote": types.Boolean(r.Session.Remote), "up": types.Boolean(r.UserPresence), "uv": types.Boolean(r.UserVerification),
		"now": types.NewDatetime(r.Time), "hour": types.Long(r.Time.Hour()), "weekday": types.Long((int(r.Time.Weekday())+6)%7 + 1),
		"origin": types.String(r.Origin), "rp": types.NewEntityUID(typeRP, types.String(r.RPID)),
	}
	if r.Action == SecondFactor {
		f := r.Factors
		context["given"], context["enrolled"] = factorSet(f.Given), factorSet(f.Enrolled)
		context["kinds"], context["keys"], context["codes"] = types.Long(f.kinds()), types.Long(f.Keys), types.Long(f.Codes)
	}
	w.request = cedar.Request{Principal: user, Action: action, Resource: resource, Context: types.NewRecord(context)}
	return w
}

func factorSet(factors []Factor) types.Set {
	values := make([]types.Value, len(factors))
	for i, f := range factors {
		values[i] = types.String(f)
	}
	return types.NewSet(values...)
}

// kinds is how many kinds of factors were given. A recovery code stands in for a code.
func (f Factors) kinds() int {
	n := 0
	for _, g := range f.Given {
		if g != FactorRecovery || !slices.Contains(f.Given, FactorCode) {
			n++
		}
	}
	return n
}

// maxKept bounds the decisions that are kept.
const maxKept = 4096

// decisions keeps what was decided: the same programs ask for the same again and again, and rules that
// do not look at the time answer the same.
type decisions struct {
	mu   sync.RWMutex // guards known
	kept map[string]Decision
}

func newDecisions() *decisions { return &decisions{kept: map[string]Decision{}} }

func (d *decisions) get(name string) (Decision, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	found, ok := d.kept[name]
	return found, ok
}

func (d *decisions) put(name string, decision Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.kept) >= maxKept {
		clear(d.kept)
	}
	d.kept[name] = decision
}

// keyOf names all that a decision depends on, of the time the hour and the weekday. No part can hold the zero byte that ends it,
// so two requests have one name only if they are the same.
func keyOf(r Request) string {
	var b strings.Builder
	b.Grow(256)
	part := func(parts ...string) {
		for _, s := range parts {
			b.WriteString(strings.ReplaceAll(s, "\x00", "�"))
			b.WriteByte(0)
		}
	}
	flags := func(flags ...bool) {
		for _, f := range flags {
			if f {
				b.WriteByte('1')
			} else {
				b.WriteByte('0')
			}
		}
	}
	a := r.Actor
	b.Write([]byte{byte(a.UID), byte(a.UID >> 8), byte(a.UID >> 16), byte(a.UID >> 24), byte(r.Time.Hour()), byte(r.Time.Weekday())})
	flags(a.Vouched, r.UserPresence, r.UserVerification, r.Session.Active, r.Session.Local, r.Session.Remote, r.Key != nil)
	part(a.User, a.Groups, a.Program, a.App.Exe, a.App.Unit, a.App.Flatpak, a.App.Snap, a.Via, r.Action.Operation, string(r.Action.Scope), r.RPID, r.Origin)
	if r.Action == SecondFactor {
		for _, list := range [][]Factor{r.Factors.Given, r.Factors.Enrolled} {
			for _, f := range list {
				part(string(f))
			}
			part("")
		}
		part(strconv.Itoa(r.Factors.Keys), strconv.Itoa(r.Factors.Codes))
	}
	if r.Key != nil {
		flags(r.Key.Emulated)
		part(r.Key.ID, r.Key.Serial, r.Key.AAGUID)
	}
	return b.String()
}
