package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/store"
)

// Person is somebody with what they have.
type Person struct {
	store.User
	// Tokens are those and the security keys, in the order of their serials.
	Tokens []*store.Token
	// Recovery is how many recovery codes are left, until RecoveryExpires.
	Recovery        int
	RecoveryExpires time.Time
}

// People gives all of them by name; only the named one if name is not empty, or [store.ErrNotFound].
func (s *Service) People(ctx context.Context, name string) (list []*Person, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		users, err := s.users(tx, name)
		if err != nil {
			return err
		}
		byName := make(map[string]*Person, len(users))
		for _, u := range users {
			p := &Person{User: *u}
			byName[u.Name], list = p, append(list, p)
		}
		tokens, err := tx.Tokens(store.Filter{Owner: name})
		if err != nil {
			return err
		}
		for _, k := range tokens {
			if p := byName[k.Owner]; p != nil {
				p.Tokens = append(p.Tokens, k)
			}
		}
		codes, err := tx.RecoveryCodes(name)
		if err != nil {
			return err
		}
		now := s.cfg.Now()
		for _, c := range codes {
			if p := byName[c.Owner]; p != nil && c.Used.IsZero() && now.Before(c.Expires) {
				p.Recovery++
				p.RecoveryExpires = c.Expires
			}
		}
		return nil
	})
	return list, err
}

func (s *Service) users(tx store.Tx, name string) ([]*store.User, error) {
	if name == "" {
		return tx.Users()
	}
	u, err := tx.User(name)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return []*store.User{u}, nil
}

// Remove removes a person. Security keys and authenticator apps of theirs are retired; tokens that somebody else can be given
// are as imported again. It says what became of which.
func (s *Service) Remove(ctx context.Context, name string) (freed, retired []string, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		freed, retired = nil, nil
		if _, err := tx.User(name); err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		tokens, err := tx.Tokens(store.Filter{Owner: name})
		if err != nil {
			return err
		}
		now := s.cfg.Now()
		for _, k := range tokens {
			k.Owner, k.Failures, k.LockedUntil, k.Changed = "", 0, time.Time{}, now
			switch {
			case k.State == store.Retired || k.State == store.Lost || k.Credential != nil || strings.HasPrefix(k.Serial, appPrefix):
				k.State = store.Retired
				retired = append(retired, k.Serial)
			default:
				k.State = store.Imported
				freed = append(freed, k.Serial)
			}
			if err := tx.SaveToken(k); err != nil {
				return err
			}
		}
		return tx.RemoveUser(name)
	})
	return freed, retired, err
}
