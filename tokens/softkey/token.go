package softkey

import (
	"crypto/ecdh"
	"io"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// Times of a pinUvAuthToken over USB (CTAP 2.2, section 6.5.2.1).
const (
	tokenMaxUsage     = 10 * time.Minute
	tokenInitialUsage = 30 * time.Second
	tokenUserPresent  = 30 * time.Second
)

// token is the pinUvAuthToken of one protocol and its state variables (CTAP 2.2,
// section 6.5.2.1).
type token struct {
	value       []byte
	inUse       bool
	permissions ctap2.Permission
	rpID        string // the permissions RP ID, empty when there is none yet
	verified    bool   // userVerified flag
	present     bool   // userPresent flag
	used        bool   // since it was given out
	began       time.Time
	legacy      bool // the pinToken of CTAP 2.0, which is good for everything until power-down
}

// renewTokens gives every protocol a new key agreement key and a new token that is not in
// use (CTAP 2.2, section 6.5.5.1: initialize, and resetPinUvAuthToken).
func (a *Authenticator) renewTokens() {
	a.volatile.agreement = make(map[ctap2.PINUVProtocol]*ecdh.PrivateKey)
	a.volatile.tokens = make(map[ctap2.PINUVProtocol]*token)
}

// agreement returns the protocol's key agreement key, made when first asked for.
func (a *Authenticator) agreement(p ctap2.PINUVProtocol) (*ecdh.PrivateKey, error) {
	if key := a.volatile.agreement[p]; key != nil {
		return key, nil
	}
	scalar := make([]byte, 32)
	for {
		if _, err := io.ReadFull(a.rand, scalar); err != nil {
			return nil, err
		}
		// Fails for numbers that are 0 or not below the order: less than one in 2^32.
		if key, err := ecdh.P256().NewPrivateKey(scalar); err == nil {
			a.volatile.agreement[p] = key
			return key, nil
		}
	}
}

// regenerate replaces the protocol's key agreement key (CTAP 2.2, section 6.5.5: after a
// wrong PIN).
func (a *Authenticator) regenerate(p ctap2.PINUVProtocol) { delete(a.volatile.agreement, p) }

// issue begins the use of a new token (CTAP 2.2, section 6.5.2.1, beginUsingPinUvAuthToken)
// after ending those of all protocols.
func (a *Authenticator) issue(p ctap2.PINUVProtocol, permissions ctap2.Permission, rpID string, present bool) (*token, error) {
	if a.traits.legacyToken {
		return a.pinToken(p)
	}
	value := make([]byte, p.TokenSize())
	if _, err := io.ReadFull(a.rand, value); err != nil {
		return nil, err
	}
	t := &token{value: value, inUse: true, permissions: permissions, rpID: rpID, verified: true, present: present, began: a.now()}
	a.volatile.tokens = map[ctap2.PINUVProtocol]*token{p: t}
	return t, nil
}

// legacyTokenSize is the length of a pinToken that keys of 2019 gave out; the specification leaves it to
// them (CTAP 2.0, section 5.5.2).
const legacyTokenSize = 16

// pinToken gives the token of CTAP 2.0, section 5.5.2: made at power-up, the same each time.
func (a *Authenticator) pinToken(p ctap2.PINUVProtocol) (*token, error) {
	if t := a.volatile.tokens[p]; t != nil {
		return t, nil
	}
	t := &token{value: make([]byte, legacyTokenSize), inUse: true, permissions: tokenPermissions, verified: true, legacy: true}
	if _, err := io.ReadFull(a.rand, t.value); err != nil {
		return nil, err
	}
	a.volatile.tokens[p] = t
	return t, nil
}

// persistentToken gives the persistentPinUvAuthToken, made when first asked for (CTAP 2.3,
// section 6.5.5.7). It ends with the PIN, not with the power.
func (a *Authenticator) persistentToken() ([]byte, error) {
	if len(a.state.persistent) == 0 {
		value := make([]byte, pinuv.TokenSize)
		if _, err := io.ReadFull(a.rand, value); err != nil {
			return nil, err
		}
		if err := a.save(&record{Persistent: &value}); err != nil {
			return nil, err
		}
	}
	return a.state.persistent, nil
}

// tokenInUse returns the protocol's token after a look at its timers (CTAP 2.2, section
// 6.5.2.1, pinUvAuthTokenUsageTimerObserver), or nil.
func (a *Authenticator) tokenInUse(p ctap2.PINUVProtocol) *token {
	t := a.volatile.tokens[p]
	if t == nil || !t.inUse {
		return nil
	}
	if t.legacy {
		return t
	}
	age := a.now().Sub(t.began)
	if age >= tokenMaxUsage || !t.used && age >= tokenInitialUsage {
		pinuv.Wipe(t.value)
		delete(a.volatile.tokens, p)
		return nil
	}
	if age >= tokenUserPresent {
		t.present = false
	}
	return t
}

// authorizeManagement checks the pinUvAuthParam of a command that manages the key: credential
// management, biometric enrolment, large blobs and configuration (CTAP 2.3, sections 6.7 to 6.11). The
// token must have one of the permissions; with [ctap2.PermissionCredentialRead] among them
// the persistent token will do, which the result tells by that one permission (section 6.5.5.7). The RP ID of
// the token is for the caller to look at: it means something else in each subcommand.
func (a *Authenticator) authorizeManagement(p ctap2.PINUVProtocol, message, param []byte, permissions ctap2.Permission) (*token, error) {
	switch {
	case param == nil:
		return nil, ctap2.ErrPUATRequired
	case p == 0:
		return nil, ctap2.ErrMissingParameter
	case !a.traits.protocol(p):
		return nil, ctap2.ErrInvalidParameter
	}
	if t := a.tokenInUse(p); t != nil && p.Verify(t.value, message, param) {
		t.used = true
		if t.permissions&permissions == 0 {
			return nil, ctap2.ErrPINAuthInvalid
		}
		return t, nil
	}
	if permissions&ctap2.PermissionCredentialRead != 0 && len(a.state.persistent) > 0 && p.Verify(a.state.persistent, message, param) {
		return &token{value: a.state.persistent, inUse: true, used: true, permissions: ctap2.PermissionCredentialRead, verified: true, began: a.now()}, nil
	}
	return nil, ctap2.ErrPINAuthInvalid
}

// alwaysUV says whether the option alwaysUv is on.
func (a *Authenticator) alwaysUV() bool {
	on := a.cfg.AlwaysUV
	if toggled := a.state.config.AlwaysUV; toggled != nil {
		on = *toggled
	}
	return on && a.traits.has(ctap2.OptionAlwaysUV)
}

// minPIN is the least length of a new PIN, in code points.
func (a *Authenticator) minPIN() uint { return max(a.cfg.MinPINLength, a.state.config.MinPINLength) }

// enterprise says whether enterprise attestation is enabled.
func (a *Authenticator) enterprise() bool {
	return a.traits.has(ctap2.OptionEnterprise) && a.state.config.Enterprise
}

// authorize checks a pinUvAuthParam of makeCredential or getAssertion (CTAP 2.2, section
// 6.1.2, step 11.1, and section 6.2.2, step 6.1) and returns the token.
func (a *Authenticator) authorize(p ctap2.PINUVProtocol, message, param []byte, permission ctap2.Permission, rpID string) (*token, error) {
	t := a.tokenInUse(p)
	if t == nil || !p.Verify(t.value, message, param) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	t.used = true
	if t.legacy {
		return t, nil
	}
	switch {
	case t.permissions&permission == 0,
		t.rpID != "" && t.rpID != rpID,
		!t.verified:
		return nil, ctap2.ErrPINAuthInvalid
	}
	if t.rpID == "" {
		t.rpID = rpID // the first RP that it is used for is the only one
	}
	return t, nil
}

// spend clears the flags of a token after user presence was used for it (CTAP 2.2, section
// 6.1.2, step 14.3: clearUserPresentFlag, clearUserVerifiedFlag and
// clearPinUvAuthTokenPermissionsExceptLbw).
func (t *token) spend() {
	if t.legacy {
		return
	}
	t.present, t.verified = false, false
	t.permissions &= ctap2.PermissionLargeBlobWrite
}
