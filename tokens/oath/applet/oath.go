package applet

import (
	"context"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// Status words that package apdu has no name for.
const (
	swVerifyFailed apdu.SW = 0x6300
	swExecution    apdu.SW = 0x6500
	swMemory       apdu.SW = 0x6581
	swNoSuchObject apdu.SW = 0x6984
)

// The touch fault of YubiKeys 4.2.0 to 4.2.6: a touch is overlooked soon after a long response.
const (
	longResponse = 54
	longNear     = 2 * time.Second
)

// oath runs a command of the OATH application and makes its change last.
func (a *Applet) oath(ctx context.Context, c apdu.Command) answer {
	a.before, a.run.fresh = nil, false
	var r answer
	if a.cfg.Personality == Nitrokey {
		r = a.nitrokey(ctx, c)
	} else {
		r = a.ykoath(ctx, c)
	}
	a.run.keyed = a.run.fresh
	if a.before != nil {
		r = a.save(r)
	}
	a.run.long = time.Time{}
	if len(r.data) > longResponse {
		a.run.long = time.Now()
	}
	return r
}

// change is called before anything of the state changes.
func (a *Applet) change() {
	if a.before == nil {
		before := a.state.clone()
		a.before = &before
	}
}

// save makes the running command's change last, or takes it back.
func (a *Applet) save(r answer) answer {
	if a.cfg.Save != nil {
		if err := a.cfg.Save(a.state.clone()); err != nil {
			a.state.Wipe()
			a.state, a.before = *a.before, nil
			return status(swMemory)
		}
	}
	a.before.Wipe()
	a.before = nil
	return r
}

// ykoath is the table of commands of all but the Nitrokey.
func (a *Applet) ykoath(ctx context.Context, c apdu.Command) answer {
	cmd := oath.Cmd(c.INS)
	if a.state.Code != nil && !a.run.unlocked && cmd != oath.CmdValidate && (cmd != oath.CmdReset || !a.traits.resets) {
		return status(apdu.ErrSecurityStatus)
	}
	type handler struct {
		p1, p2 byte
		any    byte // bits of P2 that may be anything
		run    func(context.Context, apdu.Command) answer
	}
	h, known := map[oath.Cmd]handler{
		oath.CmdPut:          {run: a.put},
		oath.CmdDelete:       {run: a.delete},
		oath.CmdSetCode:      {run: a.setCode},
		oath.CmdReset:        {p1: 0xDE, p2: 0xAD, run: a.reset},
		oath.CmdRename:       {run: a.rename},
		oath.CmdList:         {run: a.list},
		oath.CmdCalculate:    {any: 1, run: a.calculate},
		oath.CmdValidate:     {run: a.validate},
		oath.CmdCalculateAll: {any: 1, run: a.calculateAll},
	}[cmd]
	switch {
	case cmd == oath.CmdSendRemaining && a.cfg.Personality == NEO:
		return ok(nil) // with nothing left
	case cmd == oath.CmdSendRemaining:
		return status(apdu.ErrConditionsNotSatisfied)
	case !known, cmd == oath.CmdReset && !a.traits.resets, cmd == oath.CmdRename && !a.renames():
		return status(apdu.ErrInsNotSupported)
	case c.P1 != h.p1 || c.P2&^h.any != h.p2:
		return status(apdu.SW(a.traits.wrongP1P2))
	}
	return h.run(ctx, c)
}

func (a *Applet) renames() bool {
	return a.cfg.Personality == CanoKey || a.cfg.Personality == YubiKey && !a.cfg.Version.Before(5, 3, 1)
}

// touched waits for the person. The lock is not held meanwhile. false is a touch that did not come.
func (a *Applet) touched(ctx context.Context, cmd oath.Cmd, name []byte) bool {
	if a.overlooks() {
		return false
	}
	if a.cfg.Touch == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.TouchTimeout)
	defer cancel()
	if tell := a.run.keepalive; tell != nil {
		tell(2) // user presence needed (CTAP 2.2, section 11.2.9.1.7)
		defer tell(1)
	}
	p := Prompt{Cmd: cmd, Name: string(name)}
	a.mu.Unlock()
	defer a.mu.Lock()
	return a.cfg.Touch(ctx, p)
}

func (a *Applet) overlooks() bool {
	v := a.cfg.Version
	return a.cfg.Personality == YubiKey && !v.Before(4, 2, 0) && v.Before(4, 2, 7) &&
		!a.run.long.IsZero() && time.Since(a.run.long) < longNear
}
