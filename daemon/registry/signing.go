package registry

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/fobd/fobd/daemon/store"
)

const (
	// signingTime is how long a key signs; then a new one does.
	signingTime = 90 * 24 * time.Hour
	// keptTime is how long a key is published after that, so that what it signed can be checked.
	keptTime = 24 * time.Hour
	// signingPlace begins the place that a signing key is sealed for.
	signingPlace = "signing key "
)

// SigningKey signs statements.
type SigningKey struct {
	// ID is the key's thumbprint (RFC 8037, appendix A.3).
	ID      string
	Private ed25519.PrivateKey
	Created time.Time
}

// SigningKeys gives the keys, the one that signs now first; it is made if there is none, or if it is old. The caller wipes them.
func (s *Service) SigningKeys(ctx context.Context) (keys []SigningKey, err error) {
	now := s.cfg.Now()
	var sealed []*store.SigningKey
	fresh := func(tx store.Tx) (bool, error) {
		sealed, err = tx.SigningKeys()
		return len(sealed) > 0 && now.Sub(sealed[0].Created) < signingTime, err
	}
	ok := false
	if err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		ok, err = fresh(tx)
		return err
	}); err != nil {
		return nil, err
	}
	if !ok {
		if err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
			if ok, err := fresh(tx); ok || err != nil {
				return err // another daemon has made one
			}
			k := s.newSigningKey(now)
			if err := tx.SaveSigningKey(k); err != nil {
				return err
			}
			kept := []*store.SigningKey{k}
			for _, old := range sealed {
				if now.Sub(old.Created) < signingTime+keptTime {
					kept = append(kept, old)
				} else if err := tx.RemoveSigningKey(old.ID); err != nil {
					return err
				}
			}
			sealed = kept
			return nil
		}); err != nil {
			return nil, err
		}
	}
	for _, k := range sealed {
		seed, err := s.cfg.Sealer.Open(k.Private, signingPlace+k.ID)
		if err != nil {
			return nil, err
		}
		if len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("registry: signing key %s: %d bytes", k.ID, len(seed))
		}
		keys = append(keys, SigningKey{k.ID, ed25519.NewKeyFromSeed(seed), k.Created})
		clear(seed)
	}
	return keys, nil
}

func (s *Service) newSigningKey(now time.Time) *store.SigningKey {
	public, private, _ := ed25519.GenerateKey(rand.Reader) // never fails
	defer clear(private)
	id := thumbprint(public)
	seed := private.Seed()
	defer clear(seed)
	return &store.SigningKey{ID: id, Private: s.cfg.Sealer.Seal(seed, signingPlace+id), Created: now}
}

// thumbprint names a public key (RFC 7638; RFC 8037, section 2: the members in this order).
func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
