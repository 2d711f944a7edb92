package softkey

import (
	"crypto/sha256"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
)

// maxUserID is the most bytes of a user id (WebAuthn Level 3, section 5.4.3).
const maxUserID = 64

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
	case a.traits.ctap20() && !a.traits.protocol(p):
		return ctap2.ErrPINAuthInvalid // CTAP 2.0, section 5.1, step 7
	case p == 0:
		return ctap2.ErrMissingParameter
	case !a.traits.protocol(p):
		return ctap2.ErrInvalidParameter
	}
	return nil
}

// makeCredential answers authenticatorMakeCredential; the steps are those of CTAP 2.3,
// section 6.1.2.
func (a *Authenticator) makeCredential(c *command, r *ctap2.MakeCredentialRequest) ([]byte, error) {
	prompt := &Prompt{Command: ctap2.CmdMakeCredential, RPID: r.RP.ID}
	if len(r.ClientDataHash) != sha256.Size || len(r.User.ID) > maxUserID {
		return nil, ctap2.ErrInvalidLength
	}
	c.rpID, c.list = r.RP.ID, r.ExcludeList
	if err := a.faults.refuses(r.ExcludeList, r.Extensions != nil, false); err != nil {
		return nil, err
	}
	if a.tooMany(r.ExcludeList) {
		return nil, ctap2.ErrLimitExceeded
	}
	x := a.creationExtensions(r)
	if err := x.check(); err != nil {
		return nil, err
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
	param := r.PINUVAuthParam != nil
	// Step 5: options.
	wantUV, err := a.wantsUV(r.Options, param)
	if err != nil {
		return nil, err
	}
	rk := false
	if o := r.Options; o != nil {
		if o.RK != nil && !a.traits.has(ctap2.OptionRK) {
			return nil, ctap2.ErrUnsupportedOption
		}
		rk = set(o.RK)
		if o.UP != nil && (!*o.UP || a.traits.ctap20()) {
			return nil, ctap2.ErrInvalidOption // CTAP 2.0, section 5.1: not valid for this command
		}
	}
	// Step 6: alwaysUv.
	if a.alwaysUV() {
		if wantUV, err = a.verifyAlways(param); err != nil {
			return nil, err
		}
	}
	// Step 7: with makeCredUvNotRqd only discoverable credentials need verification; step 8: without
	// it all do.
	if a.protected() && !wantUV && !param && (rk || !a.makeCredUVNotRequired()) {
		return nil, a.unverified(a.state.pin.set())
	}
	// Step 9: enterprise attestation.
	enterprise, err := a.wantsEnterprise(r)
	if err != nil {
		return nil, err
	}
	// Step 11: on a key that is not protected, pinUvAuthParam says nothing.
	var t *token
	switch {
	case !a.protected():
	case param:
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
	if err := a.excluded(c, r, rpIDHash, up, uv, prompt); err != nil {
		return nil, err
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
	made := &credential{Alg: alg, RPID: r.RP.ID, rpIDHash: rpIDHash, discoverable: rk}
	if err := x.apply(a, made); err != nil {
		return nil, err
	}
	// Steps 16 and 17: the key pair.
	if made.Private, made.signer, err = generate(alg, a.rand); err != nil {
		return nil, err
	}
	if err := x.secrets(a, made, uv); err != nil {
		return nil, err
	}
	// Step 18: stored if it is discoverable.
	if rk {
		err = a.keep(made, r.User)
	} else if made.ID, err = a.sealID(made); err == nil {
		a.keys.put(made)
	}
	if err != nil {
		return nil, err
	}
	a.seen.event(a, EventCreated, made)
	return a.created(made, r, x, enterprise, uv)
}

// excluded makes the check of section 6.1.2, step 12.
func (a *Authenticator) excluded(c *command, r *ctap2.MakeCredentialRequest, rpIDHash [32]byte, up, uv bool, prompt *Prompt) error {
	for _, d := range r.ExcludeList {
		known := a.find(d, rpIDHash)
		if known == nil || known.CredProtect == ctap2.CredProtectUVRequired && !uv {
			continue
		}
		if !up {
			// Whatever the person does, and if it is nothing; but a cancelled request ends
			// as such.
			if err := a.touch(c, prompt); errors.Is(err, ctap2.ErrKeepaliveCancel) {
				return err
			}
		}
		return ctap2.ErrCredentialExcluded
	}
	return nil
}

// tooMany says whether a list has more entries than the key takes. CTAP 2.3, section 6.4 has
// platforms mind maxCredentialCountInList; section 8.2 has the status.
func (a *Authenticator) tooMany(list []ctap2.CredentialDescriptor) bool {
	return a.traits.maxListCount > 0 && len(list) > a.traits.maxListCount
}

// makeCredUVNotRequired is the option makeCredUvNotRqd: alwaysUv takes it away (CTAP 2.3, section
// 7.2).
func (a *Authenticator) makeCredUVNotRequired() bool {
	return a.traits.has(ctap2.OptionMakeCredUVNotRqd) && !a.alwaysUV()
}

// keep stores a discoverable credential (section 6.1.2, step 17).
func (a *Authenticator) keep(made *credential, user ctap2.User) error {
	replaces := a.state.discoverable.ofUser(made.rpIDHash, user.ID) != nil
	if !replaces && a.state.discoverable.len() >= a.cfg.MaxCredentials {
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

// created builds the response (section 6.1.2, step 19).
func (a *Authenticator) created(made *credential, r *ctap2.MakeCredentialRequest, x *creation, enterprise, uv bool) ([]byte, error) {
	signer, err := made.key()
	if err != nil {
		return nil, err
	}
	public, err := publicKey(signer, made.Alg)
	if err != nil {
		return nil, err
	}
	format := ctap2.FormatPacked
	if !enterprise {
		format = a.format(made, r.AttestationFormatsPref)
	}
	if a.faults != nil && a.faults.SelfAttestation {
		format = ctap2.FormatPacked
	}
	if public, err = a.faults.publicKey(public, made.Alg); err != nil {
		return nil, err
	}
	data := ctap2.AuthData{
		RPIDHash:     made.rpIDHash,
		Flags:        ctap2.FlagUP | ctap2.FlagAT,
		SignCount:    a.state.Counter,
		AAGUID:       a.cfg.AAGUID,
		CredentialID: made.ID,
		PublicKeyRaw: public,
	}
	if format == ctap2.FormatFIDOU2F {
		data.AAGUID = ctap2.AAGUID{} // a U2F key has none
	}
	if uv {
		data.Flags |= ctap2.FlagUV
	}
	if x.any {
		data.Flags |= ctap2.FlagED
		if data.Extensions, err = ctap2.Marshal(&x.outputs); err != nil {
			return nil, err
		}
	}
	if err := a.faults.authData(&data); err != nil {
		return nil, err
	}
	authData, err := data.AppendTo(make([]byte, 0, 64+len(made.ID)+len(public)+len(data.Extensions)))
	if err != nil {
		return nil, err
	}
	statement, err := a.attest(format, enterprise, made, authData, a.faults.signed(r.ClientDataHash))
	if err != nil {
		return nil, err
	}
	response := &ctap2.MakeCredentialResponse{Fmt: format, AuthData: authData, AttStmt: statement, LargeBlobKey: made.LargeBlobKey}
	if enterprise {
		response.EpAtt = yes(true)
	}
	if x.unsigned.LargeBlob != nil {
		if response.UnsignedExtensionOutputs, err = ctap2.Marshal(&x.unsigned); err != nil {
			return nil, err
		}
	}
	return ctap2.MarshalResponse(response)
}

// find returns the credential that a descriptor names, if it is this key's and the RP's.
func (a *Authenticator) find(d ctap2.CredentialDescriptor, rpIDHash [32]byte) *credential {
	if d.Type != ctap2.TypePublicKey || a.traits.maxCredentialID > 0 && len(d.ID) > a.traits.maxCredentialID {
		return nil // an id that long is not of this key
	}
	if c := a.state.discoverable.get(d.ID); c != nil && c.rpIDHash == rpIDHash {
		return c
	}
	return a.openID(d.ID, rpIDHash)
}
