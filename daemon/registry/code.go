package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// Codes are what a time token shows now, when, and what it showed before that. They are for who plays the token's part, too: this service
// usually only checks codes. Nothing is spent by it. The error is an [ErrState] for tokens whose codes count.
func (s *Service) Codes(ctx context.Context, serial string) (before, code string, from, until time.Time, err error) {
	var k *store.Token
	if k, err = s.Token(ctx, serial); err != nil {
		return "", "", from, until, err
	}
	if k.State == store.Lost || k.State == store.Retired || k.State == store.Disabled {
		return "", "", from, until, fmt.Errorf("%w: %s is %s", ErrState, serial, k.State)
	}
	if kind := k.Params.Kind; kind != otp.TOTP && kind != otp.Steam {
		return "", "", from, until, fmt.Errorf("%w: %s has no clock, so that reading a code would spend it", ErrState, serial)
	}
	key, err := s.open(k)
	if err != nil {
		return "", "", from, until, err
	}
	p := key.Parameters()
	step, ok := p.Step(s.cfg.Now())
	if !ok || step == 0 {
		return "", "", from, until, fmt.Errorf("%w: the time of %s has not begun", ErrState, serial)
	}
	return key.Code(step - 1), key.Code(step), p.Starts(step), p.Starts(step + 1), nil
}
