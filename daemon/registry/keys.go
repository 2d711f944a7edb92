package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// Errors about security keys.
var (
	// ErrEnrolled says that a credential is there already.
	ErrEnrolled = errors.New("registry: this security key is enrolled already")
	// ErrCopied says that a signature counter did not go forwards (WebAuthn Level 3, section 7.2, step 22).
	ErrCopied = errors.New("registry: the signature counter did not go forwards: the key may have been copied; retire it if that is not known to be a fault of its own")
)

// Key is a security key as its registration, which somebody has verified, makes it known.
type Key struct {
	store.Credential
	Manufacturer, Model string
	SignCount           uint32
}

// keyPrefix begins the serial numbers of security keys, which do not tell their own.
const keyPrefix = "key-"

// AddKey makes a security key a person's, who is added if not there. It is active at once.
func (s *Service) AddKey(ctx context.Context, user string, key Key) (k *store.Token, err error) {
	sum := sha256.Sum256(key.ID)
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		print := s.cfg.Sealer.Fingerprint(key.ID)
		there, err := tx.Alike(nil, [][]byte{print})
		if err != nil {
			return err
		}
		if len(there) > 0 {
			return fmt.Errorf("%w, as %s", ErrEnrolled, there[0].Serial)
		}
		now := s.cfg.Now()
		k = &store.Token{
			Serial: fmt.Sprintf("%s%x", keyPrefix, sum[:6]), Manufacturer: key.Manufacturer, Model: key.Model, Issuer: key.RPID,
			Params: otp.Parameters{Kind: store.FIDO}, Fingerprint: print, Credential: &key.Credential, Next: uint64(key.SignCount), Imported: now, Changed: now,
		}
		if err := s.assign(tx, k, user, now); err != nil {
			return err
		}
		k.State = store.Active
		return tx.AddTokens(k)
	})
	return k, err
}

// Handle is what a person is called in credentials: it tells nothing of the name (WebAuthn Level 3, section 14.6.1).
func (s *Service) Handle(user string) []byte {
	return s.cfg.Sealer.Fingerprint([]byte("user handle\x00" + user))
}

// Room fails with [ErrTooMany] when a person can have no more tokens and keys. Somebody who is not there has room.
func (s *Service) Room(ctx context.Context, user string) error {
	return s.cfg.Store.View(ctx, func(tx store.Tx) error { return s.room(tx, user) })
}

// UsedKey notes that a person's key has signed, durably, before anybody is told. count is its signature counter, which does not go
// back: see [ErrCopied].
func (s *Service) UsedKey(ctx context.Context, user, serial string, count uint32) error {
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		k, err := tx.Token(serial)
		if err != nil {
			return fmt.Errorf("key %s: %w", serial, err)
		}
		now := s.cfg.Now()
		if k.Owner != user || !usable(k, now) || k.Credential == nil {
			return fmt.Errorf("%w: key %s is %s", ErrState, serial, k.State)
		}
		if (count != 0 || k.Next != 0) && uint64(count) <= k.Next {
			return fmt.Errorf("%w: key %s: %d after %d", ErrCopied, serial, count, k.Next)
		}
		k.Next, k.LastUsed, k.Changed = uint64(count), now, now
		if err := tx.SaveToken(k); err != nil {
			return err
		}
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		// Wrong codes are not forgiven by a key: who guesses them has none.
		u.LastUsed = now
		return tx.SaveUser(u)
	})
}

// usable says whether a token or key counts now.
func usable(k *store.Token, now time.Time) bool {
	return k.State == store.Active && (k.Starts.IsZero() || !now.Before(k.Starts)) && (k.Expires.IsZero() || now.Before(k.Expires)) && !now.Before(k.LockedUntil)
}

// Usable are the tokens and keys of a person that count now; none for somebody who is not there.
func (s *Service) Usable(ctx context.Context, user string) (list []*store.Token, err error) {
	all, err := s.Tokens(ctx, store.Filter{Owner: user, State: store.Active})
	now := s.cfg.Now()
	for _, k := range all {
		if usable(k, now) {
			list = append(list, k)
		}
	}
	return list, err
}

// HasCodes says whether a token shows codes that [Service.Verify] takes.
func HasCodes(k *store.Token) bool {
	switch k.Params.Kind {
	case otp.HOTP, otp.TOTP, otp.Steam:
		return true
	}
	return false
}
