package softkey

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// assertionTimeout is how long getNextAssertion goes on (CTAP 2.2, section 6.3).
const assertionTimeout = 30 * time.Second

// remaining is the state between getAssertion and getNextAssertion (CTAP 2.2, section 6.2.2,
// step 12).
type remaining struct {
	credentials []*credential
	request     *ctap2.GetAssertionRequest
	up, uv      bool
	extensions  *ctap2.GetAssertionExtensions // those that this key has
	salts       *salts
	written     bool // the large blob was
	since       time.Time
}

// getAssertion answers authenticatorGetAssertion; the steps are those of CTAP 2.2,
// section 6.2.2.
func (a *Authenticator) getAssertion(c *command, r *ctap2.GetAssertionRequest) ([]byte, error) {
	prompt := &Prompt{Command: ctap2.CmdGetAssertion, RPID: r.RPID}
	if len(r.ClientDataHash) != sha256.Size {
		return nil, ctap2.ErrInvalidLength
	}
	c.rpID, c.list = r.RPID, r.AllowList
	if err := a.faults.refuses(r.AllowList, r.Extensions != nil, r.Options != nil && r.Options.UP != nil && !*r.Options.UP); err != nil {
		return nil, err
	}
	if a.tooMany(r.AllowList) {
		return nil, ctap2.ErrLimitExceeded
	}
	extensions, err := a.assertionExtensions(r)
	if err != nil {
		return nil, err
	}
	// Steps 1 and 2.
	if err := a.checkAuth(c, r.PINUVAuthParam, r.PINUVAuthProtocol, prompt); err != nil {
		return nil, err
	}
	// Step 3: neither is true yet. Step 4: options.
	up, uv := false, false
	param := r.PINUVAuthParam != nil
	wantUV, err := a.wantsUV(r.Options, param)
	if err != nil {
		return nil, err
	}
	wantUP := true
	if o := r.Options; o != nil {
		if o.RK != nil {
			if a.traits.ctap20() {
				return nil, ctap2.ErrInvalidOption // CTAP 2.0, section 5.2: not valid for this command
			}
			return nil, ctap2.ErrUnsupportedOption
		}
		wantUP = o.UP == nil || *o.UP
	}
	// Step 5: alwaysUv, where the person is asked for anything.
	if a.alwaysUV() && (wantUP || a.faults.silentUV()) {
		if wantUV, err = a.verifyAlways(param); err != nil {
			return nil, err
		}
	}
	// Step 6: on a key that is not protected, pinUvAuthParam says nothing.
	var t *token
	interacted := false
	switch {
	case !a.protected():
	case param:
		t, err = a.authorize(r.PINUVAuthProtocol, r.ClientDataHash, *r.PINUVAuthParam, ctap2.PermissionGetAssertion, r.RPID)
		if err != nil {
			return nil, err
		}
		uv, up = true, t.present
	case wantUV:
		if err := a.verifyFor(c, prompt); err != nil {
			return nil, err
		}
		uv, interacted = true, true
	}
	// Step 7: the applicable credentials.
	found := a.applicable(r, uv)
	if len(found) == 0 {
		return nil, ctap2.ErrNoCredentials
	}
	switch {
	case interacted: // step 8: the touch of the sensor is one, asked for or not
		up = true
	case wantUP: // step 9
		if !up {
			if err := a.touch(c, prompt); err != nil {
				return nil, err
			}
		}
		up = true
		if t != nil {
			t.spend()
		}
	default:
		up = false
	}
	// Step 10: extensions.
	rest := &remaining{credentials: found[1:], request: r, up: up, uv: uv, extensions: extensions, since: a.now()}
	first := found[0]
	if extensions != nil {
		if extensions.LargeBlobKey != nil && !*extensions.LargeBlobKey {
			return nil, ctap2.ErrInvalidOption // section 12.3
		}
		if extensions.HMACSecret != nil {
			if rest.salts, err = a.decryptSalts(extensions.HMACSecret, up); err != nil {
				return nil, err
			}
		}
		if extensions.LargeBlob != nil && extensions.LargeBlob.Write != nil {
			if first, rest.written, err = a.writeBlob(first, rest); err != nil {
				return nil, err
			}
		}
	}
	response, err := a.assert(first, rest)
	if err != nil {
		return nil, err
	}
	// Step 12: several, and no list to choose from.
	if len(found) > 1 {
		response.NumberOfCredentials = uint(len(found))
		a.volatile.assertions = rest
	}
	return ctap2.MarshalResponse(response)
}

// getNextAssertion answers authenticatorGetNextAssertion (CTAP 2.2, section 6.3).
func (a *Authenticator) getNextAssertion(*command) ([]byte, error) {
	rest := a.volatile.assertions
	if rest == nil || len(rest.credentials) == 0 || a.now().Sub(rest.since) > assertionTimeout {
		a.volatile.assertions = nil
		return nil, ctap2.ErrNotAllowed
	}
	response, err := a.assert(rest.credentials[0], rest)
	if err != nil {
		return nil, err
	}
	rest.credentials = rest.credentials[1:]
	rest.since = a.now()
	return ctap2.MarshalResponse(response)
}

// applicable lists the credentials for a request, the youngest first (section 6.2.2, step
// 7), as their protection allows (section 12.1).
func (a *Authenticator) applicable(r *ctap2.GetAssertionRequest, uv bool) []*credential {
	rpIDHash := sha256.Sum256([]byte(r.RPID))
	if len(r.AllowList) > 0 {
		for _, d := range r.AllowList {
			c := a.find(d, rpIDHash)
			if c != nil && (uv || c.CredProtect != ctap2.CredProtectUVRequired) {
				return []*credential{c} // step 11: any one of them
			}
		}
		return nil
	}
	var found []*credential
	for _, c := range slices.Backward(a.state.discoverable.of(rpIDHash)) {
		if uv || c.CredProtect < ctap2.CredProtectUVOptionalWithCredentialIDList {
			found = append(found, c)
		}
	}
	return found
}

// assert signs with one credential (section 6.2.2, step 13).
func (a *Authenticator) assert(c *credential, s *remaining) (*ctap2.GetAssertionResponse, error) {
	counter, err := a.count()
	if err != nil {
		return nil, err
	}
	data := ctap2.AuthData{RPIDHash: c.rpIDHash, SignCount: counter}
	if s.up {
		data.Flags |= ctap2.FlagUP
	}
	if s.uv {
		data.Flags |= ctap2.FlagUV
	}
	signed, unsigned, err := a.asserted(c, s)
	if err != nil {
		return nil, err
	}
	if signed != nil {
		data.Flags |= ctap2.FlagED
		data.Extensions = signed
	}
	if err := a.faults.authData(&data); err != nil {
		return nil, err
	}
	authData, err := data.Marshal()
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(authData, a.faults.signed(s.request.ClientDataHash))
	if err != nil {
		return nil, err
	}
	response := &ctap2.GetAssertionResponse{
		Credential: &ctap2.CredentialDescriptor{ID: c.ID, Type: ctap2.TypePublicKey},
		AuthData:   authData,
		Signature:  signature,

		UnsignedExtensionOutputs: unsigned,
	}
	if s.extensions != nil && set(s.extensions.LargeBlobKey) {
		response.LargeBlobKey = c.LargeBlobKey
	}
	if c.discoverable {
		// Section 6.2.2, step 13: names only after verification, and only where the
		// platform must let the person choose.
		response.User = &ctap2.User{ID: c.User.ID}
		if s.uv && len(s.request.AllowList) == 0 {
			response.User = &c.User
		}
	}
	a.faults.asserted(response, len(s.request.AllowList))
	a.seen.event(a, EventAsserted, c)
	return response, nil
}
