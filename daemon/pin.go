package daemon

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/daemon/api"
)

// hasPIN is what a wish for a key that can have a PIN looks at.
func hasPIN(_ context.Context, s *session) (bool, error) {
	if _, can := s.info.Option(ctap2.OptionClientPIN); !can || s.client == nil {
		return false, &api.Error{
			Code: api.CodeUnsupported, Message: s.key.Name() + " has no PIN", Hint: "use a FIDO2 key", Key: s.key.ID(),
		}
	}
	return true, nil
}

// refresh asks the key again what it is: its PIN may have been set by another program.
func (s *session) refresh(ctx context.Context) error {
	if s.client == nil {
		return nil
	}
	s.conn.Forget()
	info, err := exchange(s, api.PromptTouch, func() (*ctap2.Info, error) { return s.conn.Info(ctx) })
	if err == nil {
		s.info = info
	}
	return err
}

// pinStatus is the operation pin-status. It spends no retry.
func (c *call) pinStatus(ctx context.Context, r *api.KeyRequest) (*api.PINStatusResult, error) {
	s, err := c.choose(ctx, r.Key, wish{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	result := &api.PINStatusResult{MinLength: s.info.MinPIN(), MaxLength: pinuv.MaxPINBytes}
	if n := s.info.MaxPINLength; n > 0 {
		result.MaxLength = n
	}
	result.Complexity = s.info.PINComplexityPolicy
	result.ComplexityURL = printable(string(s.info.PINComplexityPolicyURL))
	result.Set, result.Supported = s.info.Option(ctap2.OptionClientPIN)
	if force := s.info.ForcePINChange; force != nil {
		result.ForceChange = *force
	}
	if result.Set {
		_, err := exchange(s, api.PromptTouch, func() (struct{}, error) {
			retries, replug, err := s.client.PINRetries(ctx)
			result.Retries, result.NeedsReplug = &retries, replug
			return struct{}{}, err
		})
		if err != nil {
			return nil, err
		}
	}
	if uv, _ := s.info.Option(ctap2.OptionUV); uv {
		// Keys of CTAP 2.0 do not say.
		if retries, err := exchange(s, api.PromptTouch, func() (uint, error) { return s.client.UVRetries(ctx) }); err == nil {
			result.UVRetries = &retries
		}
	}
	result.Key = describe(s.key)
	return result, nil
}

// pinSet is the operation pin-set (CTAP 2.2, section 6.5.5.5).
func (c *call) pinSet(ctx context.Context, r *api.PINSetRequest) (*api.KeyResult, error) {
	s, err := c.choose(ctx, r.Key, wish{serves: hasPIN})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	if set, _ := s.info.Option(ctap2.OptionClientPIN); set {
		return nil, &api.Error{
			Code: api.CodePINAlreadySet, Message: s.key.Name() + " has a PIN already", Hint: "change it with pin-change", Key: s.key.ID(),
		}
	}
	err = s.withNewPIN(ctx, func(pin []byte) error { return s.client.SetPIN(ctx, s.info.Protocol(), pin) })
	if err != nil {
		return nil, err
	}
	return s.pinned(ctx), nil
}

// pinChange is the operation pin-change (CTAP 2.2, section 6.5.5.6).
func (c *call) pinChange(ctx context.Context, r *api.PINChangeRequest) (*api.KeyResult, error) {
	s, err := c.choose(ctx, r.Key, wish{serves: hasPIN})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	if set, _ := s.info.Option(ctap2.OptionClientPIN); !set {
		return nil, &keyError{s.key, ctap2.ErrPINNotSet}
	}
	var fresh api.Secret
	defer func() { fresh.Wipe() }()
	err = s.withPIN(ctx, r.AllowLastRetry, func(old []byte) error {
		if fresh.Bytes() == nil {
			pin, err := s.newPIN(ctx)
			if err != nil {
				return err
			}
			fresh = pin
		}
		return s.client.ChangePIN(ctx, s.info.Protocol(), old, fresh.Bytes())
	})
	if err != nil {
		return nil, err
	}
	return s.pinned(ctx), nil
}

// pinned is the end of a change of the PIN: what the key says of itself is not true any
// more.
func (s *session) pinned(ctx context.Context) *api.KeyResult {
	s.forget()
	// The PIN is set, whatever the key answers now.
	_ = s.refresh(ctx)
	return &api.KeyResult{Key: describe(s.key)}
}

// withNewPIN asks the person for a new PIN and uses it.
func (s *session) withNewPIN(ctx context.Context, use func(pin []byte) error) error {
	pin, err := s.newPIN(ctx)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	_, err = exchange(s, api.PromptTouch, func() (struct{}, error) { return struct{}{}, use(pin.Bytes()) })
	return err
}

// newPIN asks the person for a new PIN that the key may take: its length is in code points of
// Unicode normalization form C (CTAP 2.3, section 6.5.1).
func (s *session) newPIN(ctx context.Context) (api.Secret, error) {
	p := s.c.prompt(api.PromptNewPIN, s.key)
	p.MinLength, p.MaxLength = s.info.MinPIN(), s.info.MaxPINLength
	pin, err := ask(ctx, s, p, s.c.ui.PIN)
	if err != nil {
		return api.Secret{}, err
	}
	normal := ctap2.NormalizePIN(pin.Bytes())
	defer pinuv.Wipe(normal)
	if err = pinuv.CheckPIN(normal); err == nil {
		err = s.checkLength(uint(utf8.RuneCount(normal)), p.MinLength, p.MaxLength)
	}
	if err != nil {
		pin.Wipe()
		return api.Secret{}, err
	}
	return pin, nil
}

// checkLength says why a PIN of n code points is not one for the key; most is 0 when the key
// does not say.
func (s *session) checkLength(n, least, most uint) error {
	refuse := func(what, hint string) error {
		return &api.Error{Code: api.CodePINPolicy, Message: "the PIN is too " + what + " for " + s.key.Name(), Hint: hint, Key: s.key.ID()}
	}
	switch {
	case n < least:
		return refuse("short", fmt.Sprintf("this key wants at least %s", plural(least, "character", "characters")))
	case most > 0 && n > most:
		return refuse("long", fmt.Sprintf("this key takes at most %s", plural(most, "character", "characters")))
	}
	return nil
}
