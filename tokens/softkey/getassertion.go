package softkey

import (
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// assertionTimeout is how long getNextAssertion goes on (CTAP 2.2, section 6.3).
const assertionTimeout = 30 * time.Second

// remaining is the state between getAssertion and getNextAssertion (CTAP 2.2, section 6.2.2,
// step 12).
type remaining struct {
	credentials []*credential
	request     *ctap2.GetAssertionRequest
	up, uv      bool
	salts       *salts
	since       time.Time
}

// getAssertion answers authenticatorGetAssertion; the steps are those of CTAP 2.2,
// section 6.2.2.
func (a *Authenticator) getAssertion(c *command, r *ctap2.GetAssertionRequest) ([]byte, error) {
	prompt := &Prompt{Command: ctap2.CmdGetAssertion, RPID: r.RPID}
	if len(r.ClientDataHash) != sha256.Size {
		return nil, ctap2.ErrInvalidLength
	}
	if len(r.AllowList) > maxListCount {
		return nil, ctap2.ErrLimitExceeded
	}
	// Steps 1 and 2.
	if err := a.checkAuth(c, r.PINUVAuthParam, r.PINUVAuthProtocol, prompt); err != nil {
		return nil, err
	}
	// Step 3: neither is true yet. Step 4: options.
	up, uv := false, false
	wantUP, wantUV := true, false
	if o := r.Options; o != nil {
		there, _ := a.user.sensor()
		wantUV = set(o.UV) && r.PINUVAuthParam == nil
		if wantUV && !there {
			return nil, ctap2.ErrInvalidOption
		}
		if o.RK != nil {
			return nil, ctap2.ErrUnsupportedOption
		}
		wantUP = o.UP == nil || *o.UP
	}
	// Step 5: alwaysUv, where the person is asked for anything.
	if a.cfg.AlwaysUV && wantUP {
		var err error
		if wantUV, err = a.alwaysUV(r.PINUVAuthParam != nil); err != nil {
			return nil, err
		}
	}
	// Step 6: on a key that is not protected, pinUvAuthParam says nothing.
	var t *token
	interacted := false
	switch {
	case !a.protected():
	case r.PINUVAuthParam != nil:
		var err error
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
	var s *salts
	if r.Extensions != nil && r.Extensions.HMACSecret != nil {
		var err error
		if s, err = a.decryptSalts(r.Extensions.HMACSecret, up); err != nil {
			return nil, err
		}
	}
	rest := &remaining{credentials: found[1:], request: r, up: up, uv: uv, salts: s, since: a.now()}
	response, err := a.assert(found[0], rest)
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
	for i := len(a.state.discoverable) - 1; i >= 0; i-- {
		c := a.state.discoverable[i]
		if c.rpIDHash == rpIDHash && (uv || c.CredProtect < ctap2.CredProtectUVOptionalWithCredentialIDList) {
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
	if s.salts != nil && c.HMACSecret {
		output, err := a.hmacSecret(c, s)
		if err != nil {
			return nil, err
		}
		data.Flags |= ctap2.FlagED
		if data.Extensions, err = ctap2.Marshal(&ctap2.GetAssertionOutputs{HMACSecret: output}); err != nil {
			return nil, err
		}
	}
	authData, err := data.Marshal()
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(authData, s.request.ClientDataHash)
	if err != nil {
		return nil, err
	}
	response := &ctap2.GetAssertionResponse{
		Credential: &ctap2.CredentialDescriptor{ID: c.ID, Type: ctap2.TypePublicKey},
		AuthData:   authData,
		Signature:  signature,
	}
	if c.discoverable {
		// Section 6.2.2, step 13: names only after verification, and only where the
		// platform must let the person choose.
		response.User = &ctap2.User{ID: c.User.ID}
		if s.uv && len(s.request.AllowList) == 0 {
			response.User = &c.User
		}
	}
	return response, nil
}

// salts is the decrypted input of hmac-secret.
type salts struct {
	protocol ctap2.PINUVProtocol
	secret   []byte
	salt     []byte // one or two of 32 bytes
}

// decryptSalts reads the input of hmac-secret (CTAP 2.2, section 12.7).
func (a *Authenticator) decryptSalts(in *ctap2.HMACSecretInput, up bool) (*salts, error) {
	if !up {
		return nil, ctap2.ErrUnsupportedOption
	}
	p := in.PINUVAuthProtocol
	if p == 0 {
		p = pinuv.One
	}
	if !p.Valid() {
		return nil, ctap2.ErrInvalidParameter
	}
	secret, err := a.secret(p, &in.KeyAgreement)
	if err != nil {
		return nil, err
	}
	if !p.Verify(secret, in.SaltEnc, in.SaltAuth) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	salt, err := p.Decrypt(secret, in.SaltEnc)
	if err != nil || len(salt) != 32 && len(salt) != 64 {
		return nil, ctap2.ErrInvalidParameter
	}
	return &salts{protocol: p, secret: secret, salt: salt}, nil
}

// hmacSecret is the encrypted output for one credential (CTAP 2.2, section 12.7).
func (a *Authenticator) hmacSecret(c *credential, s *remaining) ([]byte, error) {
	var out []byte
	random := a.credRandom(c, s.uv)
	for at := 0; at < len(s.salts.salt); at += 32 {
		mac := hmac.New(sha256.New, random)
		mac.Write(s.salts.salt[at : at+32])
		out = mac.Sum(out)
	}
	return s.salts.protocol.Encrypt(s.salts.secret, out)
}
