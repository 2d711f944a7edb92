package policy

import (
	"encoding/json"
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
)

// index finds the rules whose scope can fit a request, so that a thousand rules about others cost
// nothing: by what the scope says of the action, and then by what it says of the principal.
type index map[cedar.EntityUID]map[cedar.EntityUID][]*rule

// anything stands for a scope that does not name an entity.
var anything cedar.EntityUID

// scope is a rule's scope in Cedar's JSON form.
type scope struct {
	Op       string            `json:"op"`
	Entity   *cedar.EntityUID  `json:"entity"`
	Entities []cedar.EntityUID `json:"entities"`
	In       *struct {
		Entity *cedar.EntityUID `json:"entity"`
	} `json:"in"`
}

// entities are what the scope names. A request fits only if it or something that it is in is among
// them; anything means that the scope does not tell.
func (s scope) entities() []cedar.EntityUID {
	switch {
	case len(s.Entities) > 0:
		return s.Entities
	case s.Entity != nil:
		return []cedar.EntityUID{*s.Entity}
	case s.In != nil && s.In.Entity != nil:
		return []cedar.EntityUID{*s.In.Entity}
	}
	return []cedar.EntityUID{anything}
}

// compile makes rules quick to ask.
func compile(list []*rule) *rules {
	c := &rules{list: list, index: index{}, kept: newDecisions()}
	for _, r := range list {
		var form struct {
			Principal  scope           `json:"principal"`
			Action     scope           `json:"action"`
			Conditions json.RawMessage `json:"conditions"`
		}
		// What Cedar has parsed has a JSON form.
		if data, err := r.policy.MarshalJSON(); err != nil || json.Unmarshal(data, &form) != nil {
			form.Principal, form.Action = scope{}, scope{}
			c.timed = true // who knows
		}
		c.timed = c.timed || timed(form.Conditions)
		for _, action := range form.Action.entities() {
			byPrincipal := c.index[action]
			if byPrincipal == nil {
				byPrincipal = map[cedar.EntityUID][]*rule{}
				c.index[action] = byPrincipal
			}
			for _, principal := range form.Principal.entities() {
				byPrincipal[principal] = append(byPrincipal[principal], r)
			}
		}
	}
	return c
}

// timed says whether conditions look at the time more closely than hour and weekday, for which decisions are
// kept apart. In Cedar's JSON, context.now is {".": {"left": {"Var": "context"}, "attr": "now"}}.
func timed(conditions json.RawMessage) bool {
	var look func(v any) bool
	look = func(v any) bool {
		switch v := v.(type) {
		case []any:
			return slices.ContainsFunc(v, look)
		case map[string]any:
			if v["Var"] == "context" {
				return true // as a whole
			}
			for _, item := range v {
				member, ok := item.(map[string]any)
				if left, isMap := member["left"].(map[string]any); ok && isMap && left["Var"] == "context" && member["attr"] != nil {
					if member["attr"] == "now" {
						return true
					}
					continue
				}
				if look(item) {
					return true
				}
			}
		}
		return false
	}
	var v any
	return len(conditions) > 0 && (json.Unmarshal(conditions, &v) != nil || look(v))
}

// candidates are the rules that can fit, as Cedar wants to iterate over them. A rule comes once: a
// request has one action, of whose group and own name a rule could name both.
type candidates struct {
	index      index
	actions    []cedar.EntityUID // that of the request, and its groups
	principals []cedar.EntityUID
}

// All implements [cedar.PolicyIterator].
func (c candidates) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for r := range c.rules() {
			if !yield(cedar.PolicyID(r.ID), r.policy) {
				return
			}
		}
	}
}

func (c candidates) rules() iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		for i, action := range c.actions {
			byPrincipal := c.index[action]
			if byPrincipal == nil {
				continue
			}
			for _, principal := range c.principals {
				for _, r := range byPrincipal[principal] {
					if i > 0 && c.before(i, principal, r) {
						continue
					}
					if !yield(r) {
						return
					}
				}
			}
		}
	}
}

// before says whether a rule came already, under another name of the action.
func (c candidates) before(i int, principal cedar.EntityUID, r *rule) bool {
	for _, action := range c.actions[:i] {
		for _, other := range c.index[action][principal] {
			if other == r {
				return true
			}
		}
	}
	return false
}
