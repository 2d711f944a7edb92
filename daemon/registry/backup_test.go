package registry_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

func TestBackup(t *testing.T) {
	var data []byte
	both(t, func(l *lab) {
		ctx := l.t.Context()
		h, c := l.device("H", otp.Parameters{Kind: otp.HOTP}), l.device("T", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", h)
		l.enroll("bob", c)
		if _, err := l.AddKey(ctx, "alice", fidoKey("one", 3)); err != nil {
			l.t.Fatal(err)
		}
		keys, err := l.SigningKeys(ctx)
		if err != nil {
			l.t.Fatal(err)
		}
		var b bytes.Buffer
		was, err := l.Backup(ctx, &b)
		if err != nil || was.Users != 2 || was.Tokens != 3 || was.Keys != 1 {
			l.t.Fatalf("%+v, %v", was, err)
		}
		data = b.Bytes()
		// Used after the backup.
		usedTime := c.code(0)
		l.accepts("bob", usedTime, "T")
		usedCounter := h.code(0)
		l.accepts("alice", usedCounter, "H")
		if _, err := l.Restore(ctx, data); !errors.Is(err, registry.ErrNotEmpty) {
			l.t.Errorf("over what is there: %v", err)
		}
		if got, err := l.Check(ctx); err != nil || got.Tokens != 3 {
			l.t.Errorf("check: %+v, %v", got, err)
		}

		fresh := l.fresh()
		got, err := fresh.Restore(ctx, data)
		if err != nil || got.Users != 2 || got.Tokens != 3 || strings.Join(got.Resync, " ") != "H" {
			l.t.Fatalf("%+v, %v", got, err)
		}
		// No code from before is taken again.
		fresh.refuses("bob", usedTime, registry.Replayed)
		fresh.refuses("alice", usedCounter, registry.Unknown)
		fresh.sleep(time.Minute)
		c.l = fresh
		fresh.accepts("bob", c.code(0), "T")
		h.counter++
		if _, err := fresh.Enroll(ctx, "alice", "H", h.code(0), h.code(1)); err != nil {
			l.t.Errorf("two codes: %v", err)
		}
		again, err := fresh.SigningKeys(ctx)
		if err != nil || len(again) != 1 || again[0].ID != keys[0].ID {
			l.t.Errorf("signing keys: %v, %v", again, err)
		}
		key, err := fresh.Usable(ctx, "alice")
		if err != nil || len(key) != 2 {
			l.t.Errorf("her tokens: %+v, %v", key, err)
		}
	})
	both(t, func(l *lab) { // what one database has, the other takes
		if c, err := l.Restore(l.t.Context(), data); err != nil || c.Tokens != 3 {
			l.t.Errorf("%+v, %v", c, err)
		}
	})
}

// fresh is the same service on an empty SQLite.
func (l *lab) fresh() *lab {
	l.t.Helper()
	s, err := store.OpenSQLite(l.t.Context(), l.t.TempDir()+"/fresh.db")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { s.Close() })
	fresh := &lab{t: l.t, open: func() store.Store { return s }, now: l.now}
	fresh.restart()
	return fresh
}

func TestBackupIsChecked(t *testing.T) {
	both(t, func(l *lab) {
		ctx := l.t.Context()
		l.enroll("alice", l.device("H", otp.Parameters{Kind: otp.HOTP}))
		var b bytes.Buffer
		if _, err := l.Backup(ctx, &b); err != nil {
			l.t.Fatal(err)
		}
		if c, err := l.CheckBackup(b.Bytes()); err != nil || c.Tokens != 1 {
			l.t.Fatalf("%+v, %v", c, err)
		}
		fresh := l.fresh()
		for n := range b.Len() {
			if _, err := fresh.Restore(ctx, b.Bytes()[:n]); !errors.Is(err, registry.ErrBackup) {
				l.t.Fatalf("cut off at %d: %v", n, err)
			}
			bad := bytes.Clone(b.Bytes())
			bad[n] ^= 0xff // some bits of the last byte do not count
			if _, err := fresh.CheckBackup(bad); n > 9 && !errors.Is(err, registry.ErrBackup) {
				l.t.Fatalf("changed at %d: %v", n, err)
			}
		}
		other, err := registry.NewSealer(bytes.Repeat([]byte{7}, registry.KeySize), bytes.Repeat([]byte{8}, registry.KeySize))
		if err != nil {
			l.t.Fatal(err)
		}
		stranger := registry.New(registry.Config{Store: fresh.store, Sealer: other})
		if _, err := stranger.Restore(ctx, b.Bytes()); !errors.Is(err, registry.ErrBackup) || !strings.Contains(err.Error(), "key file") {
			l.t.Errorf("with another key: %v", err)
		}
		if people, _ := fresh.People(ctx, ""); len(people) != 0 {
			l.t.Error("something was restored")
		}
	})
}

func TestReseal(t *testing.T) {
	both(t, func(l *lab) {
		ctx := l.t.Context()
		d := l.device("H", otp.Parameters{Kind: otp.HOTP})
		l.enroll("alice", d)
		if _, err := l.SigningKeys(ctx); err != nil {
			l.t.Fatal(err)
		}
		print, old, fresh := bytes.Repeat([]byte{1}, registry.KeySize), bytes.Repeat([]byte{2}, registry.KeySize), bytes.Repeat([]byte{3}, registry.KeySize)
		with := func(keys ...[]byte) *registry.Service {
			l.t.Helper()
			s, err := registry.NewSealer(print, keys...)
			if err != nil {
				l.t.Fatal(err)
			}
			return registry.New(registry.Config{Store: l.store, Sealer: s, Now: func() time.Time { return l.now }})
		}
		if _, err := with(fresh).Check(ctx); !errors.Is(err, registry.ErrSeal) {
			l.t.Errorf("without the old key: %v", err)
		}
		for _, want := range []int{2, 0} {
			if n, err := with(fresh, old).Reseal(ctx); err != nil || n != want {
				l.t.Errorf("got %d, %v, want %d", n, err, want)
			}
		}
		s := with(fresh)
		if _, err := s.Check(ctx); err != nil {
			l.t.Errorf("afterwards: %v", err)
		}
		if _, err := s.Verify(ctx, "alice", d.code(0)); err != nil {
			l.t.Error(err)
		}
		if _, err := s.SigningKeys(ctx); err != nil {
			l.t.Error(err)
		}
	})
}

func FuzzBackup(f *testing.F) {
	s, err := store.OpenSQLite(f.Context(), filepath.Join(f.TempDir(), "t.db"))
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	service := registry.New(registry.Config{Store: s, Sealer: sealer(f), Now: func() time.Time { return start }})
	var b bytes.Buffer
	if _, err := service.Backup(f.Context(), &b); err != nil {
		f.Fatal(err)
	}
	z, err := gzip.NewReader(&b)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := io.ReadAll(z)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("{\"head\":{\"version\":1}}\n{\"end\":{\"lines\":1}}\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(lines)
		z.Close()
		_, err := service.CheckBackup(packed.Bytes())
		if err == nil != bytes.Equal(lines, whole) || err != nil && !errors.Is(err, registry.ErrBackup) {
			t.Errorf("%v\n%s", err, lines)
		}
	})
}
