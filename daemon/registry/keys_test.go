package registry_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

func fidoKey(id string, count uint32) registry.Key {
	return registry.Key{Credential: store.Credential{ID: []byte(id), PublicKey: []byte{1}, UserHandle: []byte{2}, RPID: "fobd.invalid", Firmware: 7}, Model: "Softkey", SignCount: count}
}

func TestKeysOfPeople(t *testing.T) {
	both(t, func(l *lab) {
		ctx := t.Context()
		k, err := l.AddKey(ctx, "alice", fidoKey("one", 5))
		if err != nil || k.State != store.Active || k.Owner != "alice" {
			t.Fatalf("%+v, %v", k, err)
		}
		if _, err := l.AddKey(ctx, "bob", fidoKey("one", 5)); !errors.Is(err, registry.ErrEnrolled) {
			t.Errorf("the same key for another person: %v", err)
		}
		for _, c := range []struct {
			count uint32
			want  error
		}{{6, nil}, {6, registry.ErrCopied}, {5, registry.ErrCopied}, {0, registry.ErrCopied}, {9, nil}} {
			if err := l.UsedKey(ctx, "alice", k.Serial, c.count); !errors.Is(err, c.want) {
				t.Errorf("signature counter %d: got %v, want %v", c.count, err, c.want)
			}
		}
		if err := l.UsedKey(ctx, "bob", k.Serial, 10); !errors.Is(err, registry.ErrState) {
			t.Errorf("somebody else's key: %v", err)
		}
		l.restart()
		usable, err := l.Usable(ctx, "alice")
		if err != nil || len(usable) != 1 || usable[0].Next != 9 || usable[0].Credential == nil || usable[0].Credential.Firmware != 7 {
			t.Fatalf("%+v, %v", usable, err)
		}
		// A key has no codes.
		if _, err := l.Enroll(ctx, "alice", k.Serial, "123456", "123456"); !errors.Is(err, registry.ErrState) {
			t.Errorf("two codes of a key: %v", err)
		}
		l.refuses("alice", "123456", registry.Unknown)
		if _, err := l.Lost(ctx, k.Serial, 1, l.now.Add(time.Hour)); err != nil {
			t.Error(err)
		}
		if err := l.UsedKey(ctx, "alice", k.Serial, 20); !errors.Is(err, registry.ErrState) {
			t.Errorf("a lost key: %v", err)
		}
	})
}

// Wrong codes stay counted when somebody signs in with a key: who guesses has none.
func TestKeyDoesNotForgiveWrongCodes(t *testing.T) {
	both(t, func(l *lab) {
		d := l.device("A", otp.Parameters{Kind: otp.TOTP})
		l.enroll("alice", d)
		k, err := l.AddKey(t.Context(), "alice", fidoKey("one", 0))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			l.refuses("alice", "000000", registry.Wrong)
		}
		if err := l.UsedKey(t.Context(), "alice", k.Serial, 0); err != nil {
			t.Error(err)
		}
		l.refuses("alice", d.code(0), registry.Throttled)
	})
}

func TestRemovePerson(t *testing.T) {
	both(t, func(l *lab) {
		ctx := t.Context()
		l.enroll("alice", l.device("A", otp.Parameters{Kind: otp.HOTP}))
		k, err := l.AddKey(ctx, "alice", fidoKey("one", 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.RecoveryCodes(ctx, "alice", 2, l.now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		people, err := l.People(ctx, "")
		if err != nil || len(people) != 1 || len(people[0].Tokens) != 2 || people[0].Recovery != 2 {
			t.Fatalf("%+v, %v", people, err)
		}
		freed, retired, err := l.Remove(ctx, "alice")
		if err != nil || strings.Join(freed, " ") != "A" || strings.Join(retired, " ") != k.Serial {
			t.Errorf("freed %v, retired %v, %v", freed, retired, err)
		}
		if _, err := l.People(ctx, "alice"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("she is still there: %v", err)
		}
		if _, _, err := l.Remove(ctx, "alice"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		// The token can be somebody else's, from where its counter is.
		if got, _ := l.Token(ctx, "A"); got.State != store.Imported || got.Next != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestSigningKeys(t *testing.T) {
	both(t, func(l *lab) {
		ctx := t.Context()
		keys := func() []registry.SigningKey {
			t.Helper()
			k, err := l.SigningKeys(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		first := keys()[0]
		l.restart()
		if again := keys(); len(again) != 1 || again[0].ID != first.ID || !again[0].Private.Equal(first.Private) {
			t.Errorf("after a restart: %d keys", len(again))
		}
		l.sleep(90 * 24 * time.Hour)
		two := keys()
		if len(two) != 2 || two[0].ID == first.ID || two[1].ID != first.ID {
			t.Fatalf("after 90 days: %d keys", len(two))
		}
		if !ed25519.Verify(two[1].Private.Public().(ed25519.PublicKey), []byte("x"), ed25519.Sign(first.Private, []byte("x"))) {
			t.Error("the old key is another")
		}
		l.sleep(90 * 24 * time.Hour)
		if three := keys(); len(three) != 2 || three[1].ID != two[0].ID {
			t.Errorf("after 180 days: %d keys", len(three))
		}
	})
}

// RFC 8037, appendices A.2 and A.3.
func TestThumbprint(t *testing.T) {
	public, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got := registry.Thumbprint(public); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("got %s", got)
	}
}
