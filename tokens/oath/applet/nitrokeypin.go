package applet

import (
	"context"
	"crypto/subtle"
	"slices"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// The PIN of the secrets app. The touch comes before the PIN is looked at, so that no program burns tries by itself.

// tryPIN spends a try. A right one gives them all back. No PIN fits when none are left.
func (a *Applet) tryPIN(pin []byte) bool {
	p := a.state.PIN
	if p.Tries == 0 {
		return false
	}
	a.change()
	p.Tries--
	if subtle.ConstantTimeCompare(p.Value, pin) != 1 {
		return false
	}
	p.Tries = pinTries
	return true
}

func (a *Applet) verifyPIN(ctx context.Context, c apdu.Command) answer {
	v, good := fields(c.Data, oath.TagPIN)
	switch {
	case !good:
		return status(apdu.ErrWrongData)
	case a.state.PIN == nil, !a.touched(ctx, oath.CmdVerifyPIN, nil):
		return status(apdu.ErrSecurityStatus)
	case !a.tryPIN(v[0]):
		return status(swVerifyFailed)
	}
	a.run.fresh = true
	return ok(nil)
}

func (a *Applet) setPIN(ctx context.Context, c apdu.Command) answer {
	v, good := fields(c.Data, oath.TagPIN)
	switch {
	case !good || len(v[0]) == 0 || len(v[0]) > maxField:
		return status(apdu.ErrWrongData)
	case a.state.PIN != nil, !a.touched(ctx, oath.CmdSetPIN, nil):
		return status(apdu.ErrSecurityStatus)
	}
	a.change()
	a.state.PIN = &PIN{slices.Clone(v[0]), pinTries}
	a.run.fresh = true
	return ok(nil)
}

func (a *Applet) changePIN(ctx context.Context, c apdu.Command) answer {
	v, good := fields(c.Data, oath.TagPIN, oath.TagNewPIN)
	switch {
	case !good || len(v[1]) == 0 || len(v[1]) > maxField:
		return status(apdu.ErrWrongData)
	case a.state.PIN == nil, !a.touched(ctx, oath.CmdChangePIN, nil):
		return status(apdu.ErrSecurityStatus)
	case !a.tryPIN(v[0]):
		return status(swVerifyFailed)
	}
	clear(a.state.PIN.Value)
	a.state.PIN.Value = slices.Clone(v[1])
	return ok(nil)
}
