package registry

import (
	"context"
	"fmt"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// Create makes a new token with a seed of the caller's choice, and assigns it to a person.
func (s *Service) Create(ctx context.Context, user string, d Seed) (k *store.Token, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		now := s.cfg.Now()
		if k, err = s.make(&d, now); err != nil {
			return err
		}
		if err := s.assign(tx, k, user, now); err != nil {
			return err
		}
		return tx.AddTokens(k)
	})
	return k, err
}

// Export opens the seeds of tokens, of all that have some if none is named, and calls use with them. They are wiped afterwards.
func (s *Service) Export(ctx context.Context, serials []string, use func([]Seed) error) (err error) {
	var seeds []Seed
	defer func() {
		for _, d := range seeds {
			clear(d.Secret)
		}
	}()
	add := func(k *store.Token) error {
		secret, err := s.cfg.Sealer.Open(k.Seed, k.Serial)
		if err != nil {
			return err
		}
		seeds = append(seeds, Seed{
			Serial: k.Serial, Manufacturer: k.Manufacturer, Model: k.Model, Issuer: k.Issuer, Params: k.Params, Secret: secret,
			Drift: k.Drift, Starts: k.Starts, Expires: k.Expires, Counter: counter(k),
		})
		return nil
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		if len(serials) == 0 {
			return eachToken(tx, func(k *store.Token) error {
				if k.Credential != nil || k.State == store.Retired {
					return nil
				}
				return add(k)
			})
		}
		for _, serial := range serials {
			k, err := tx.Token(serial)
			if err != nil {
				return fmt.Errorf("token %s: %w", serial, err)
			}
			if k.Credential != nil {
				return fmt.Errorf("%w: %s is a security key, which has no seed", ErrState, serial)
			}
			if err := add(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return use(seeds)
}

// counter is what a token's file says of its counter: time tokens have none.
func counter(k *store.Token) uint64 {
	if k.Params.Kind == otp.HOTP || k.Params.Kind == otp.OCRA {
		return k.Next
	}
	return 0
}
