package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/webauthn"
)

// verification is how a session gets the person verified for one request.
type verification struct {
	webauthn.Verification
	permissions ctap2.Permission
	rpID        string
	// allowLast permits to spend the last PIN retry.
	allowLast bool
}

// defaultUVAttempts is how often a finger is asked for when the key does not say
// (CTAP 2.2, section 6.4, preferredPlatformUvAttempts).
const defaultUVAttempts = 3

// token gets the person verified and returns a token that says so, to be wiped by the
// caller. It is nil when nothing is wanted, and when the key's own verification has no
// tokens: then uv says that the request itself must ask for it.
func (s *session) token(ctx context.Context, v verification) (token *ctap2.Token, uv bool, err error) {
	if !v.Wanted || s.client == nil {
		return nil, false, nil
	}
	tokens, _ := s.info.Option(ctap2.OptionPINUVAuthToken)
	if v.BuiltIn {
		if !tokens {
			return nil, true, nil
		}
		token, err = s.uvToken(ctx, v)
		// CTAP 2.2, section 6.5.5.7.3: the PIN is there for when built-in verification
		// does not work.
		if err == nil || !v.PIN || !errors.Is(err, ctap2.ErrUVBlocked) && !errors.Is(err, ctap2.ErrUVInvalid) {
			return token, false, err
		}
	}
	token, err = s.pinToken(ctx, v)
	return token, false, err
}

// fresh notes that the key has given a token, by which those from before are of no use any more (CTAP
// 2.3, section 6.5.5.7).
func (s *session) fresh() { s.c.e.kept.forget(s.key) }

// uvToken has the key verify the person by itself.
func (s *session) uvToken(ctx context.Context, v verification) (*ctap2.Token, error) {
	attempts := s.info.PreferredPlatformUVAttempts
	if attempts == 0 {
		attempts = defaultUVAttempts
	}
	for attempt := uint(1); ; attempt++ {
		token, err := exchange(s, api.PromptVerify, func() (*ctap2.Token, error) {
			return s.client.PINToken(ctx, ctap2.TokenRequest{Protocol: s.info.Protocol(), Permissions: v.permissions, RPID: v.rpID})
		})
		if err == nil {
			s.fresh()
		}
		if !errors.Is(err, ctap2.ErrUVInvalid) || attempt >= attempts || ctx.Err() != nil {
			return token, err
		}
	}
}

// pinToken asks the person for the PIN.
func (s *session) pinToken(ctx context.Context, v verification) (*ctap2.Token, error) {
	if err := s.pinUsable(ctx); err != nil {
		return nil, err
	}
	permissions, _ := s.info.Option(ctap2.OptionPINUVAuthToken)
	var token *ctap2.Token
	err := s.withPIN(ctx, v.allowLast, func(pin []byte) (err error) {
		r := ctap2.TokenRequest{Protocol: s.info.Protocol(), PIN: pin, Legacy: !permissions}
		if permissions {
			r.Permissions, r.RPID = v.permissions, v.rpID
		}
		token, err = s.client.PINToken(ctx, r)
		return err
	})
	if errors.Is(err, ctap2.ErrPINPolicyViolation) {
		return nil, s.pinOutdated()
	}
	if err == nil {
		s.fresh()
	}
	return token, err
}

// pinUsable refuses before the person is asked when the key gives nothing for its PIN until
// that is changed (CTAP 2.3, section 6.4, forcePINChange).
func (s *session) pinUsable(ctx context.Context) error {
	forced := func() bool { return s.info.ForcePINChange != nil && *s.info.ForcePINChange }
	if !forced() {
		return nil
	}
	// It may have been changed by another program.
	if err := s.refresh(ctx); err != nil || !forced() {
		return err
	}
	return s.pinOutdated()
}

// pinOutdated is the error for a PIN that must be changed.
func (s *session) pinOutdated() error {
	return &api.Error{
		Code: api.CodePINPolicy, Message: "the PIN of " + s.key.Name() + " must be changed before it can be used",
		Hint: "change it with pin-change", Key: s.key.ID(),
	}
}

// permit gets the person verified for the management of a key and returns a token with
// permissions, for one site if rpID is not empty, to be wiped by the caller. Where optional is true it is nil for a key that
// verifies nobody.
func (s *session) permit(ctx context.Context, permission ctap2.Permission, rpID string, allowLast, optional bool) (*ctap2.Token, error) {
	uv, _ := s.info.Option(ctap2.OptionUV)
	tokens, _ := s.info.Option(ctap2.OptionPINUVAuthToken)
	// CTAP 2.3, section 6.4: these permissions need an option of their own for a finger.
	if permission&ctap2.PermissionBioEnrollment != 0 {
		able, _ := s.info.Option(ctap2.OptionUVBioEnroll)
		uv = uv && able
	}
	if permission&ctap2.PermissionConfig != 0 {
		able, _ := s.info.Option(ctap2.OptionUVConfig)
		uv = uv && able
	}
	pin, canPIN := s.info.Option(ctap2.OptionClientPIN)
	v := verification{permissions: permission, rpID: rpID, allowLast: allowLast}
	v.Wanted, v.BuiltIn, v.PIN = true, uv && tokens, pin && s.info.Protocol().Valid()
	switch {
	case v.BuiltIn || v.PIN:
	case optional:
		return nil, nil
	case canPIN:
		return nil, &keyError{s.key, webauthn.ErrPINNotSet}
	default:
		return nil, &api.Error{Code: api.CodeUnsupported, Message: s.key.Name() + " cannot verify the person", Hint: "use another key", Key: s.key.ID()}
	}
	token, _, err := s.token(ctx, v)
	return token, err
}

// confirm has the person agree to something that cannot be undone.
func (s *session) confirm(ctx context.Context, question string) error {
	p := s.c.prompt(api.PromptConfirm, s.key)
	p.Message = question + " This is what " + asker(&p) + " wants."
	yes, err := ask(ctx, s, p, s.c.ui.Confirm)
	if err != nil || yes {
		return err
	}
	return &api.Error{Code: api.CodeDenied, Message: "the person said no; nothing was changed on " + s.key.Name(), Key: s.key.ID()}
}

// withPIN asks the person for the PIN and uses it. A wrong one is told and asked for
// again: every attempt is one that the person made. The retries that are left are known
// before each of them, and the last one is spent only with permission.
func (s *session) withPIN(ctx context.Context, allowLast bool, use func(pin []byte) error) error {
	wrong := false
	for {
		retries, err := s.retries(ctx, allowLast)
		if err != nil {
			return err
		}
		p := s.c.prompt(api.PromptPIN, s.key)
		p.Retries = &retries
		p.Message = fmt.Sprintf("%s; %s left", p.Message, plural(retries, "try", "tries"))
		if wrong {
			p.Message = "Wrong PIN. " + p.Message
		}
		pin, err := ask(ctx, s, p, s.c.ui.PIN)
		if err != nil {
			return err
		}
		_, err = exchange(s, api.PromptTouch, func() (struct{}, error) { return struct{}{}, use(pin.Bytes()) })
		pin.Wipe()
		if !errors.Is(err, ctap2.ErrPINInvalid) || ctx.Err() != nil {
			return err
		}
		wrong = true
	}
}

// retries says how often the PIN may be tried, and refuses when it may not.
func (s *session) retries(ctx context.Context, allowLast bool) (uint, error) {
	var replug bool
	retries, err := exchange(s, api.PromptTouch, func() (n uint, err error) {
		n, replug, err = s.client.PINRetries(ctx)
		return n, err
	})
	if err != nil {
		return 0, err
	}
	refuse := func(code api.Code, message, hint string) error {
		return &api.Error{Code: code, Message: fmt.Sprintf(message, s.key.Name()), Hint: hint, Key: s.key.ID(), Retries: &retries}
	}
	switch {
	case retries == 0:
		return 0, refuse(api.CodePINBlocked, "the PIN of %s is blocked", "only a reset, which erases the key, makes it usable again")
	case replug:
		return 0, refuse(api.CodePINAuthBlocked, "%s takes no PIN after too many wrong ones in a row", "pull the key out, put it in again, and try with the right PIN")
	case retries == 1 && !allowLast:
		return 0, refuse(api.CodePINLastRetry, "one wrong PIN more blocks %s", "allow the last retry in the request if you are sure of the PIN")
	}
	return retries, nil
}
