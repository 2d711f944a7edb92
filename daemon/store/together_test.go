package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/store"
)

// people makes users "u00", "u01" …, with a token each and a recovery code.
func people(t testing.TB, s store.Store, n int) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for i := range n {
			name := fmt.Sprintf("u%02d", i)
			k := token("T-" + name)
			k.Owner, k.State, k.Next, k.Fingerprint = name, store.Active, 0, []byte(name)
			if err := errors.Join(
				tx.SaveUser(&store.User{Name: name, Created: time.UnixMilli(5)}), tx.AddTokens(k),
				tx.SaveRecoveryCode(&store.RecoveryCode{Owner: name, Hash: []byte(name), Expires: time.UnixMilli(9)}),
			); err != nil {
				return err
			}
		}
		return nil
	})
}

var errSpent = errors.New("spent")

// spend accepts the code of a step once, in the way that package registry does.
func spend(tx store.Tx, name string, step uint64) error {
	u, err := tx.User(name)
	if err != nil {
		return err
	}
	list, err := tx.Tokens(store.Filter{Owner: name})
	if err != nil || len(list) != 1 {
		return fmt.Errorf("%d tokens of %s: %w", len(list), name, err)
	}
	codes, err := tx.RecoveryCodes(name)
	if err != nil || len(codes) != 1 || string(codes[0].Hash) != name {
		return fmt.Errorf("recovery codes of %s: %+v, %w", name, codes, err)
	}
	k := list[0]
	if k.Next > step {
		return errSpent
	}
	k.Next, k.LastUsed = step+1, time.UnixMilli(int64(step)+1)
	if err := tx.SaveToken(k); err != nil {
		return err
	}
	u.Failures++
	return tx.SaveUser(u)
}

// Many at once: each step of each token is taken once, whoever asks, from two daemons; what was taken is there afterwards.
func TestTogether(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		const users, steps, rivals = 24, 4, 4
		one, two := open(), open()
		people(t, one, users)
		for step := range uint64(steps) {
			var accepted atomic.Int64
			var wg sync.WaitGroup
			for i := range users * rivals {
				s := one
				if i%2 == 1 {
					s = two
				}
				wg.Go(func() {
					err := s.Together(t.Context(), func(tx store.Tx) error {
						runtime.Gosched()
						return spend(tx, fmt.Sprintf("u%02d", i/rivals), step)
					})
					switch {
					case err == nil:
						accepted.Add(1)
					case !errors.Is(err, errSpent):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := accepted.Load(); n != users {
				t.Errorf("step %d was taken %d times by %d users", step, n, users)
			}
		}
		for i := range users {
			if k := get(t, one, fmt.Sprintf("T-u%02d", i)); k.Next != steps || k.LastUsed.UnixMilli() != steps {
				t.Errorf("%s: %d, %v", k.Serial, k.Next, k.LastUsed)
			}
		}
		if err := one.View(t.Context(), func(tx store.Tx) error {
			all, err := tx.Users()
			for _, u := range all {
				if u.Failures != steps || u.Created.UnixMilli() != 5 {
					t.Errorf("%+v", u)
				}
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

// What one of them does wrong, or wants for itself, is nothing to the others.
func TestTogetherWithOthers(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		const users = 40
		people(t, s, users)
		mine := errors.New("mine")
		for round := range uint64(5) {
			good := func(name string) func(store.Tx) error {
				return func(tx store.Tx) error { return spend(tx, name, round) }
			}
			cases := map[string]struct {
				do   func(store.Tx) error
				want error
			}{
				"u00":                      {good("u00"), nil},
				"u01":                      {good("u01"), nil},
				"fails after it has saved": {func(tx store.Tx) error { return errors.Join(spend(tx, "u02", 100+round), mine) }, mine},
				"goes back": {func(tx store.Tx) error {
					list, err := tx.Tokens(store.Filter{Owner: "u03"})
					if err != nil {
						return err
					}
					list[0].Next = 50
					if err := tx.SaveToken(list[0]); err != nil {
						return err
					}
					list[0].Next = 49
					return tx.SaveToken(list[0])
				}, store.ErrBackwards},
				"nobody": {func(tx store.Tx) error { _, err := tx.User("nobody"); return err }, store.ErrNotFound},
				"reads one token": {func(tx store.Tx) error {
					k, err := tx.Token("T-u04")
					if err != nil {
						return err
					}
					k.Next++
					return tx.SaveToken(k)
				}, nil},
				"reads twice": {func(tx store.Tx) error {
					if err := spend(tx, "u05", round); err != nil {
						return err
					}
					u, err := tx.User("u05")
					if err != nil || u.Failures != int(round)+1 {
						return fmt.Errorf("does not read what it wrote: %+v, %w", u, err)
					}
					return nil
				}, nil},
				"spends a recovery code": {func(tx store.Tx) error {
					codes, err := tx.RecoveryCodes("u06")
					if err != nil {
						return err
					}
					codes[0].Used = time.UnixMilli(int64(round) + 1)
					return tx.SaveRecoveryCode(codes[0])
				}, nil},
				"gives a token to another": {func(tx store.Tx) error {
					from, to := "u07", "u08"
					if round%2 == 1 {
						from, to = to, from
					}
					list, err := tx.Tokens(store.Filter{Owner: from})
					if err != nil {
						return err
					}
					for _, k := range list {
						if k.Serial == "T-u07" {
							k.Owner = to
							return tx.SaveToken(k)
						}
					}
					return errors.New("it is not there")
				}, nil},
				"panics": {func(tx store.Tx) error {
					if _, err := tx.User("u09"); err != nil {
						return err
					}
					panic("on purpose")
				}, nil},
				"all users": {func(tx store.Tx) error {
					all, err := tx.Users()
					if len(all) != users {
						return fmt.Errorf("%d users, %w", len(all), err)
					}
					return err
				}, nil},
				"a user without a name": {func(tx store.Tx) error { return tx.SaveUser(&store.User{}) }, errAny},
			}
			var wg sync.WaitGroup
			for i := 12; i < users; i++ { // so many that they share
				wg.Go(func() {
					name := fmt.Sprintf("u%02d", i)
					if err := s.Together(t.Context(), good(name)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			for name, c := range cases {
				wg.Go(func() {
					if name == "panics" {
						defer func() {
							if got := recover(); got != "on purpose" && !isSQLite(s) {
								t.Errorf("panics with %v", got)
							}
						}()
						if isSQLite(s) {
							return // its updates all run on one goroutine
						}
					}
					err := s.Together(t.Context(), c.do)
					if !errors.Is(err, c.want) && !(c.want == errAny && err != nil) {
						t.Errorf("%s: %v, want %v", name, err, c.want)
					}
				})
			}
			wg.Wait()
			for serial, next := range map[string]uint64{"T-u00": round + 1, "T-u01": round + 1, "T-u02": 0, "T-u03": 0, "T-u04": round + 1, "T-u05": round + 1} {
				if k := get(t, s, serial); k.Next != next {
					t.Errorf("round %d, %s: %d, want %d", round, serial, k.Next, next)
				}
			}
			owner := "u08"
			if round%2 == 1 {
				owner = "u07"
			}
			if k := get(t, s, "T-u07"); k.Owner != owner {
				t.Errorf("round %d: T-u07 is %s's, want %s's", round, k.Owner, owner)
			}
			if err := s.View(t.Context(), func(tx store.Tx) error {
				codes, err := tx.RecoveryCodes("u06")
				if err == nil && codes[0].Used.UnixMilli() != int64(round)+1 {
					t.Errorf("recovery code: %+v", codes[0])
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		}
	})
}

var errAny = errors.New("any")

func isSQLite(s store.Store) bool { _, ok := s.(*store.SQLite); return ok }

// Who does not wait any more is not waited for, and a store that is closed says so.
func TestTogetherEnds(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		people(t, s, 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 {
			if err := s.Together(ctx, func(tx store.Tx) error { return spend(tx, "u00", 0) }); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				// Each ends: done, not done, or closed.
				_ = s.Together(t.Context(), func(tx store.Tx) error { return spend(tx, fmt.Sprintf("u%02d", i%2), uint64(i)) })
			})
		}
		runtime.Gosched()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err := s.Together(t.Context(), func(store.Tx) error { return nil }); err == nil {
			t.Error("a closed store updates")
		}
	})
}

// A row that somebody else holds keeps those who want others waiting for half a second at most, and nobody loses anything.
func TestTogetherWithARowInUse(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s, other := open(), open()
		if isSQLite(s) {
			t.Skip("one daemon has the file")
		}
		const users = 30
		people(t, s, users)
		held, let := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			err := other.Update(t.Context(), func(tx store.Tx) error {
				if _, err := tx.User("u03"); err != nil {
					return err
				}
				close(held)
				<-let
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-held
		var others, stuck sync.WaitGroup
		for i := range users {
			group := &others
			if i == 3 {
				group = &stuck
			}
			group.Go(func() {
				if err := s.Together(t.Context(), func(tx store.Tx) error { return spend(tx, fmt.Sprintf("u%02d", i), 0) }); err != nil {
					t.Errorf("u%02d: %v", i, err)
				}
			})
		}
		others.Wait() // while the row is held
		close(let)
		stuck.Wait()
		wg.Wait()
		for i := range users {
			if k := get(t, s, fmt.Sprintf("T-u%02d", i)); k.Next != 1 {
				t.Errorf("%s: %d", k.Serial, k.Next)
			}
		}
	})
}

// What is read is what was written last, by whomever: counts are not lost.
func TestTogetherCounts(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		one, two := open(), open()
		people(t, one, 20)
		const times = 10
		var wg sync.WaitGroup
		for i := range 20 * times {
			s := one
			if i%2 == 1 {
				s = two
			}
			name := fmt.Sprintf("u%02d", i/times)
			wg.Go(func() {
				if err := s.Together(t.Context(), func(tx store.Tx) error {
					u, err := tx.User(name)
					if err != nil {
						return err
					}
					u.Failures++
					return tx.SaveUser(u)
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := two.View(t.Context(), func(tx store.Tx) error {
			all, err := tx.Users()
			for _, u := range all {
				if u.Failures != times {
					t.Errorf("%s: %d, want %d", u.Name, u.Failures, times)
				}
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}
