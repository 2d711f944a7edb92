package softkey

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// listing is what is left of an enumeration (CTAP 2.3, sections 6.8.3 and 6.8.4).
type listing struct {
	left  []*credential // of RPs: one of each
	began authorization
	since time.Time
}

// next returns the next one of a listing, or nil when there is none or it is over.
func (a *Authenticator) next(l *listing) *credential {
	// CTAP 2.3, section 6: the state may be gone after 30 seconds, and is with its token.
	if l == nil || len(l.left) == 0 || a.now().Sub(l.since) > sequenceTimeout || !a.alive(l.began) {
		return nil
	}
	c := l.left[0]
	l.left, l.since = l.left[1:], a.now()
	return c
}

// credentialManagement answers authenticatorCredentialManagement (CTAP 2.3, section 6.8), and its
// prototype of before CTAP 2.1. That had no updateUserInformation, but real keys have it in both, and
// libfido2 up to 1.14 asks for nothing but the prototype.
func (a *Authenticator) credentialManagement(c *command, r *ctap2.CredentialManagementRequest) ([]byte, error) {
	preview := c.cmd == ctap2.CmdCredentialManagementPreview
	if preview && !a.traits.has(ctap2.OptionCredMgmtPreview) || !preview && !a.traits.has(ctap2.OptionCredMgmt) {
		return nil, ctap2.ErrInvalidCommand
	}
	rps, credentials := a.volatile.sequences.rps, a.volatile.sequences.credentials
	// Section 6: what does not go on with an enumeration ends it.
	a.volatile.sequences.rps, a.volatile.sequences.credentials = nil, nil
	switch r.Subcommand {
	case ctap2.SubEnumerateRPsGetNextRP:
		a.volatile.sequences.rps = rps
		return a.nextRP(rps)
	case ctap2.SubEnumerateCredentialsGetNext:
		a.volatile.sequences.credentials = credentials
		return a.nextCredential(credentials)
	case ctap2.SubGetCredsMetadata, ctap2.SubEnumerateRPsBegin, ctap2.SubEnumerateCredentialsBegin,
		ctap2.SubDeleteCredential, ctap2.SubUpdateUserInformation:
		return a.manageCredentials(r, preview)
	}
	return nil, ctap2.ErrInvalidSubcommand
}

// manageCredentials makes the checks that all subcommands have which begin something
// (CTAP 2.3, sections 6.8.2 to 6.8.6, each from step 1), and carries out the subcommand.
func (a *Authenticator) manageCredentials(r *ctap2.CredentialManagementRequest, preview bool) ([]byte, error) {
	// Step 1.
	if r.PINUVAuthParam == nil {
		return nil, ctap2.ErrPUATRequired
	}
	// Step 2: what the subcommand needs.
	var params ctap2.CredentialManagementParams
	if r.SubcommandParams != nil {
		if err := ctap2.Unmarshal(r.SubcommandParams, &params); err != nil {
			return nil, err
		}
	}
	reads := ctap2.Permission(0)
	switch r.Subcommand {
	case ctap2.SubGetCredsMetadata, ctap2.SubEnumerateRPsBegin:
		reads = ctap2.PermissionCredentialRead
	case ctap2.SubEnumerateCredentialsBegin:
		if params.RPIDHash == nil {
			return nil, ctap2.ErrMissingParameter
		}
		reads = ctap2.PermissionCredentialRead
	case ctap2.SubDeleteCredential:
		if params.CredentialID == nil {
			return nil, ctap2.ErrMissingParameter
		}
	case ctap2.SubUpdateUserInformation:
		if params.CredentialID == nil || params.User == nil {
			return nil, ctap2.ErrMissingParameter
		}
	}
	// Steps 2 to 5: the protocol, the parameter, the permission. The persistent token, too, may read.
	message := append([]byte{byte(r.Subcommand)}, r.SubcommandParams...)
	permissions := ctap2.PermissionCredentialManagement | reads
	if preview {
		permissions |= legacyPermissions
	}
	by, err := a.authorized(r.PINUVAuthProtocol, message, r.PINUVAuthParam, permissions)
	if err != nil {
		return nil, err
	}
	if !by.may(ctap2.PermissionCredentialManagement | reads) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	switch r.Subcommand {
	case ctap2.SubGetCredsMetadata:
		return a.credsMetadata(by)
	case ctap2.SubEnumerateRPsBegin:
		return a.enumerateRPs(by)
	case ctap2.SubEnumerateCredentialsBegin:
		return a.enumerateCredentials(by, params.RPIDHash)
	case ctap2.SubDeleteCredential:
		return a.deleteCredential(by, params.CredentialID)
	}
	return a.updateUser(by, params.CredentialID, params.User)
}

// credsMetadata: CTAP 2.3, section 6.8.2.
func (a *Authenticator) credsMetadata(by authorization) ([]byte, error) {
	if by.token.rpID != "" {
		return nil, ctap2.ErrPINAuthInvalid
	}
	existing := uint(a.state.discoverable.len())
	remaining := a.remainingCredentials()
	return ctap2.MarshalResponse(&ctap2.CredentialManagementResponse{ExistingCredentials: &existing, RemainingCredentials: &remaining})
}

// remainingCredentials is the room for discoverable credentials.
func (a *Authenticator) remainingCredentials() uint {
	return uint(max(0, a.cfg.MaxCredentials-a.state.discoverable.len()))
}

// enumerateRPs: CTAP 2.3, section 6.8.3, enumerateRPsBegin.
func (a *Authenticator) enumerateRPs(by authorization) ([]byte, error) {
	if by.token.rpID != "" {
		return nil, ctap2.ErrPINAuthInvalid
	}
	list := a.state.discoverable.rps()
	if len(list) == 0 {
		return nil, ctap2.ErrNoCredentials
	}
	a.volatile.sequences.rps = &listing{left: list[1:], began: by, since: a.now()}
	response, total := a.rpResponse(list[0]), uint(len(list))
	response.TotalRPs = &total
	return ctap2.MarshalResponse(response)
}

// nextRP: CTAP 2.3, section 6.8.3, enumerateRPsGetNextRP.
func (a *Authenticator) nextRP(l *listing) ([]byte, error) {
	c := a.next(l)
	if c == nil {
		a.volatile.sequences.rps = nil
		return nil, ctap2.ErrNotAllowed
	}
	return ctap2.MarshalResponse(a.rpResponse(c))
}

func (a *Authenticator) rpResponse(c *credential) *ctap2.CredentialManagementResponse {
	id := c.RPID
	if a.cfg.ShortRPIDs {
		id = shortRPID(id)
	}
	return &ctap2.CredentialManagementResponse{RP: &ctap2.RP{ID: id}, RPIDHash: c.rpIDHash[:]}
}

// shortRPID is an RP ID as keys keep it that have little room: the scheme, if there is one, an ellipsis
// and the end, in 32 bytes (CTAP 2.3, section 6.8.7).
func shortRPID(id string) string {
	const room, ellipsis = 32, "\u2026"
	if len(id) <= room {
		return id
	}
	scheme := min(strings.IndexByte(id, ':')+1, room)
	if room-scheme < len(ellipsis) {
		return id[:scheme]
	}
	end := id[len(id)-(room-scheme-len(ellipsis)):]
	for len(end) > 0 && !utf8.RuneStart(end[0]) {
		end = end[1:]
	}
	return id[:scheme] + ellipsis + end
}

// enumerateCredentials: CTAP 2.3, section 6.8.4, enumerateCredentialsBegin.
func (a *Authenticator) enumerateCredentials(by authorization, rpIDHash []byte) ([]byte, error) {
	if len(rpIDHash) != 32 {
		return nil, ctap2.ErrInvalidLength
	}
	if !by.allows([32]byte(rpIDHash)) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	list := a.state.discoverable.of([32]byte(rpIDHash))
	if len(list) == 0 {
		return nil, ctap2.ErrNoCredentials
	}
	a.volatile.sequences.credentials = &listing{left: append([]*credential(nil), list[1:]...), began: by, since: a.now()}
	response, err := a.credentialResponse(list[0])
	if err != nil {
		return nil, err
	}
	total := uint(len(list))
	response.TotalCredentials = &total
	return ctap2.MarshalResponse(response)
}

// nextCredential: CTAP 2.3, section 6.8.4, enumerateCredentialsGetNextCredential.
func (a *Authenticator) nextCredential(l *listing) ([]byte, error) {
	c := a.next(l)
	if c == nil {
		a.volatile.sequences.credentials = nil
		return nil, ctap2.ErrNotAllowed
	}
	response, err := a.credentialResponse(c)
	if err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(response)
}

// credentialResponse tells a credential (CTAP 2.3, section 6.8.4).
func (a *Authenticator) credentialResponse(c *credential) (*ctap2.CredentialManagementResponse, error) {
	signer, err := c.key()
	if err != nil {
		return nil, err
	}
	public, err := cose.FromPublic(signer.Public(), c.Alg)
	if err != nil {
		return nil, err
	}
	response := &ctap2.CredentialManagementResponse{
		User:         &c.User,
		CredentialID: &ctap2.CredentialDescriptor{ID: c.ID, Type: ctap2.TypePublicKey},
		PublicKey:    &public,
	}
	if a.traits.extension(ctap2.ExtensionCredProtect) {
		// Section 12.1: a credential that was made without the extension has the first level.
		response.CredProtect = max(c.CredProtect, ctap2.CredProtectUVOptional)
	}
	if a.traits.extension(ctap2.ExtensionLargeBlobKey) && len(c.LargeBlobKey) > 0 {
		response.LargeBlobKey = c.LargeBlobKey
	}
	if a.traits.extension(ctap2.ExtensionThirdPartyPayment) {
		response.ThirdPartyPayment = &c.ThirdPartyPayment
	}
	return response, nil
}

// addressed returns the credential that a descriptor names. A token that is limited to an RP is told
// the same of what there is not and of what is another RP's (CTAP 2.3, sections 6.8.5 and 6.8.6, step 6).
func (a *Authenticator) addressed(by authorization, d *ctap2.CredentialDescriptor) (*credential, error) {
	var c *credential
	if d.Type == ctap2.TypePublicKey {
		c = a.state.discoverable.get(d.ID)
	}
	switch {
	case by.token.rpID != "" && (c == nil || c.RPID != by.token.rpID):
		return nil, ctap2.ErrPINAuthInvalid
	case c == nil:
		return nil, ctap2.ErrNoCredentials
	}
	return c, nil
}

// deleteCredential: CTAP 2.3, section 6.8.5.
func (a *Authenticator) deleteCredential(by authorization, d *ctap2.CredentialDescriptor) ([]byte, error) {
	c, err := a.addressed(by, d)
	if err != nil {
		return nil, err
	}
	if err := a.removeCredential(c); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}

// updateUser: CTAP 2.3, section 6.8.6, updateUserInformation.
func (a *Authenticator) updateUser(by authorization, d *ctap2.CredentialDescriptor, user *ctap2.User) ([]byte, error) {
	c, err := a.addressed(by, d)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(c.User.ID, user.ID) {
		return nil, ctap2.ErrInvalidParameter
	}
	changed := *c
	// What is absent or empty is taken away.
	changed.User = ctap2.User{ID: c.User.ID, Name: cut(user.Name), DisplayName: cut(user.DisplayName)}
	if err := a.updateCredential(&changed); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}
