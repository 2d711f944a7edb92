package softkey

import (
	"crypto/subtle"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// setPIN: CTAP 2.2, section 6.5.5.5.
func (a *Authenticator) setPIN(r *ctap2.ClientPINRequest) ([]byte, error) {
	if r.PINUVAuthProtocol == 0 || r.KeyAgreement == nil || r.NewPINEnc == nil || r.PINUVAuthParam == nil {
		return nil, ctap2.ErrMissingParameter
	}
	if err := a.checkProtocol(r); err != nil {
		return nil, err
	}
	if a.state.pin.set() {
		return nil, ctap2.ErrPINAuthInvalid
	}
	secret, err := a.secret(r.PINUVAuthProtocol, r.KeyAgreement)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(secret)
	if !r.PINUVAuthProtocol.Verify(secret, r.NewPINEnc, r.PINUVAuthParam) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	if err := a.storePIN(r.PINUVAuthProtocol, secret, r.NewPINEnc); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}

// storePIN takes an encrypted new PIN (CTAP 2.3, section 6.5.5.5, from "calls decrypt", and section
// 6.5.5.6 likewise).
func (a *Authenticator) storePIN(p ctap2.PINUVProtocol, secret, newPINEnc []byte) error {
	padded, err := p.Decrypt(secret, newPINEnc)
	if err != nil {
		return ctap2.ErrPINAuthInvalid
	}
	defer pinuv.Wipe(padded)
	if len(padded) != pinuv.PaddedPINSize {
		return ctap2.ErrInvalidParameter
	}
	pin, err := pinuv.UnpadPIN(padded)
	length := utf8.RuneCount(pin)
	if err != nil || !utf8.Valid(pin) || uint(length) < a.minPIN() || len(pin) > maxPINLength {
		return ctap2.ErrPINPolicyViolation
	}
	if a.complexPIN() && simplePIN(pin) {
		return ctap2.ErrPINPolicyViolation
	}
	hash := pinuv.PINHash(pin)
	changed := &record{PIN: &pinState{Hash: hash[:], Length: uint(length), Retries: maxPINRetries, UVRetries: maxUVRetries}}
	if a.forcePINChange() {
		// The PIN that has to be changed does not come back.
		if subtle.ConstantTimeCompare(hash[:], a.state.pin.Hash) == 1 {
			return ctap2.ErrPINPolicyViolation
		}
		cfg := a.state.config
		cfg.ForcePINChange = false
		changed.Config = &cfg
	}
	if len(a.state.persistent) > 0 {
		changed.Persistent = &[]byte{} // resetPersistentPinUvAuthToken
	}
	if err := a.save(changed); err != nil {
		return err
	}
	a.faults.pinChanged()
	a.volatile.pinFails = 0
	return nil
}

// complexPIN says whether a new PIN must follow the complexity policy of this key (CTAP 2.3, section
// 6.4, pinComplexityPolicy), which is [simplePIN].
func (a *Authenticator) complexPIN() bool {
	return a.cfg.PINComplexity || a.state.config.PINComplexityPolicy
}

// simplePIN is what the complexity policy of this key refuses: one character repeated, and
// characters that follow one another up or down, such as 1234 and dcba.
func simplePIN(pin []byte) bool {
	runes := []rune(string(pin))
	if len(runes) < 2 {
		return true
	}
	step := runes[1] - runes[0]
	if step < -1 || step > 1 {
		return false
	}
	for i := range runes[1:] {
		if runes[i+1]-runes[i] != step {
			return false
		}
	}
	return true
}

// changePIN: CTAP 2.2, section 6.5.5.6.
func (a *Authenticator) changePIN(r *ctap2.ClientPINRequest) ([]byte, error) {
	if r.PINUVAuthProtocol == 0 || r.KeyAgreement == nil || r.PINHashEnc == nil || r.NewPINEnc == nil || r.PINUVAuthParam == nil {
		return nil, ctap2.ErrMissingParameter
	}
	if err := a.mayTryPIN(r); err != nil {
		return nil, err
	}
	secret, err := a.secret(r.PINUVAuthProtocol, r.KeyAgreement)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(secret)
	message := append(append([]byte(nil), r.NewPINEnc...), r.PINHashEnc...)
	if !r.PINUVAuthProtocol.Verify(secret, message, r.PINUVAuthParam) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	if err := a.tryPIN(r.PINUVAuthProtocol, secret, r.PINHashEnc); err != nil {
		return nil, err
	}
	if err := a.storePIN(r.PINUVAuthProtocol, secret, r.NewPINEnc); err != nil {
		return nil, err
	}
	a.renewTokens()
	return ctap2.MarshalResponse(nil)
}

// mayTryPIN makes the checks before a PIN is looked at (CTAP 2.2, sections 6.5.5.6 and
// 6.5.5.7).
func (a *Authenticator) mayTryPIN(r *ctap2.ClientPINRequest) error {
	if err := a.checkProtocol(r); err != nil {
		return err
	}
	switch {
	case !a.state.pin.set():
		return ctap2.ErrPINNotSet
	case a.state.pin.Retries == 0:
		return ctap2.ErrPINBlocked
	case a.softLocked():
		return ctap2.ErrPINAuthBlocked
	}
	return nil
}

// tryPIN compares an encrypted PIN hash with the PIN's (CTAP 2.2, section 6.5.5.6, from
// "decrements the pinRetries counter").
func (a *Authenticator) tryPIN(p ctap2.PINUVProtocol, secret, pinHashEnc []byte) error {
	spent := a.state.pin
	spent.Retries--
	// Durable before the comparison, so that cutting the power is not a free try.
	if err := a.save(&record{PIN: &spent}); err != nil {
		return err
	}
	hash, err := p.Decrypt(secret, pinHashEnc)
	if err != nil || subtle.ConstantTimeCompare(hash, a.state.pin.Hash) != 1 {
		a.regenerate(p)
		a.volatile.pinFails++
		switch {
		case a.state.pin.Retries == 0:
			return ctap2.ErrPINBlocked
		case a.volatile.pinFails >= maxPINFails:
			return ctap2.ErrPINAuthBlocked
		}
		return ctap2.ErrPINInvalid
	}
	pinuv.Wipe(hash)
	a.volatile.uvSincePIN = 0
	restored := a.state.pin
	restored.Retries, restored.UVRetries = maxPINRetries, maxUVRetries
	if err := a.save(&record{PIN: &restored}); err != nil {
		return err
	}
	a.volatile.pinFails = 0
	return nil
}
