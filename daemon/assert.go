package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/webauthn"
	"github.com/fobd/fobd/u2f"
)

// maxAccounts bounds how many accounts for one site a key may offer.
const maxAccounts = 128

// assert is the operation assert (WebAuthn Level 3, section 5.1.4).
func (c *call) assert(ctx context.Context, r *api.AssertRequest) (*api.AssertResult, error) {
	options, err := webauthn.ParseRequestOptions(r.Options)
	if err != nil {
		return nil, err
	}
	rpID, err := c.enter(ctx, r.Origin, options.RPID, r.Purpose, options.AppID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.within(ctx, options.Timeout)
	defer cancel()
	result, _, err := c.get(ctx, r, options, rpID)
	return result, err
}

// get makes an assertion, and says what the key says of itself.
func (c *call) get(ctx context.Context, r *api.AssertRequest, options *webauthn.RequestOptions, rpID string) (*api.AssertResult, *ctap2.Info, error) {
	s, err := c.choose(ctx, r.Key, wish{insert: true, serves: func(ctx context.Context, s *session) (bool, error) {
		return s.canAssert(ctx, rpID, options)
	}})
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	if s.under != "" {
		rpID = s.under
	}
	clientData := webauthn.ClientData{Type: webauthn.TypeGet, Challenge: options.Challenge, Origin: r.Origin}.JSON()
	asserted := &webauthn.Asserted{
		Options:        options,
		Request:        options.Request(rpID, webauthn.Hash(clientData), options.Allow),
		ClientDataJSON: clientData,
	}
	if err := s.sign(ctx, asserted, r.AllowLastRetry); err != nil {
		return nil, nil, err
	}
	credential, err := asserted.JSON()
	if err != nil {
		return nil, nil, &keyError{s.key, err}
	}
	return &api.AssertResult{Key: describe(s.key), Credential: credential}, s.info, nil
}

// canAssert says whether the key can make the assertion, without a touch. It is not sure of
// keys that may hide a credential until the person is verified (CTAP 2.2, section 12.1,
// userVerificationRequired) or do not answer silently.
func (s *session) canAssert(ctx context.Context, rpID string, options *webauthn.RequestOptions) (sure bool, err error) {
	if err := options.Check(s.info); err != nil {
		return false, &keyError{s.key, err}
	}
	if len(options.Allow) == 0 {
		return false, nil
	}
	none := &keyError{s.key, ctap2.ErrNoCredentials}
	if s.client == nil {
		found, err := s.u2fHas(ctx, rpID, options.Allow)
		if err == nil && !found && options.AppID != nil {
			if found, err = s.u2fHas(ctx, *options.AppID, options.Allow); found {
				s.under = *options.AppID
			}
		}
		if err == nil && !found {
			err = none
		}
		return found, err
	}
	_, found, err := s.preflight(ctx, rpID, options.Allow, nil)
	if err == nil && !found && options.AppID != nil {
		// WebAuthn Level 3, section 10.1.1: the AppID comes where the RP ID has nothing.
		if _, found, err = s.preflight(ctx, *options.AppID, options.Allow, nil); found {
			s.under = *options.AppID
		}
	}
	how, _ := options.Verification(s.info)
	switch status := (*ctap2.Error)(nil); {
	case found:
		return true, nil
	case err == nil && how.Wanted && s.info.HasExtension(ctap2.ExtensionCredProtect):
		return false, nil
	case err == nil:
		return false, none
	case errors.As(err, &status):
		return false, nil
	}
	return false, err
}

// u2fHas asks a key that speaks U2F for the credentials of a list; one that does not has none.
func (s *session) u2fHas(ctx context.Context, rpID string, list []ctap2.CredentialDescriptor) (bool, error) {
	if !s.conn.U2F() {
		return false, nil
	}
	client := &u2f.Client{Transport: s.conn}
	application := sha256.Sum256([]byte(rpID))
	for _, d := range list {
		if len(d.ID) > u2f.MaxKeyHandle {
			continue
		}
		found, err := exchange(s, api.PromptTouch, func() (bool, error) { return client.CheckOnly(ctx, application, d.ID) })
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// sign verifies the person where that is wanted and makes the assertion.
func (s *session) sign(ctx context.Context, asserted *webauthn.Asserted, allowLast bool) error {
	how, err := asserted.Options.Verification(s.info)
	if err != nil {
		return &keyError{s.key, err}
	}
	v := verification{
		Verification: how,
		permissions:  ctap2.PermissionGetAssertion,
		rpID:         asserted.Request.RPID,
		allowLast:    allowLast,
	}
	asserted.Verified = v.Wanted
	if _, array := webauthn.LargeBlobs(s.info); array && asserted.Options.LargeBlob.Writes() {
		v.permissions |= ctap2.PermissionLargeBlobWrite
	}
	return s.verified(ctx, v, func(token *ctap2.Token, uv bool) error {
		request := *asserted.Request
		perCredential := asserted.Options.PRF != nil && len(asserted.Options.PRF.ByCredential) > 0
		if err := s.narrow(ctx, &request, token, perCredential); err != nil {
			return err
		}
		kind := api.PromptTouch
		switch {
		case token != nil:
			request.Authorize(token)
		case uv:
			request.Options, kind = &ctap2.Options{UV: &uv}, api.PromptVerify
		}
		salts, err := s.salts(asserted, &request)
		if err != nil {
			return err
		}
		secret, err := s.hmacSecret(ctx, salts)
		if err != nil {
			return err
		}
		if request.Extensions, err = asserted.Options.Extensions(s.info); err != nil {
			return err
		}
		if secret != nil {
			defer secret.Wipe()
			if request.Extensions == nil {
				request.Extensions = new(ctap2.GetAssertionExtensions)
			}
			request.Extensions.HMACSecret = secret.Input
		}
		first, err := exchange(s, kind, func() (*ctap2.GetAssertionResponse, error) {
			return s.auth.GetAssertion(ctx, &request)
		})
		if err != nil {
			return err
		}
		if asserted.Response, err = s.account(ctx, first); err != nil {
			return err
		}
		s.c.saw(asserted.Response.AuthData)
		if err := s.outputs(asserted, secret); err != nil {
			return err
		}
		return s.largeBlob(ctx, asserted, token)
	})
}

// largeBlob reads or writes the large blob of the credential that signed (WebAuthn Level 3,
// section 10.1.5). What does not work is told to the site as no blob, or as not written.
func (s *session) largeBlob(ctx context.Context, asserted *webauthn.Asserted, token *ctap2.Token) error {
	wanted := asserted.Options.LargeBlob
	key := asserted.Response.LargeBlobKey
	_, array := webauthn.LargeBlobs(s.info)
	if wanted == nil || !array || len(key) != ctap2.LargeBlobKeySize {
		return asserted.ReadLargeBlob()
	}
	_, err := exchange(s, api.PromptTouch, func() (struct{}, error) {
		entries, err := s.client.LargeBlobArrayOrEmpty(ctx, s.info)
		if err != nil {
			return struct{}{}, err
		}
		if wanted.Writes() {
			if entries, err = ctap2.PutLargeBlob(entries, key, wanted.Write); err == nil {
				err = s.client.SetLargeBlobArray(ctx, s.info, token, entries)
			}
			asserted.Written = err == nil
			return struct{}{}, err
		}
		asserted.Blob, _, err = ctap2.GetLargeBlob(entries, key)
		return struct{}{}, err
	})
	var says *ctap2.Error
	if errors.As(err, &says) || errors.Is(err, ctap2.ErrTooLarge) || errors.Is(err, ctap2.ErrBlob) {
		return nil
	}
	return err
}

// narrow leaves of the allow list what the key has: if the key would not take all of it, if
// only the token shows that there is nothing to blink for, or if it must be one.
func (s *session) narrow(ctx context.Context, request *ctap2.GetAssertionRequest, token *ctap2.Token, one bool) error {
	short := fits(request.RPID, request.AllowList, s.info)
	if s.client == nil || len(request.AllowList) == 0 || short && token == nil && !one {
		return nil
	}
	found, ok, err := s.preflight(ctx, request.RPID, request.AllowList, token)
	var status *ctap2.Error
	switch {
	case ok:
		request.AllowList = []ctap2.CredentialDescriptor{found}
		return nil
	case short && errors.As(err, &status):
		// It does not answer silently.
		return nil
	case err != nil:
		return err
	}
	return &keyError{s.key, ctap2.ErrNoCredentials}
}

// account lets the person choose when the key has several accounts for the site (WebAuthn
// Level 3, section 5.1.4; CTAP 2.2, section 6.3).
func (s *session) account(ctx context.Context, first *ctap2.GetAssertionResponse) (*ctap2.GetAssertionResponse, error) {
	n := first.NumberOfCredentials
	if n <= 1 || first.UserSelected {
		return first, nil
	}
	if n > maxAccounts {
		return nil, &keyError{s.key, fmt.Errorf("%w: %d accounts", webauthn.ErrResponse, n)}
	}
	accounts := []*ctap2.GetAssertionResponse{first}
	for uint(len(accounts)) < n {
		next, err := exchange(s, api.PromptTouch, func() (*ctap2.GetAssertionResponse, error) {
			return s.auth.GetNextAssertion(ctx)
		})
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, next)
	}
	p := s.c.prompt(api.PromptChoose, s.key)
	for i, a := range accounts {
		p.Choices = append(p.Choices, choice(i, a))
	}
	i, err := ask(ctx, s, p, s.c.ui.Choose)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(accounts) {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "there is no such choice", Key: s.key.ID()}
	}
	return accounts[i], nil
}

// choice describes an account; what a key knows of it depends on whether the person was
// verified.
func choice(i int, a *ctap2.GetAssertionResponse) api.Choice {
	c := api.Choice{Name: fmt.Sprintf("account %d", i+1)}
	if a.User == nil {
		return c
	}
	name, display := printable(a.User.Name), printable(a.User.DisplayName)
	switch {
	case name != "":
		c.Name, c.Detail = name, display
	case display != "":
		c.Name = display
	case len(a.User.ID) > 0:
		c.Detail = "user " + api.Bytes(a.User.ID).String()
	}
	return c
}

// hmacSecret prepares the extension hmac-secret for salts, or hmac-secret-mc. It is nil without
// salts.
func (s *session) hmacSecret(ctx context.Context, salts *webauthn.Salts) (*ctap2.HMACSecret, error) {
	if salts == nil || s.client == nil {
		return nil, nil
	}
	return exchange(s, api.PromptTouch, func() (*ctap2.HMACSecret, error) {
		return s.client.HMACSecret(ctx, s.info.Protocol(), salts.One, salts.Two)
	})
}

// salts are those for an assertion, nil for none.
func (s *session) salts(asserted *webauthn.Asserted, request *ctap2.GetAssertionRequest) (*webauthn.Salts, error) {
	options := asserted.Options
	switch {
	case options.Salt1 != nil:
		return &webauthn.Salts{One: options.Salt1, Two: options.Salt2}, nil
	case options.PRF == nil || !asserted.Verified || !s.info.HasExtension(ctap2.ExtensionHMACSecret) || !s.info.Protocol().Valid():
		// WebAuthn Level 3, section 10.1.4: only with the secret of a verified person.
		return nil, nil
	case len(options.PRF.ByCredential) == 0:
		return options.PRF.Eval, nil
	case len(request.AllowList) == 1:
		return options.PRF.For(request.AllowList[0].ID), nil
	}
	return nil, s.lacks("does not tell which credential will sign, and each has its own input of prf", "allow one credential only")
}

// outputs reads what hmac-secret gave.
func (s *session) outputs(asserted *webauthn.Asserted, secret *ctap2.HMACSecret) error {
	if secret == nil {
		return nil
	}
	data, err := asserted.Response.ParsedAuthData()
	if err == nil {
		asserted.Output1, asserted.Output2, err = secret.Outputs(data)
	}
	if err != nil && asserted.Options.PRF != nil {
		// The credential was made without; the site gets no results.
		err = nil
	}
	if err != nil {
		return &keyError{s.key, err}
	}
	return nil
}
