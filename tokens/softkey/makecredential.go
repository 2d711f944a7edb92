package softkey

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

func set(option *bool) bool { return option != nil && *option }

// gesture answers an empty pinUvAuthParam, with which old platforms let the person select a
// key (CTAP 2.2, section 6.1.2, step 1, and section 6.2.2, step 1).
func (a *Authenticator) gesture(c *command, prompt *Prompt) error {
	if err := a.touch(c, prompt); err != nil {
		return err
	}
	if a.state.pin.set() {
		return ctap2.ErrPINInvalid
	}
	return ctap2.ErrPINNotSet
}

// checkAuth makes the checks on the PIN/UV members (section 6.1.2, steps 1 and 2, and
// section 6.2.2, steps 1 and 2).
func (a *Authenticator) checkAuth(c *command, param *[]byte, p ctap2.PINUVProtocol, prompt *Prompt) error {
	switch {
	case param == nil:
		return nil
	case len(*param) == 0:
		return a.gesture(c, prompt)
	case p == 0:
		return ctap2.ErrMissingParameter
	case !p.Valid():
		return ctap2.ErrInvalidParameter
	}
	return nil
}

// protected says whether some form of user verification is configured.
func (a *Authenticator) protected() bool {
	there, _ := a.user.sensor()
	return there || a.state.pin.set()
}

// alwaysUV says, for the option alwaysUv, whether built-in user verification is to be done; param
// is whether there is a pinUvAuthParam (section 6.1.2, step 6, and section 6.2.2, step 5).
func (a *Authenticator) alwaysUV(param bool) (bool, error) {
	there, _ := a.user.sensor()
	if !a.protected() || !there && !param {
		// The option clientPin is there, whether a PIN is set or not: with one it will work.
		return false, ctap2.ErrPUATRequired
	}
	return !param, nil
}

// makeCredential answers authenticatorMakeCredential; the steps are those of CTAP 2.2,
// section 6.1.2.
func (a *Authenticator) makeCredential(c *command, r *ctap2.MakeCredentialRequest) ([]byte, error) {
	prompt := &Prompt{Command: ctap2.CmdMakeCredential, RPID: r.RP.ID}
	if len(r.ClientDataHash) != sha256.Size {
		return nil, ctap2.ErrInvalidLength
	}
	if len(r.User.ID) > 64 {
		return nil, ctap2.ErrInvalidLength
	}
	if len(r.ExcludeList) > maxListCount {
		return nil, ctap2.ErrLimitExceeded
	}
	// Steps 1 and 2.
	if err := a.checkAuth(c, r.PINUVAuthParam, r.PINUVAuthProtocol, prompt); err != nil {
		return nil, err
	}
	// Step 3: the first algorithm of the list that is supported.
	alg, ok := r.Algorithm(a.cfg.Algorithms...)
	if !ok {
		return nil, ctap2.ErrUnsupportedAlgorithm
	}
	// Step 4: neither is true yet.
	up, uv := false, false
	// Step 5: options.
	rk, wantUV := false, false
	if o := r.Options; o != nil {
		there, _ := a.user.sensor()
		wantUV = set(o.UV) && r.PINUVAuthParam == nil
		if wantUV && !there {
			return nil, ctap2.ErrInvalidOption
		}
		rk = set(o.RK)
		if o.UP != nil && !*o.UP {
			return nil, ctap2.ErrInvalidOption
		}
	}
	// Step 6: alwaysUv.
	if a.cfg.AlwaysUV {
		var err error
		if wantUV, err = a.alwaysUV(r.PINUVAuthParam != nil); err != nil {
			return nil, err
		}
	}
	// Step 7: makeCredUvNotRqd lets only discoverable credentials need verification.
	if a.protected() && rk && !wantUV && r.PINUVAuthParam == nil {
		if a.state.pin.set() {
			return nil, ctap2.ErrPUATRequired
		}
		return nil, ctap2.ErrOperationDenied
	}
	// Step 9: there is no enterprise attestation.
	if r.EnterpriseAttestation != 0 {
		return nil, ctap2.ErrInvalidParameter
	}
	// Step 11: on a key that is not protected, pinUvAuthParam says nothing.
	var t *token
	var err error
	switch {
	case !a.protected():
	case r.PINUVAuthParam != nil:
		t, err = a.authorize(r.PINUVAuthProtocol, r.ClientDataHash, *r.PINUVAuthParam, ctap2.PermissionMakeCredential, r.RP.ID)
		if err != nil {
			return nil, err
		}
		uv = true
		up = t.present
	case wantUV:
		if err := a.verifyFor(c, prompt); err != nil {
			return nil, err
		}
		uv, up = true, true
	}
	rpIDHash := sha256.Sum256([]byte(r.RP.ID))
	// Step 12: the exclude list.
	for _, d := range r.ExcludeList {
		known := a.find(d, rpIDHash)
		if known == nil || known.CredProtect == ctap2.CredProtectUVRequired && !uv {
			continue
		}
		if !up {
			// Whatever the person does, and if it is nothing; but a cancelled request ends
			// as such.
			if err := a.touch(c, prompt); errors.Is(err, ctap2.ErrKeepaliveCancel) {
				return nil, err
			}
		}
		return nil, ctap2.ErrCredentialExcluded
	}
	// Step 14: user presence.
	if !up {
		if err := a.touch(c, prompt); err != nil {
			return nil, err
		}
	}
	if t != nil {
		t.spend()
	}
	// Step 15: extensions.
	made := &credential{Alg: alg, RPID: r.RP.ID, rpIDHash: rpIDHash}
	var outputs ctap2.MakeCredentialOutputs
	if x := r.Extensions; x != nil {
		switch x.CredProtect {
		case 0:
		case ctap2.CredProtectUVOptional, ctap2.CredProtectUVOptionalWithCredentialIDList, ctap2.CredProtectUVRequired:
			made.CredProtect, outputs.CredProtect = x.CredProtect, x.CredProtect
		default:
			return nil, ctap2.ErrInvalidOption // section 12.1: not a level
		}
		if set(x.HMACSecret) {
			made.HMACSecret, outputs.HMACSecret = true, yes(true)
		}
	}
	// Steps 16 and 17: the key pair, stored if it is discoverable.
	if made.Private, made.signer, err = generate(alg, a.rand); err != nil {
		return nil, err
	}
	if rk {
		err = a.keep(made, r.User)
	} else {
		if made.ID, err = a.sealID(made); err == nil {
			a.keys.put(made)
		}
	}
	if err != nil {
		return nil, err
	}
	return a.created(made, r, outputs, uv)
}

// keep stores a discoverable credential (section 6.1.2, step 17).
func (a *Authenticator) keep(made *credential, user ctap2.User) error {
	replaces := slices.ContainsFunc(a.state.discoverable, func(old *credential) bool {
		return old.RPID == made.RPID && bytes.Equal(old.User.ID, user.ID)
	})
	if !replaces && len(a.state.discoverable) >= a.cfg.MaxCredentials {
		return ctap2.ErrKeyStoreFull
	}
	made.ID = make([]byte, 32)
	if _, err := io.ReadFull(a.rand, made.ID); err != nil {
		return err
	}
	// WebAuthn Level 3, section 5.4.3: names may be cut, at a character's boundary.
	made.User = ctap2.User{ID: user.ID, Name: cut(user.Name), DisplayName: cut(user.DisplayName)}
	made.Created = a.state.created + 1
	return a.save(&record{Credential: made})
}

// cut keeps at most 64 bytes.
func cut(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// created builds the response (section 6.1.2, steps 18 and 19).
func (a *Authenticator) created(made *credential, r *ctap2.MakeCredentialRequest, outputs ctap2.MakeCredentialOutputs, uv bool) ([]byte, error) {
	public, err := cose.FromPublic(made.signer.Public(), made.Alg)
	if err != nil {
		return nil, err
	}
	data := ctap2.AuthData{
		RPIDHash:     made.rpIDHash,
		Flags:        ctap2.FlagUP | ctap2.FlagAT,
		SignCount:    a.state.Counter,
		AAGUID:       a.cfg.AAGUID,
		CredentialID: made.ID,
		PublicKey:    public,
	}
	if uv {
		data.Flags |= ctap2.FlagUV
	}
	if outputs.CredProtect != 0 || outputs.HMACSecret != nil {
		data.Flags |= ctap2.FlagED
		if data.Extensions, err = ctap2.Marshal(&outputs); err != nil {
			return nil, err
		}
	}
	authData, err := data.Marshal()
	if err != nil {
		return nil, err
	}
	kind := a.cfg.Attestation
	if wanted := r.AttestationFormatsPref; len(wanted) == 1 && wanted[0] == ctap2.FormatNone {
		kind = AttestationNone // section 6.1.2, step 18: the platform wants none
	}
	format, statement, err := a.attest(kind, made, authData, r.ClientDataHash)
	if err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(&ctap2.MakeCredentialResponse{Fmt: format, AuthData: authData, AttStmt: statement})
}

// find returns the credential that a descriptor names, if it is this key's and the RP's.
func (a *Authenticator) find(d ctap2.CredentialDescriptor, rpIDHash [32]byte) *credential {
	if d.Type != ctap2.TypePublicKey {
		return nil
	}
	for _, c := range a.state.discoverable {
		if c.rpIDHash == rpIDHash && bytes.Equal(c.ID, d.ID) {
			return c
		}
	}
	return a.openID(d.ID, rpIDHash)
}
