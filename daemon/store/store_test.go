package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/internal/storetest"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// both runs a test on both databases; open opens the same database each time.
func both(t *testing.T, test func(t *testing.T, open func() store.Store)) { storetest.Both(t, test) }

func token(serial string) *store.Token {
	now := time.UnixMilli(1700000000123)
	return &store.Token{
		Serial: serial, Manufacturer: "Acme", Model: "T1", Issuer: "example.org", Params: otp.Parameters{Kind: otp.TOTP, Epoch: -5}.Default(),
		Seed: []byte{0, 1, 2}, Fingerprint: []byte{9, 9}, State: store.Imported, Next: 7, Drift: -3, Imported: now, Changed: now,
	}
}

func update(t testing.TB, s store.Store, do func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s store.Store, serial string) (k *store.Token) {
	t.Helper()
	if err := s.View(t.Context(), func(tx store.Tx) (err error) {
		k, err = tx.Token(serial)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTokensAreKept(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		want := token("A-1")
		want.Owner, want.State = "alice", store.Active
		want.Starts, want.Expires, want.LastUsed, want.LockedUntil = time.UnixMilli(1), time.UnixMilli(2), time.UnixMilli(3), time.UnixMilli(4)
		update(t, s, func(tx store.Tx) error {
			return errors.Join(tx.SaveUser(&store.User{Name: "alice", Created: time.UnixMilli(5)}), tx.AddTokens(want), tx.AddTokens(token("B-2")))
		})
		s.Close()
		s = open()
		if got := get(t, s, "A-1"); fmt.Sprint(*got) != fmt.Sprint(*want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		list := func(f store.Filter) (serials string) {
			err := s.View(t.Context(), func(tx store.Tx) error {
				all, err := tx.Tokens(f)
				for _, k := range all {
					serials += k.Serial + " "
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return serials
		}
		for _, c := range []struct {
			f    store.Filter
			want string
		}{
			{store.Filter{}, "A-1 B-2 "},
			{store.Filter{State: store.Active}, "A-1 "},
			{store.Filter{Owner: "alice"}, "A-1 "},
			{store.Filter{Owner: "bob"}, ""},
			{store.Filter{Fingerprint: []byte{9, 9}}, "A-1 B-2 "},
			{store.Filter{Fingerprint: []byte{9}}, ""},
			{store.Filter{After: "A-1"}, "B-2 "},
			{store.Filter{Limit: 1}, "A-1 "},
			{store.Filter{Owner: "x' OR '1'='1"}, ""},
		} {
			if got := list(c.f); got != c.want {
				t.Errorf("%+v: got %s, want %s", c.f, got, c.want)
			}
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// No counter goes back, whatever a program has read before; no serial number is there twice.
func TestCountersGoForward(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		update(t, s, func(tx store.Tx) error { return tx.AddTokens(token("A")) })
		save := func(next uint64) error {
			return s.Update(t.Context(), func(tx store.Tx) error {
				k := token("A")
				k.Next = next
				return tx.SaveToken(k)
			})
		}
		if err := save(9); err != nil {
			t.Fatal(err)
		}
		if err := save(8); !errors.Is(err, store.ErrBackwards) {
			t.Errorf("back: got %v", err)
		}
		if err := save(1 << 63); err == nil {
			t.Error("a counter that cannot be kept is taken")
		}
		if got := get(t, s, "A").Next; got != 9 {
			t.Errorf("the counter is %d", got)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.AddTokens(token("A")) }); !errors.Is(err, store.ErrExists) {
			t.Errorf("twice: got %v", err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.SaveToken(token("none")) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("not there: got %v", err)
		}
	})
}

// What fails is undone, and nothing else is.
func TestUpdatesAreWhole(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		broken := errors.New("broken")
		var wg sync.WaitGroup
		for n := range 64 {
			wg.Go(func() {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					if err := tx.AddTokens(token(fmt.Sprintf("a%02d", n))); err != nil {
						return err
					}
					if err := tx.AddTokens(token(fmt.Sprintf("b%02d", n))); err != nil {
						return err
					}
					if n%3 == 0 {
						return broken
					}
					return nil
				})
				if (n%3 == 0) != errors.Is(err, broken) || n%3 != 0 && err != nil {
					t.Errorf("%d: got %v", n, err)
				}
			})
		}
		wg.Wait()
		err := s.View(t.Context(), func(tx store.Tx) error {
			all, err := tx.Tokens(store.Filter{})
			if len(all) != 2*42 {
				t.Errorf("%d tokens, want 84", len(all))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Several daemons on one database, and many requests at once: a counter moves once.
func TestOneOfManyMovesACounter(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		stores := []store.Store{open(), open()}
		update(t, stores[0], func(tx store.Tx) error { return tx.AddTokens(token("A")) })
		for round := range uint64(5) {
			var moved atomic.Int64
			var wg sync.WaitGroup
			for n := range 16 {
				wg.Go(func() {
					var mine bool
					err := stores[n%2].Update(t.Context(), func(tx store.Tx) error {
						mine = false
						k, err := tx.Token("A")
						if err != nil || k.Next != 7+round {
							return err
						}
						mine = true
						k.Next++
						return tx.SaveToken(k)
					})
					if err != nil {
						t.Error(err)
					}
					if mine && err == nil {
						moved.Add(1)
					}
				})
			}
			wg.Wait()
			if moved.Load() != 1 {
				t.Errorf("%d moved it", moved.Load())
			}
		}
	})
}

func TestUsersAndRecoveryCodes(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		update(t, s, func(tx store.Tx) error {
			k := token("A")
			k.Owner = "bob"
			return errors.Join(tx.SaveUser(&store.User{Name: "bob", Created: time.UnixMilli(1)}), tx.SaveUser(&store.User{Name: "alice", Created: time.UnixMilli(2)}),
				tx.AddTokens(k), tx.SaveRecoveryCode(&store.RecoveryCode{Owner: "alice", Hash: []byte{1}, Expires: time.UnixMilli(9)}))
		})
		update(t, s, func(tx store.Tx) error {
			u, err := tx.User("alice")
			if err != nil {
				return err
			}
			u.Failures, u.LockedUntil = 3, time.UnixMilli(77)
			return errors.Join(tx.SaveUser(u), tx.SaveRecoveryCode(&store.RecoveryCode{Owner: "alice", Hash: []byte{1}, Expires: time.UnixMilli(9), Used: time.UnixMilli(8)}))
		})
		err := s.View(t.Context(), func(tx store.Tx) error {
			users, err := tx.Users()
			if len(users) != 2 || users[0].Name != "alice" || users[0].Failures != 3 || !users[0].LockedUntil.Equal(time.UnixMilli(77)) || users[0].Created.IsZero() {
				t.Errorf("users: %+v", users)
			}
			codes, err2 := tx.RecoveryCodes("alice")
			if len(codes) != 1 || codes[0].Used.IsZero() {
				t.Errorf("codes: %+v", codes)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.RemoveUser("bob") }); err == nil {
			t.Error("a user with a token is removed")
		}
		update(t, s, func(tx store.Tx) error { return tx.RemoveUser("alice") })
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.RemoveUser("alice") }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("twice: got %v", err)
		}
	})
}

func TestClosedAndCancelled(t *testing.T) {
	both(t, func(t *testing.T, open func() store.Store) {
		s := open()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Update(ctx, func(store.Tx) error { return nil }); err == nil {
			t.Error("cancelled, and done")
		}
		s.Close()
		if err := s.Update(t.Context(), func(store.Tx) error { return nil }); err == nil {
			t.Error("closed, and done")
		}
		if err := s.View(t.Context(), func(store.Tx) error { return nil }); err == nil {
			t.Error("closed, and seen")
		}
	})
}

func TestSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx store.Tx) error { return tx.AddTokens(token("A")) })
	files, _ := filepath.Glob(path + "*")
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f, info.Mode(), err)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), copied); err == nil {
		t.Error("a backup is written over another one")
	}
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	s.Close()
	b, err := store.OpenSQLite(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := get(t, b, "A"); got.Next != 7 {
		t.Errorf("of the backup: %+v", got)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(path + "-wal")
	if s, err := store.OpenSQLite(t.Context(), path); err == nil {
		s.Close()
		t.Error("a file that is no database is taken")
	}
}

func TestPostgresAddress(t *testing.T) {
	_, err := store.OpenPostgres(t.Context(), "postgres://u:hunter2@[bad/x")
	if err == nil || bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
		t.Errorf("got %v", err)
	}
}
