package ctap2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/text/unicode/norm"

	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// PINRetries asks how many wrong PINs the authenticator takes before it blocks, and whether it
// wants to be replugged before the next attempt (CTAP 2.2, section 6.5.5.2). It costs nothing.
func (c *Client) PINRetries(ctx context.Context) (retries uint, powerCycle bool, err error) {
	resp, err := c.ClientPIN(ctx, &ClientPINRequest{Subcommand: SubGetPINRetries})
	if errors.Is(err, ErrMissingParameter) {
		// The protocol is not a parameter of this subcommand; some keys want it all the same.
		resp, err = c.ClientPIN(ctx, &ClientPINRequest{Subcommand: SubGetPINRetries, PINUVAuthProtocol: pinuv.One})
	}
	if err != nil {
		return 0, false, err
	}
	if resp.PINRetries == nil {
		return 0, false, fmt.Errorf("%w: clientPIN: no pinRetries", ErrResponse)
	}
	return *resp.PINRetries, resp.PowerCycleState != nil && *resp.PowerCycleState, nil
}

// UVRetries asks how often built-in user verification may fail before it is blocked (CTAP 2.2,
// section 6.5.5.3). It costs nothing.
func (c *Client) UVRetries(ctx context.Context) (uint, error) {
	resp, err := c.ClientPIN(ctx, &ClientPINRequest{Subcommand: SubGetUVRetries})
	if err != nil {
		return 0, err
	}
	if resp.UVRetries == nil {
		return 0, fmt.Errorf("%w: clientPIN: no uvRetries", ErrResponse)
	}
	return *resp.UVRetries, nil
}

// KeyAgreement asks for the authenticator's key agreement key (CTAP 2.2, section 6.5.5.4).
func (c *Client) KeyAgreement(ctx context.Context, protocol PINUVProtocol) (*cose.Key, error) {
	if !protocol.Valid() {
		return nil, pinuv.ErrProtocol
	}
	resp, err := c.ClientPIN(ctx, &ClientPINRequest{PINUVAuthProtocol: protocol, Subcommand: SubGetKeyAgreement})
	if err != nil {
		return nil, err
	}
	if resp.KeyAgreement == nil {
		return nil, fmt.Errorf("%w: clientPIN: no keyAgreement", ErrResponse)
	}
	return resp.KeyAgreement, nil
}

// SetPIN sets the first PIN (CTAP 2.2, section 6.5.5.5). pin is UTF-8 and is brought to Unicode
// normalization form C; the errors of [pinuv.CheckPIN] come back without the authenticator having
// been asked.
func (c *Client) SetPIN(ctx context.Context, protocol PINUVProtocol, pin []byte) error {
	pin = NormalizePIN(pin)
	defer pinuv.Wipe(pin)
	padded, err := pinuv.PadPIN(pin)
	if err != nil {
		return err
	}
	defer pinuv.Wipe(padded)
	platform, secret, err := c.agree(ctx, protocol)
	if err != nil {
		return err
	}
	defer pinuv.Wipe(secret)
	newPINEnc, err := protocol.Encrypt(secret, padded)
	if err != nil {
		return err
	}
	_, err = c.ClientPIN(ctx, &ClientPINRequest{
		PINUVAuthProtocol: protocol,
		Subcommand:        SubSetPIN,
		KeyAgreement:      platform,
		NewPINEnc:         newPINEnc,
		PINUVAuthParam:    protocol.Authenticate(secret, newPINEnc),
	})
	return err
}

// ChangePIN replaces the PIN (CTAP 2.2, section 6.5.5.6). It spends one attempt when old is wrong; then
// the [*Error] says how many are left. An old or new PIN that can't be one on any authenticator is
// refused without asking.
func (c *Client) ChangePIN(ctx context.Context, protocol PINUVProtocol, old, new []byte) error {
	old, new = NormalizePIN(old), NormalizePIN(new)
	defer pinuv.Wipe(old, new)
	if err := pinuv.CheckPIN(old); err != nil {
		return fmt.Errorf("ctap2: old PIN: %w", err)
	}
	padded, err := pinuv.PadPIN(new)
	if err != nil {
		return err
	}
	defer pinuv.Wipe(padded)
	platform, secret, err := c.agree(ctx, protocol)
	if err != nil {
		return err
	}
	defer pinuv.Wipe(secret)
	newPINEnc, err := protocol.Encrypt(secret, padded)
	if err != nil {
		return err
	}
	pinHashEnc, err := encryptPINHash(protocol, secret, old)
	if err != nil {
		return err
	}
	both := append(append(make([]byte, 0, len(newPINEnc)+len(pinHashEnc)), newPINEnc...), pinHashEnc...)
	_, err = c.ClientPIN(ctx, &ClientPINRequest{
		PINUVAuthProtocol: protocol,
		Subcommand:        SubChangePIN,
		KeyAgreement:      platform,
		PINHashEnc:        pinHashEnc,
		NewPINEnc:         newPINEnc,
		PINUVAuthParam:    protocol.Authenticate(secret, both),
	})
	return c.withRetries(ctx, err)
}

// TokenRequest says what a pinUvAuthToken is wanted for.
type TokenRequest struct {
	Protocol PINUVProtocol
	// PIN is UTF-8. Nil means the authenticator's built-in user verification.
	PIN []byte
	// Permissions must not be empty, unless Legacy.
	Permissions Permission
	// RPID limits the token to one relying party; the permissions mc and ga need it
	// (CTAP 2.2, section 6.5.5.7).
	RPID string
	// Legacy asks with getPinToken, for authenticators without the option pinUvAuthToken. Such a token
	// comes with a PIN only and has no say about permissions (CTAP 2.2, section 6.5.5.7.1).
	Legacy bool
}

// PINToken gets a pinUvAuthToken (CTAP 2.2, section 6.5.5.7). With a PIN it spends one attempt when
// the PIN is wrong, and the [*Error] says how many are left; a PIN that can't be one on any
// authenticator is refused without asking. The caller wipes the token.
func (c *Client) PINToken(ctx context.Context, r TokenRequest) (*Token, error) {
	req := &ClientPINRequest{PINUVAuthProtocol: r.Protocol}
	switch {
	case r.Legacy && r.PIN == nil:
		return nil, errors.New("ctap2: a token without permissions needs a PIN")
	case r.Legacy:
		req.Subcommand = SubGetPINToken
	case r.Permissions == 0:
		return nil, errors.New("ctap2: token without permissions")
	default:
		req.Subcommand = SubGetPINUVAuthTokenUsingPINWithPermissions
		if r.PIN == nil {
			req.Subcommand = SubGetPINUVAuthTokenUsingUVWithPermissions
		}
		permissions := r.Permissions
		req.Permissions, req.RPID = &permissions, r.RPID
	}
	var pin []byte
	if r.PIN != nil {
		pin = NormalizePIN(r.PIN)
		defer pinuv.Wipe(pin)
		if err := pinuv.CheckPIN(pin); err != nil {
			return nil, err
		}
	}
	platform, secret, err := c.agree(ctx, r.Protocol)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(secret)
	req.KeyAgreement = platform
	if pin != nil {
		if req.PINHashEnc, err = encryptPINHash(r.Protocol, secret, pin); err != nil {
			return nil, err
		}
	}
	resp, err := c.ClientPIN(ctx, req)
	if err != nil {
		return nil, c.withRetries(ctx, err)
	}
	key, err := r.Protocol.Decrypt(secret, resp.PINUVAuthToken)
	if err != nil {
		return nil, fmt.Errorf("%w: clientPIN: token: %w", ErrResponse, err)
	}
	if !r.Protocol.ValidTokenSize(len(key)) {
		pinuv.Wipe(key)
		return nil, fmt.Errorf("%w: clientPIN: token of %d bytes", ErrResponse, len(key))
	}
	t := &Token{Protocol: r.Protocol, key: key}
	if !r.Legacy {
		t.Permissions, t.RPID = r.Permissions, r.RPID
	}
	return t, nil
}

// agree makes a secret shared with the authenticator.
func (c *Client) agree(ctx context.Context, protocol PINUVProtocol) (platform *cose.Key, secret []byte, err error) {
	peer, err := c.KeyAgreement(ctx, protocol)
	if err != nil {
		return nil, nil, err
	}
	platform, secret, err = protocol.Encapsulate(peer)
	if err != nil {
		return nil, nil, fmt.Errorf("ctap2: clientPIN: %w", err)
	}
	return platform, secret, nil
}

// withRetries adds to the error of a failed verification how many attempts are left.
func (c *Client) withRetries(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch e.Status {
	case ErrPINInvalid, ErrPINAuthBlocked, ErrPINBlocked:
		if n, powerCycle, err := c.PINRetries(ctx); err == nil {
			e.Retries, e.PowerCycle = &n, powerCycle
		}
		// CTAP 2.2, section 6.5.5.7: the status says it even where powerCycleState is not sent.
		e.PowerCycle = e.PowerCycle || e.Status == ErrPINAuthBlocked
	case ErrUVInvalid, ErrUVBlocked:
		if n, err := c.UVRetries(ctx); err == nil {
			e.Retries = &n
		}
	}
	return err
}

func encryptPINHash(protocol PINUVProtocol, secret, pin []byte) ([]byte, error) {
	hash := pinuv.PINHash(pin)
	defer pinuv.Wipe(hash[:])
	return protocol.Encrypt(secret, hash[:])
}

// NormalizePIN gives a copy of a PIN in Unicode normalization form C (CTAP 2.2, section 6.5.1). What
// is not UTF-8 stays as it is.
func NormalizePIN(pin []byte) []byte {
	return norm.NFC.Append(make([]byte, 0, 3*len(pin)), pin...) // it may grow threefold; no second copy stays behind
}

// Token is a pinUvAuthToken. It prints as [secret] whatever the verb.
type Token struct {
	Protocol    PINUVProtocol
	Permissions Permission // 0 for a legacy token
	RPID        string

	key []byte
}

// NewToken makes a token of its bytes, which it takes over.
func NewToken(protocol PINUVProtocol, key []byte) *Token {
	return &Token{Protocol: protocol, key: key}
}

// Authenticate gives the pinUvAuthParam for message. After [Token.Wipe] it is nil.
func (t *Token) Authenticate(message []byte) []byte {
	return t.Protocol.Authenticate(t.key, message)
}

// Wipe overwrites the token, which is of no use afterwards.
func (t *Token) Wipe() {
	pinuv.Wipe(t.key)
	t.key = nil
}

// Format implements fmt.Formatter.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Authorize sets pinUvAuthParam and its protocol (CTAP 2.2, section 6.1.1: over clientDataHash).
func (r *MakeCredentialRequest) Authorize(t *Token) {
	param := t.Authenticate(r.ClientDataHash)
	r.PINUVAuthParam, r.PINUVAuthProtocol = &param, t.Protocol
}

// Authorize sets pinUvAuthParam and its protocol (CTAP 2.2, section 6.2.1: over clientDataHash).
func (r *GetAssertionRequest) Authorize(t *Token) {
	param := t.Authenticate(r.ClientDataHash)
	r.PINUVAuthParam, r.PINUVAuthProtocol = &param, t.Protocol
}
