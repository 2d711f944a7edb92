package softkey

import (
	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// tokenPermissions are those of getPinToken, and those that belong to one RP.
const tokenPermissions = ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion

// knownPermissions are those of the specification, whether this key has them or not.
const knownPermissions = tokenPermissions | ctap2.PermissionCredentialManagement | ctap2.PermissionBioEnrollment |
	ctap2.PermissionLargeBlobWrite | ctap2.PermissionConfig | ctap2.PermissionCredentialRead

// clientPIN answers authenticatorClientPIN (CTAP 2.3, section 6.5.5).
func (a *Authenticator) clientPIN(c *command, r *ctap2.ClientPINRequest) ([]byte, error) {
	if !a.traits.has(ctap2.OptionClientPIN) {
		return nil, ctap2.ErrInvalidCommand
	}
	if a.traits.ctap20() && r.Subcommand > ctap2.SubGetPINToken {
		return nil, ctap2.ErrInvalidParameter // CTAP 2.0, section 5.5: there are five, and no better status
	}
	switch r.Subcommand {
	case ctap2.SubGetPINRetries:
		return a.getPINRetries()
	case ctap2.SubGetKeyAgreement:
		return a.getKeyAgreement(r)
	case ctap2.SubSetPIN:
		return a.setPIN(r)
	case ctap2.SubChangePIN:
		return a.changePIN(r)
	case ctap2.SubGetPINToken:
		return a.getPINToken(r)
	case ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions:
		return a.getUVToken(c, r)
	case ctap2.SubGetUVRetries:
		return a.getUVRetries()
	case ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions:
		return a.getPINTokenWithPermissions(r)
	}
	return nil, ctap2.ErrInvalidSubcommand
}

// getPINRetries: CTAP 2.2, section 6.5.5.2.
func (a *Authenticator) getPINRetries() ([]byte, error) {
	response := &ctap2.ClientPINResponse{PINRetries: &a.state.pin.Retries}
	if !a.traits.ctap20() {
		response.PowerCycleState = yes(a.softLocked())
	}
	return ctap2.MarshalResponse(response)
}

// getUVRetries: CTAP 2.2, section 6.5.5.3.
func (a *Authenticator) getUVRetries() ([]byte, error) {
	if there, _, _ := a.builtInUV(); !there {
		return nil, ctap2.ErrInvalidSubcommand
	}
	return ctap2.MarshalResponse(&ctap2.ClientPINResponse{UVRetries: &a.state.pin.UVRetries})
}

// getKeyAgreement: CTAP 2.2, section 6.5.5.4.
func (a *Authenticator) getKeyAgreement(r *ctap2.ClientPINRequest) ([]byte, error) {
	if err := a.checkProtocol(r); err != nil {
		return nil, err
	}
	key, err := a.agreement(r.PINUVAuthProtocol)
	if err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(&ctap2.ClientPINResponse{KeyAgreement: pinuv.PublicKey(key)})
}

func (a *Authenticator) checkProtocol(r *ctap2.ClientPINRequest) error {
	switch {
	case r.PINUVAuthProtocol == 0:
		return ctap2.ErrMissingParameter
	case !a.traits.protocol(r.PINUVAuthProtocol):
		return ctap2.ErrInvalidParameter
	}
	return nil
}

// secret is the shared secret with the platform's key.
func (a *Authenticator) secret(p ctap2.PINUVProtocol, peer *cose.Key) ([]byte, error) {
	key, err := a.agreement(p)
	if err != nil {
		return nil, err
	}
	secret, err := p.Decapsulate(key, peer)
	if err != nil {
		return nil, ctap2.ErrInvalidParameter
	}
	return secret, nil
}

// getPINToken: CTAP 2.2, section 6.5.5.7.1.
func (a *Authenticator) getPINToken(r *ctap2.ClientPINRequest) ([]byte, error) {
	if r.PINUVAuthProtocol == 0 || r.KeyAgreement == nil || r.PINHashEnc == nil {
		return nil, ctap2.ErrMissingParameter
	}
	if r.Permissions != nil || r.RPID != "" {
		return nil, ctap2.ErrInvalidParameter
	}
	if a.cfg.NoMcGaWithPIN {
		return nil, ctap2.ErrUnauthorizedPermission
	}
	secret, err := a.tokenSecret(r)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(secret)
	// Platforms of CTAP 2.0 know no status that says more.
	if a.forcePINChange() {
		return nil, ctap2.ErrPINInvalid
	}
	return a.giveToken(r, secret, tokenPermissions, false)
}

// getPINTokenWithPermissions: CTAP 2.3, section 6.5.5.7.2.
func (a *Authenticator) getPINTokenWithPermissions(r *ctap2.ClientPINRequest) ([]byte, error) {
	if r.PINUVAuthProtocol == 0 || r.KeyAgreement == nil || r.PINHashEnc == nil {
		return nil, ctap2.ErrMissingParameter
	}
	permissions, err := a.permissions(r, false)
	if err != nil {
		return nil, err
	}
	secret, err := a.tokenSecret(r)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(secret)
	if a.forcePINChange() {
		return nil, ctap2.ErrPINPolicyViolation // step 11
	}
	return a.giveToken(r, secret, permissions, false)
}

// permissions checks what a token is asked for (CTAP 2.3, sections 6.5.5.7.2 and
// 6.5.5.7.3, steps 1 to 4); uv is whether the sensor shall give it.
func (a *Authenticator) permissions(r *ctap2.ClientPINRequest, uv bool) (ctap2.Permission, error) {
	// Step 1: mandatory parameters; the RP ID is one with mc and ga (section 6.5.5.7, table of
	// permissions).
	if r.Permissions == nil || *r.Permissions&tokenPermissions != 0 && r.RPID == "" {
		return 0, ctap2.ErrMissingParameter
	}
	// Step 2.
	if err := a.checkProtocol(r); err != nil {
		return 0, err
	}
	asked := *r.Permissions & knownPermissions // undefined ones are ignored
	switch {
	case *r.Permissions == 0: // step 3
		return 0, ctap2.ErrInvalidParameter
	case asked&^a.grantable(uv) != 0: // step 4
		return 0, ctap2.ErrUnauthorizedPermission
	case asked&ctap2.PermissionCredentialRead != 0 && asked != ctap2.PermissionCredentialRead:
		return 0, ctap2.ErrUnauthorizedPermission // the persistent token reads, and does nothing else
	}
	return asked, nil
}

// grantable are the permissions that the PIN, or the sensor, may give on this key (CTAP 2.3, sections
// 6.5.5.7.2 and 6.5.5.7.3, step 4).
func (a *Authenticator) grantable(uv bool) ctap2.Permission {
	may := tokenPermissions
	if a.cfg.NoMcGaWithPIN && !uv {
		may = 0
	}
	for option, permission := range map[string]ctap2.Permission{
		ctap2.OptionCredMgmt:         ctap2.PermissionCredentialManagement,
		ctap2.OptionCredMgmtReadOnly: ctap2.PermissionCredentialRead,
		ctap2.OptionLargeBlobs:       ctap2.PermissionLargeBlobWrite,
	} {
		if a.traits.has(option) {
			may |= permission
		}
	}
	if a.traits.has(ctap2.OptionBioEnroll) && (!uv || a.traits.has(ctap2.OptionUVBioEnroll)) {
		may |= ctap2.PermissionBioEnrollment
	}
	if a.traits.has(ctap2.OptionConfig) && (!uv || a.traits.has(ctap2.OptionUVConfig)) {
		may |= ctap2.PermissionConfig
	}
	return may
}

// tokenSecret checks the PIN of a request for a token, and gives the shared secret to encrypt it with.
func (a *Authenticator) tokenSecret(r *ctap2.ClientPINRequest) ([]byte, error) {
	if err := a.mayTryPIN(r); err != nil {
		return nil, err
	}
	secret, err := a.secret(r.PINUVAuthProtocol, r.KeyAgreement)
	if err != nil {
		return nil, err
	}
	if err := a.tryPIN(r.PINUVAuthProtocol, secret, r.PINHashEnc); err != nil {
		pinuv.Wipe(secret)
		return nil, err
	}
	return secret, nil
}

func (a *Authenticator) giveToken(r *ctap2.ClientPINRequest, secret []byte, permissions ctap2.Permission, present bool) ([]byte, error) {
	var value []byte
	if permissions == ctap2.PermissionCredentialRead {
		persistent, err := a.persistentToken()
		if err != nil {
			return nil, err
		}
		value = persistent
	} else {
		t, err := a.issue(r.PINUVAuthProtocol, permissions, r.RPID, present)
		if err != nil {
			return nil, err
		}
		value = t.value
	}
	enc, err := r.PINUVAuthProtocol.Encrypt(secret, value)
	if err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(&ctap2.ClientPINResponse{PINUVAuthToken: enc})
}

// getUVToken: CTAP 2.2, section 6.5.5.7.3.
func (a *Authenticator) getUVToken(c *command, r *ctap2.ClientPINRequest) ([]byte, error) {
	if r.PINUVAuthProtocol == 0 || r.KeyAgreement == nil {
		return nil, ctap2.ErrMissingParameter
	}
	permissions, err := a.permissions(r, true)
	if err != nil {
		return nil, err
	}
	if _, ready, _ := a.builtInUV(); !ready {
		return nil, ctap2.ErrNotAllowed
	}
	secret, err := a.secret(r.PINUVAuthProtocol, r.KeyAgreement)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(secret)
	if err := a.verifyUser(c, &Prompt{Command: ctap2.CmdClientPIN, RPID: r.RPID}); err != nil {
		return nil, err
	}
	return a.giveToken(r, secret, permissions, true)
}
