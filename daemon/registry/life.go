package registry

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// change changes one token.
func (s *Service) change(ctx context.Context, serial string, do func(tx store.Tx, k *store.Token, now time.Time) error) error {
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		k, err := tx.Token(serial)
		if err != nil {
			return fmt.Errorf("token %s: %w", serial, err)
		}
		now := s.cfg.Now()
		k.Changed = now
		if err := do(tx, k, now); err != nil {
			return err
		}
		return tx.SaveToken(k)
	})
}

// in fails unless a token is in one of the states.
func in(k *store.Token, states ...store.State) error {
	if slices.Contains(states, k.State) {
		return nil
	}
	return fmt.Errorf("%w: token %s is %s", ErrState, k.Serial, k.State)
}

// Assign gives a token to a person, who is added if not there. A token has one owner.
func (s *Service) Assign(ctx context.Context, serial, user string) error {
	return s.change(ctx, serial, func(tx store.Tx, k *store.Token, now time.Time) error {
		if err := in(k, store.Imported); err != nil {
			return err
		}
		return s.assign(tx, k, user, now)
	})
}

func (s *Service) assign(tx store.Tx, k *store.Token, user string, now time.Time) error {
	if _, err := tx.User(user); errors.Is(err, store.ErrNotFound) {
		if err := tx.SaveUser(&store.User{Name: user, Created: now}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := s.room(tx, user); err != nil {
		return err
	}
	k.Owner, k.State = user, store.Assigned
	return nil
}

// room fails when a user can have no more.
func (s *Service) room(tx store.Tx, user string) error {
	all, err := tx.Tokens(store.Filter{Owner: user})
	if err != nil {
		return err
	}
	n := 0
	for _, other := range all {
		if other.State != store.Retired && other.State != store.Lost {
			n++
		}
	}
	if n >= s.cfg.Limits.Tokens {
		return fmt.Errorf("%w: %s has %d; retire one", ErrTooMany, user, n)
	}
	return nil
}

// Enroll makes a token a person's, by two codes that follow each other: both are spent, and the token's
// counter or clock is known. The token is new, or assigned to them.
func (s *Service) Enroll(ctx context.Context, user, serial, code1, code2 string) (Result, error) {
	return s.two(ctx, serial, code1, code2, func(tx store.Tx, k *store.Token, now time.Time) error {
		if k.State == store.Assigned && k.Owner != user {
			return fmt.Errorf("%w: token %s is assigned to somebody else", ErrState, serial)
		}
		if k.State == store.Imported {
			if err := s.assign(tx, k, user, now); err != nil {
				return err
			}
		}
		return in(k, store.Assigned)
	})
}

// Resync finds a token's counter or clock again, by two codes that follow each other, both spent. It looks far, and never
// backwards.
func (s *Service) Resync(ctx context.Context, serial, code1, code2 string) (Result, error) {
	return s.two(ctx, serial, code1, code2, func(_ store.Tx, k *store.Token, _ time.Time) error { return in(k, store.Active) })
}

// two checks two codes in a row. A wrong pair is counted, though what may has prepared is not kept.
func (s *Service) two(ctx context.Context, serial, code1, code2 string, may func(store.Tx, *store.Token, time.Time) error) (result Result, err error) {
	code1, code2 = otp.Clean(code1), otp.Clean(code2)
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		result = Result{Outcome: Wrong, Serial: serial}
		k, err := tx.Token(serial)
		if err != nil {
			return fmt.Errorf("token %s: %w", serial, err)
		}
		now := s.cfg.Now()
		before := *k
		if now.Before(k.LockedUntil) {
			result = Result{Outcome: Throttled, Serial: serial, Until: k.LockedUntil}
			return nil
		}
		if !HasCodes(k) {
			return fmt.Errorf("%w: %s shows no codes in a row: %s", ErrState, serial, k.Params.Kind)
		}
		key, err := s.open(k)
		if err != nil {
			return err
		}
		first, last, ok := s.span(k, now, s.cfg.Limits.Resync, s.cfg.Limits.Resync)
		at := uint64(0)
		if ok {
			at, ok = key.ScanTwo(code1, code2, max(first, k.Next), max(last, k.Next))
		}
		if !ok {
			k = &before
			s.miss(k, now)
			if d := s.cfg.Limits.delay(k.Failures); d > 0 {
				k.LockedUntil = now.Add(d)
			}
			result.Until = k.LockedUntil
			return tx.SaveToken(k)
		}
		if err := may(tx, k, now); err != nil {
			return err
		}
		s.take(k, at+1, now)
		k.State = store.Active
		result = Result{Outcome: Accepted, Serial: serial, Counter: at, Drift: k.Drift}
		return tx.SaveToken(k)
	})
	if err == nil && result.Outcome != Accepted {
		err = ErrWrong
	}
	return result, err
}

// Disable keeps a token's codes from being accepted, until Enable.
func (s *Service) Disable(ctx context.Context, serial string) error {
	return s.move(ctx, serial, store.Disabled, store.Active, store.Locked)
}

// Enable accepts a token's codes again: of a disabled one, of one that was locked after too many wrong codes, and of a lost one
// that was found.
func (s *Service) Enable(ctx context.Context, serial string) error {
	return s.change(ctx, serial, func(_ store.Tx, k *store.Token, _ time.Time) error {
		if err := in(k, store.Disabled, store.Locked, store.Lost); err != nil {
			return err
		}
		k.State, k.Failures, k.LockedUntil = store.Active, 0, time.Time{}
		return nil
	})
}

// Retire ends a token. It stays for the records.
func (s *Service) Retire(ctx context.Context, serial string) error {
	return s.move(ctx, serial, store.Retired, store.Imported, store.Assigned, store.Active, store.Disabled, store.Locked, store.Lost)
}

func (s *Service) move(ctx context.Context, serial string, to store.State, from ...store.State) error {
	return s.change(ctx, serial, func(_ store.Tx, k *store.Token, _ time.Time) error {
		if err := in(k, from...); err != nil {
			return err
		}
		k.State = to
		return nil
	})
}

// Unlock lets a user try again at once.
func (s *Service) Unlock(ctx context.Context, user string) error {
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return fmt.Errorf("user %s: %w", user, err)
		}
		u.Failures, u.LockedUntil = 0, time.Time{}
		return tx.SaveUser(u)
	})
}

// Lost ends the acceptance of a token's codes at once, and gives its owner recovery codes that are accepted once each, until
// they expire. Those from before are void.
func (s *Service) Lost(ctx context.Context, serial string, n int, expires time.Time) (codes []string, err error) {
	err = s.change(ctx, serial, func(tx store.Tx, k *store.Token, _ time.Time) error {
		if err := in(k, store.Active, store.Disabled, store.Locked); err != nil {
			return err
		}
		k.State = store.Lost
		codes, err = s.newRecovery(tx, k.Owner, n, expires)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RecoveryCodes gives a user recovery codes in place of those from before.
func (s *Service) RecoveryCodes(ctx context.Context, user string, n int, expires time.Time) (codes []string, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.User(user); err != nil {
			return fmt.Errorf("user %s: %w", user, err)
		}
		codes, err = s.newRecovery(tx, user, n, expires)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// recoveryLength is how many letters a recovery code has: 80 bits.
const recoveryLength = 16

// maxRecovery bounds the recovery codes of a user.
const maxRecovery = 32

func (s *Service) newRecovery(tx store.Tx, user string, n int, expires time.Time) ([]string, error) {
	if n < 0 || n > maxRecovery {
		return nil, fmt.Errorf("registry: %d recovery codes, want at most %d", n, maxRecovery)
	}
	if err := tx.RemoveRecoveryCodes(user); err != nil {
		return nil, err
	}
	codes := make([]string, 0, n)
	for range n {
		text := rand.Text()[:recoveryLength]
		if err := tx.SaveRecoveryCode(&store.RecoveryCode{Owner: user, Hash: s.recoveryHash(user, text), Expires: expires}); err != nil {
			return nil, err
		}
		codes = append(codes, strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-"))
	}
	return codes, nil
}

func (s *Service) recoveryHash(user, text string) []byte {
	return s.cfg.Sealer.Fingerprint([]byte("recovery code\x00" + user + "\x00" + text))
}

// recovery is the recovery code that code is, nil for none.
func (s *Service) recovery(tx store.Tx, user, code string, now time.Time) (*store.RecoveryCode, error) {
	if len(code) != recoveryLength {
		return nil, nil
	}
	list, err := tx.RecoveryCodes(user)
	if err != nil {
		return nil, err
	}
	hash := s.recoveryHash(user, code)
	var found *store.RecoveryCode
	for _, c := range list {
		if subtle.ConstantTimeCompare(c.Hash, hash) == 1 && c.Used.IsZero() && now.Before(c.Expires) {
			found = c
		}
	}
	return found, nil
}

// Token gives a token.
func (s *Service) Token(ctx context.Context, serial string) (k *store.Token, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		k, err = tx.Token(serial)
		return err
	})
	return k, err
}

// Tokens gives tokens.
func (s *Service) Tokens(ctx context.Context, f store.Filter) (list []*store.Token, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		list, err = tx.Tokens(f)
		return err
	})
	return list, err
}

// Find names the tokens that show a code now, for an administrator who has one in hand.
func (s *Service) Find(ctx context.Context, code string) (serials []string, err error) {
	code = otp.Clean(code)
	const page = 1000
	after := ""
	for {
		var list []*store.Token
		if err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
			list, err = tx.Tokens(store.Filter{After: after, Limit: page})
			return err
		}); err != nil {
			return nil, err
		}
		now := s.cfg.Now()
		for _, k := range list {
			after = k.Serial
			if k.State == store.Retired || !HasCodes(k) {
				continue
			}
			_, ok, err := s.shows(k, code, now)
			if err != nil {
				return nil, err
			}
			if ok {
				serials = append(serials, k.Serial)
			}
		}
		if len(list) < page {
			return serials, nil
		}
	}
}
