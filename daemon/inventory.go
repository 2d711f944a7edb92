package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
)

// stamp is a time of an answer, empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func describePerson(p *registry.Person) api.User {
	u := api.User{
		Name: p.Name, Tokens: []api.Token{}, Recovery: p.Recovery, Failures: p.Failures, LockedUntil: stamp(p.LockedUntil), LastUsed: stamp(p.LastUsed), Created: stamp(p.Created),
	}
	if p.LockedUntil.Before(time.Now()) {
		u.LockedUntil = ""
	}
	for _, k := range p.Tokens {
		u.Tokens = append(u.Tokens, describeToken(k))
	}
	return u
}

// userList is the operation user-list.
func (c *call) userList(ctx context.Context, _ *api.UserListRequest) (*api.UserListResult, error) {
	return c.people(ctx, "")
}

// userShow is the operation user-show.
func (c *call) userShow(ctx context.Context, r *api.UserRequest) (*api.UserListResult, error) {
	if _, err := c.registry(); err != nil {
		return nil, err
	}
	if err := c.aboutPerson(r.User); err != nil {
		return nil, err
	}
	return c.people(ctx, r.User)
}

func (c *call) people(ctx context.Context, name string) (*api.UserListResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	list, err := s.People(ctx, name)
	if err != nil {
		return nil, registryError(err)
	}
	result := &api.UserListResult{Users: []api.User{}}
	for _, p := range list {
		result.Users = append(result.Users, describePerson(p))
	}
	return result, nil
}

// userRemove is the operation user-remove.
func (c *call) userRemove(ctx context.Context, r *api.UserRequest) (*api.UserRemoveResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if err := c.aboutPerson(r.User); err != nil {
		return nil, err
	}
	freed, retired, err := s.Remove(ctx, r.User)
	if err != nil {
		return nil, registryError(err)
	}
	c.e.recent.forget(r.User)
	return &api.UserRemoveResult{User: r.User, Freed: freed, Retired: retired}, nil
}

// maxItems bounds the lines of an inventory.
const maxItems = 1_000_000

// inventory is the operation inventory.
func (c *call) inventory(ctx context.Context, r *api.InventoryRequest) (*api.InventoryResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if r.Unused < 0 {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf("unused for %d days", r.Unused)}
	}
	list, err := s.Tokens(ctx, store.Filter{Owner: r.User, State: store.State(r.State), Limit: maxItems})
	if err != nil {
		return nil, registryError(err)
	}
	attached := map[string]bool{}
	for _, k := range c.e.keys.Keys() {
		if info := k.Info(); info != nil {
			attached[info.AAGUID.String()] = true
		}
	}
	result, now := &api.InventoryResult{Items: []api.Item{}}, time.Now()
	for _, k := range list {
		expired := !k.Expires.IsZero() && !now.Before(k.Expires)
		used := k.LastUsed
		if used.IsZero() {
			used = k.Imported
		}
		unused := int(now.Sub(used) / (24 * time.Hour))
		if r.Expired && !expired || r.Unused > 0 && (unused < r.Unused || k.State == store.Retired) {
			continue
		}
		item := api.Item{Token: describeToken(k)}
		if k.Credential != nil {
			item.ModelName = cmp.Or(c.models().Name(k.Credential.AAGUID), k.Model)
			item.Attached = k.Credential.AAGUID != "" && attached[k.Credential.AAGUID]
		}
		switch {
		case expired:
			item.Notes = append(item.Notes, "expired")
		case !k.Starts.IsZero() && now.Before(k.Starts):
			item.Notes = append(item.Notes, "not valid before "+stamp(k.Starts))
		}
		if k.State == store.Active && k.LastUsed.IsZero() {
			item.Notes = append(item.Notes, "never used")
		}
		if r.Unused > 0 {
			item.Notes = append(item.Notes, fmt.Sprintf("unused for %d days", unused))
		}
		result.Items = append(result.Items, item)
	}
	// By person, and what is nobody's last.
	slices.SortStableFunc(result.Items, func(a, b api.Item) int {
		if (a.User == "") != (b.User == "") {
			return cmp.Compare(b.User, a.User)
		}
		return cmp.Or(strings.Compare(a.User, b.User), strings.Compare(a.Serial, b.Serial))
	})
	return result, nil
}
