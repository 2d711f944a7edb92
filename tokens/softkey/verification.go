package softkey

import (
	"errors"

	"github.com/fobd/fobd/ctap2"
)

// protected says whether some form of user verification is configured.
func (a *Authenticator) protected() bool {
	_, ready, _ := a.builtInUV()
	return ready || a.state.pin.set()
}

// unverified is the status for a request that needs user verification and has none (section
// 6.1.2, steps 6 to 8, and section 6.2.2, step 5): a PIN will help, or nothing that the platform can do.
func (a *Authenticator) unverified(pin bool) error {
	if pin && !a.cfg.NoMcGaWithPIN {
		return ctap2.ErrPUATRequired
	}
	return ctap2.ErrOperationDenied
}

// verifyAlways says, for the option alwaysUv, whether built-in user verification is to be done; param
// is whether there is a pinUvAuthParam (section 6.1.2, step 6, and section 6.2.2, step 5).
func (a *Authenticator) verifyAlways(param bool) (bool, error) {
	_, ready, _ := a.builtInUV()
	if !a.protected() || !ready && !param {
		// The option clientPin is there, whether a PIN is set or not: with one it will work.
		return false, a.unverified(a.traits.has(ctap2.OptionClientPIN))
	}
	return !param, nil
}

// wantsUV reads the option uv (section 6.1.2, step 5, and section 6.2.2, step 4): a
// pinUvAuthParam takes its place.
func (a *Authenticator) wantsUV(o *ctap2.Options, param bool) (bool, error) {
	if o == nil || !set(o.UV) || param {
		return false, nil
	}
	_, ready, _ := a.builtInUV()
	switch {
	case ready:
		return true, nil
	case a.traits.ctap20():
		return false, ctap2.ErrUnsupportedOption // CTAP 2.0, section 5.1, step 3
	}
	return false, ctap2.ErrInvalidOption
}

// verifyFor verifies the person for makeCredential or getAssertion and gives the status
// of section 6.1.2, step 11.2.3, and section 6.2.2, step 6.2.3, of CTAP 2.2, which sends a platform
// of CTAP 2.0 on to the PIN.
func (a *Authenticator) verifyFor(c *command, prompt *Prompt) error {
	err := a.verifyUser(c, prompt)
	switch {
	case !errors.Is(err, ctap2.ErrUVInvalid) && !errors.Is(err, ctap2.ErrUVBlocked) && !errors.Is(err, ctap2.ErrOperationDenied):
		return err // nil, the person's time is over, the platform has cancelled
	case a.state.pin.set() && !a.cfg.NoMcGaWithPIN:
		return ctap2.ErrPUATRequired
	case a.state.pin.UVRetries == 0:
		return ctap2.ErrPINBlocked
	}
	return ctap2.ErrOperationDenied
}

// verifyUser is performBuiltInUv (CTAP 2.2, section 6.5.3.1): a touch of the sensor, which
// knows the person or not.
func (a *Authenticator) verifyUser(c *command, prompt *Prompt) error {
	if a.state.pin.UVRetries == 0 {
		return ctap2.ErrUVBlocked
	}
	if err := a.touch(c, prompt); err != nil {
		return err
	}
	pin := a.state.pin
	if _, _, knows := a.builtInUV(); a.faults.uvFails() || !knows {
		pin.UVRetries--
		if err := a.save(&record{PIN: &pin}); err != nil {
			return err
		}
		if pin.UVRetries == 0 {
			return ctap2.ErrUVBlocked
		}
		return ctap2.ErrUVInvalid
	}
	a.volatile.uvSincePIN++
	if pin.UVRetries != maxUVRetries {
		pin.UVRetries = maxUVRetries
		return a.save(&record{PIN: &pin})
	}
	return nil
}
