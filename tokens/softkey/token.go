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
	value := make([]byte, 32)
	if _, err := io.ReadFull(a.rand, value); err != nil {
		return nil, err
	}
	t := &token{value: value, inUse: true, permissions: permissions, rpID: rpID, verified: true, present: present, began: a.now()}
	a.volatile.tokens = map[ctap2.PINUVProtocol]*token{p: t}
	return t, nil
}

// tokenInUse returns the protocol's token after a look at its timers (CTAP 2.2, section
// 6.5.2.1, pinUvAuthTokenUsageTimerObserver), or nil.
func (a *Authenticator) tokenInUse(p ctap2.PINUVProtocol) *token {
	t := a.volatile.tokens[p]
	if t == nil || !t.inUse {
		return nil
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

// authorize checks a pinUvAuthParam of makeCredential or getAssertion (CTAP 2.2, section
// 6.1.2, step 11.1, and section 6.2.2, step 6.1) and returns the token.
func (a *Authenticator) authorize(p ctap2.PINUVProtocol, message, param []byte, permission ctap2.Permission, rpID string) (*token, error) {
	t := a.tokenInUse(p)
	if t == nil || !p.Verify(t.value, message, param) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	t.used = true
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
	t.present, t.verified = false, false
	t.permissions &= ctap2.PermissionLargeBlobWrite
}
