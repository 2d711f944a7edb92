package softkey

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// CommandU2F is the command of a [CommandFault] for U2F requests, which no CTAP2 command has; its name
// is "u2f". A fault of every command is not one of U2F requests. They have no statuses.
const CommandU2F ctap2.Cmd = 0x03

var errInjected = errors.New("softkey: injected fault")

// limits are what some faults lower.
type limits struct{ list, id, slots int }

// SetFaults makes f what the key does wrong from now on, and nothing else. It works while a command
// waits for the person; one that was told to hang goes on doing so.
func (a *Authenticator) SetFaults(f Faults) {
	f = f.clone()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.samples, f.Samples = f.Samples, nil
	t := a.traits
	if a.faults == nil {
		a.limits0 = limits{t.maxListCount, t.maxCredentialID, a.cfg.MaxCredentials}
	}
	l := a.limits0
	if f.MaxList > 0 {
		l.list = int(f.MaxList)
	}
	if f.MaxID > 0 {
		l.id = int(f.MaxID)
	}
	if f.Slots > 0 {
		l.slots = int(f.Slots)
	}
	t.maxListCount, t.maxCredentialID, a.cfg.MaxCredentials = l.list, l.id, l.slots
	a.faults = &f
	if f.none() {
		a.faults = nil // which costs nothing
	}
}

// Faults are what the key does wrong now. Those that have run out are not among them.
func (a *Authenticator) Faults() Faults {
	a.mu.Lock()
	defer a.mu.Unlock()
	var f Faults
	if a.faults != nil {
		f = a.faults.clone()
	}
	f.Samples = slices.Clone(a.samples)
	return f
}

// take finds the first fault for a command and counts it.
func take[F any](list *[]F, cmd ctap2.Cmd, of func(*F) *CommandFault) (F, bool) {
	for i := range *list {
		f := (*list)[i]
		c := of(&(*list)[i])
		if c.Command != cmd && (c.Command != 0 || cmd == CommandU2F) {
			continue
		}
		if c.Times > 0 {
			if c.Times--; c.Times == 0 {
				*list = slices.Delete(*list, i, i+1)
			}
		}
		return f, true
	}
	var none F
	return none, false
}

func itself(c *CommandFault) *CommandFault { return c }

// instead is what happens in the place of a command, if anything does.
func (a *Authenticator) instead(c *command) (response []byte, done bool) {
	f := a.faults
	if s, ok := take(&f.Slow, c.cmd, func(s *SlowFault) *CommandFault { return &s.CommandFault }); ok && !a.idle(c, s.Delay) {
		return status(ctap2.ErrKeepaliveCancel), true
	}
	if _, ok := take(&f.Hangs, c.cmd, itself); ok {
		a.idle(c, 0)
		return status(ctap2.ErrKeepaliveCancel), true
	}
	if c.cmd != CommandU2F {
		if s, ok := take(&f.Statuses, c.cmd, func(s *StatusFault) *CommandFault { return &s.CommandFault }); ok {
			return status(s.Status), true
		}
	}
	if r, ok := take(&f.Responses, c.cmd, func(r *ResponseFault) *CommandFault { return &r.CommandFault }); ok {
		return bytes.Clone(r.Response), true
	}
	return nil, false
}

// spoiled is an answer as garble and truncate leave it.
func (a *Authenticator) spoiled(cmd ctap2.Cmd, response []byte) []byte {
	if _, ok := take(&a.faults.Garbled, cmd, itself); ok {
		// An array of more than there is, of text that is none.
		return append(response[:min(1, len(response))], 0x9F, 0x7F, 0xFF, 0x00, 0xC3)
	}
	if _, ok := take(&a.faults.Truncated, cmd, itself); ok {
		return response[:(len(response)+1)/2]
	}
	return response
}

// faulty carries out a command of a key that has faults.
func (a *Authenticator) faulty(c *command, request []byte) []byte {
	if a.volatile.dead {
		return status(ctap2.ErrOther)
	}
	if len(request) > 0 {
		c.cmd = ctap2.Cmd(request[0])
	}
	response, done := a.instead(c)
	if !done {
		var err error
		if response, err = a.command(c, request); err != nil {
			response = status(ctap2.StatusOf(err))
		}
	}
	f := a.faults
	if f == nil {
		return response // switched off meanwhile
	}
	if len(response) == 1 {
		switch ctap2.Status(response[0]) {
		case ctap2.ErrKeepaliveCancel:
			if f.CancelStatus != 0 {
				response = status(f.CancelStatus)
			}
		case ctap2.ErrNoCredentials:
			switch {
			case f.EmptyListOK:
				response = []byte{byte(ctap2.StatusOK), 0xA0}
			case f.EmptyList != 0:
				response = status(f.EmptyList)
			}
		}
	}
	if done {
		return response
	}
	return a.spoiled(c.cmd, response)
}

// idle lets a time of the key's clock pass, 0 for ever. It says no when the command was cancelled or the key
// unplugged. The caller holds a.mu, which is free meanwhile.
func (a *Authenticator) idle(c *command, d time.Duration) bool {
	a.mu.Unlock()
	defer a.mu.Lock()
	c.keepalive(ctap2.KeepaliveProcessing)
	over := make(chan struct{})
	if d > 0 {
		t := a.user.clock.after(d, func() { close(over) })
		defer t.stop()
	}
	for {
		changed, unplugged := a.user.watch()
		if unplugged {
			return false
		}
		select {
		case <-over:
			return true
		case <-c.ctx.Done():
			return false
		case <-changed:
		}
	}
}

// refuses makes the checks that some faults add to makeCredential and getAssertion.
func (f *Faults) refuses(list []ctap2.CredentialDescriptor, extensions, silent bool) error {
	switch {
	case f == nil:
		return nil
	case f.RefuseLists > 0 && uint(len(list)) > f.RefuseLists:
		return ctap2.ErrRequestTooLarge
	case f.RefuseOutputs && extensions:
		return ctap2.ErrUnsupportedExtension
	case f.RefuseSilent && silent:
		return ctap2.ErrUnsupportedOption
	}
	return nil
}

// authData changes authenticator data before it is signed.
func (f *Faults) authData(d *ctap2.AuthData) error {
	if f == nil {
		return nil
	}
	if f.NoUP {
		d.Flags &^= ctap2.FlagUP
	}
	if f.NoUV {
		d.Flags &^= ctap2.FlagUV
	}
	if f.BackupEligible || f.BackupState {
		d.Flags |= ctap2.FlagBE
	}
	if f.BackupState {
		d.Flags |= ctap2.FlagBS
	}
	if f.ExtraOutput {
		outputs := map[string]ctap2.RawMessage{}
		if len(d.Extensions) > 0 {
			if err := ctap2.UnmarshalLenient(d.Extensions, &outputs); err != nil {
				return err
			}
		}
		outputs["fobdUnasked"] = ctap2.RawMessage{0xF5}
		b, err := ctap2.Marshal(outputs)
		if err != nil {
			return err
		}
		d.Extensions, d.Flags = b, d.Flags|ctap2.FlagED
	}
	return nil
}

// signed is what is signed in the place of a client data hash.
func (f *Faults) signed(clientDataHash []byte) []byte {
	if f == nil || !f.WrongSignature {
		return clientDataHash
	}
	other := bytes.Clone(clientDataHash)
	other[0] ^= 1
	return other
}

// publicKey is what is told in the place of a public key.
func (f *Faults) publicKey(public []byte, alg cose.Algorithm) ([]byte, error) {
	if f == nil || !f.WrongPublicKey {
		return public, nil
	}
	_, other, err := generate(alg, crand.Reader)
	if err != nil {
		return nil, err
	}
	return publicKey(other, alg)
}

// selfAttestation says whether new credentials attest for themselves.
func (a *Authenticator) selfAttestation() bool {
	return a.cfg.Attestation == AttestationSelf || a.faults != nil && a.faults.SelfAttestation
}

// credProtect is the protection of a new credential whose request asks for p.
func (f *Faults) credProtect(p ctap2.CredProtect) ctap2.CredProtect {
	switch {
	case f == nil:
	case f.ForceCredProtect != 0:
		return f.ForceCredProtect
	case p == 0:
		return f.DefaultCredProtect
	}
	return p
}

// asserted changes an assertion for a list of so many credentials.
func (f *Faults) asserted(r *ctap2.GetAssertionResponse, allowed int) {
	if f == nil {
		return
	}
	if f.Credential == FieldNever || f.Credential == FieldNeeded && allowed == 1 {
		r.Credential = nil
	}
	switch {
	case r.User == nil:
	case f.User == UserLeftOut:
		r.User = nil
	case f.User == UserCut:
		user := *r.User
		user.Name, user.DisplayName = halfRune(user.Name), halfRune(user.DisplayName)
		r.User = &user
	}
}

// halfRune ends a text inside a character: its last one of several bytes, or one that it did not have.
// An empty one stays.
func halfRune(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] >= utf8.RuneSelf && !utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	if s == "" {
		return s
	}
	return s + "\xE2\x82"
}

// uvFails says whether a built-in user verification fails, and counts it.
func (f *Faults) uvFails() bool {
	if f == nil || f.UVFails == 0 {
		return false
	}
	f.UVFails--
	return true
}

// forcePINChange says whether the PIN must be changed (CTAP 2.3, section 6.4, forcePINChange).
func (a *Authenticator) forcePINChange() bool {
	return a.state.config.ForcePINChange || a.faults != nil && a.faults.ForcePINChange
}

// pinChanged ends what lasts until there is another PIN.
func (f *Faults) pinChanged() {
	if f != nil {
		f.ForcePINChange = false
	}
}

// softLocked says whether no PIN is looked at until a power cycle (CTAP 2.3, section 6.5.5).
func (a *Authenticator) softLocked() bool {
	return a.volatile.pinFails >= maxPINFails || a.faults != nil && a.faults.SoftLock
}

// silentUV says whether alwaysUv is about up=false too.
func (f *Faults) silentUV() bool { return f != nil && f.AlwaysUVSilent }

// write is called before each write of the state. Its error is that of the write.
func (a *Authenticator) write() error {
	f := a.faults
	switch {
	case a.volatile.dead:
		return errInjected
	case f == nil:
		return nil
	}
	if f.FailWrite > 0 {
		if f.FailWrite--; f.FailWrite == 0 {
			return errInjected
		}
	}
	if a.cutting {
		a.volatile.dead, a.cutting = true, false
		return errInjected
	}
	if f.PowerCut > 0 {
		f.PowerCut--
		a.cutting = f.PowerCut == 0
	}
	return nil
}

// u2fMessage answers a U2F request; the caller holds a.mu.
func (a *Authenticator) u2fMessage(ctx context.Context, keepalive func(status byte), request []byte) []byte {
	if a.faults == nil && !a.volatile.dead {
		return a.message(request).Marshal()
	}
	if keepalive == nil {
		keepalive = func(byte) {}
	}
	if a.volatile.dead {
		return apdu.Response{SW: apdu.ErrNoDiagnosis}.Marshal()
	}
	response, done := a.instead(&command{cmd: CommandU2F, ctx: ctx, keepalive: keepalive})
	switch {
	case done && len(response) == 1:
		return apdu.Response{SW: u2f.ErrConditionsNotSatisfied}.Marshal() // cancelled or unplugged
	case done:
		return response
	}
	response = a.message(request).Marshal()
	if a.faults == nil {
		return response
	}
	return a.spoiled(CommandU2F, response)
}
