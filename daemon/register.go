package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/webauthn"
)

// enter checks that a request may be made for a site, and notes it for the policy and the prompts. appID, if
// not nil, is an AppID of U2F, which it completes.
func (c *call) enter(ctx context.Context, origin, rpID, purpose string, appID *string) (string, error) {
	if err := c.setPurpose(purpose); err != nil {
		return "", err
	}
	domain, err := webauthn.ParseOrigin(origin)
	if err != nil {
		return "", err
	}
	id, err := webauthn.RPID(domain, rpID)
	if err != nil {
		return "", err
	}
	if appID != nil {
		if *appID, err = webauthn.AppID(origin, domain, *appID); err != nil {
			return "", err
		}
	}
	c.rpID = id
	c.site.origin, c.site.rpID, c.site.web = origin, id, true
	return id, c.admit(ctx)
}

// enterprise says how to ask a key for enterprise attestation (CTAP 2.3, section 7.1.1: 1 is
// vendor-facilitated, 2 platform-managed); 0 is not at all.
func (c *call) enterprise(rpID, attestation string, info *ctap2.Info) uint {
	on, _ := info.Option(ctap2.OptionEnterprise)
	switch cfg := c.e.cfg.Enterprise; {
	case !on || attestation != "enterprise":
		return 0
	case slices.Contains(cfg.RPIDs, rpID):
		return 2
	case cfg.Vendor:
		return 1
	}
	return 0
}

// within bounds an operation by the time-out of the site's options, where the request
// itself says nothing (WebAuthn Level 3, section 5.1.3: a hint).
func (c *call) within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if c.explicit || timeout == 0 {
		return context.WithCancel(ctx)
	}
	// Nobody can answer in less than this.
	timeout = max(timeout, 10*time.Second)
	if deadline := c.began.Add(timeout); deadline.Before(c.deadline) {
		c.deadline = deadline
	}
	return context.WithDeadlineCause(ctx, c.deadline, errDeadline)
}

// register is the operation register (WebAuthn Level 3, section 5.1.3).
func (c *call) register(ctx context.Context, r *api.RegisterRequest) (*api.RegisterResult, error) {
	options, err := webauthn.ParseCreationOptions(r.Options)
	if err != nil {
		return nil, err
	}
	rpID, err := c.enter(ctx, r.Origin, options.RP.ID, r.Purpose, options.AppIDExclude)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.within(ctx, options.Timeout)
	defer cancel()
	result, _, err := c.make(ctx, r, options, rpID)
	return result, err
}

// make makes a credential, and says what the key says of itself.
func (c *call) make(ctx context.Context, r *api.RegisterRequest, options *webauthn.CreationOptions, rpID string) (*api.RegisterResult, *ctap2.Info, error) {
	s, err := c.choose(ctx, r.Key, wish{insert: true, serves: func(_ context.Context, s *session) (bool, error) {
		if err := options.Check(s.info); err != nil {
			return false, &keyError{s.key, err}
		}
		return true, nil
	}})
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	clientData := webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: options.Challenge, Origin: r.Origin}.JSON()
	created := &webauthn.Created{
		Options:        options,
		Request:        options.Request(rpID, webauthn.Hash(clientData), s.info),
		Info:           s.info,
		ClientDataJSON: clientData,
	}
	created.Request.EnterpriseAttestation = c.enterprise(rpID, options.Attestation, s.info)
	if err := s.create(ctx, created, r.AllowLastRetry); err != nil {
		return nil, nil, err
	}
	credential, err := created.JSON()
	if err != nil {
		return nil, nil, &keyError{s.key, err}
	}
	return &api.RegisterResult{Key: describe(s.key), Credential: credential}, s.info, nil
}

// create verifies the person where that is wanted and makes the credential.
func (s *session) create(ctx context.Context, created *webauthn.Created, allowLast bool) error {
	how, err := created.Options.Verification(s.info)
	if err != nil {
		return &keyError{s.key, err}
	}
	v := verification{
		Verification: how,
		permissions:  ctap2.PermissionMakeCredential,
		rpID:         created.Request.RP.ID,
		allowLast:    allowLast,
	}
	long := s.client != nil && !fits(created.Request.RP.ID, created.Request.ExcludeList, s.info)
	if long {
		// To look through the list in pieces.
		v.permissions |= ctap2.PermissionGetAssertion
	}
	created.Verified = v.Wanted
	if err := s.excluded(ctx, created.Options); err != nil {
		return err
	}
	return s.verified(ctx, v, func(token *ctap2.Token, uv bool) error {
		request := *created.Request
		if long {
			found, ok, err := s.preflight(ctx, request.RP.ID, request.ExcludeList, token)
			if err != nil {
				return err
			}
			request.ExcludeList = nil
			if ok {
				request.ExcludeList = []ctap2.CredentialDescriptor{found}
			}
		}
		kind := api.PromptTouch
		switch {
		case token != nil:
			request.Authorize(token)
		case uv:
			options := ctap2.Options{}
			if request.Options != nil {
				options = *request.Options
			}
			options.UV = &uv
			request.Options, kind = &options, api.PromptVerify
		}
		secret, err := s.secretOf(ctx, created)
		if err != nil {
			return err
		}
		if secret != nil {
			defer secret.Wipe()
			extensions := *request.Extensions
			extensions.HMACSecretMC = secret.Input
			request.Extensions = &extensions
		}
		created.Response, err = exchange(s, kind, func() (*ctap2.MakeCredentialResponse, error) {
			return s.auth.MakeCredential(ctx, &request)
		})
		if err == nil {
			s.c.saw(created.Response.AuthData)
		}
		if err != nil || secret == nil {
			return err
		}
		data, err := created.Response.ParsedAuthData()
		if err != nil {
			return &keyError{s.key, err}
		}
		// A key that gives none leaves the site without results.
		created.Output1, created.Output2, _ = secret.OutputsMC(data)
		return nil
	})
}

// secretOf prepares the extension hmac-secret-mc for the evaluation of prf at once (CTAP 2.3,
// section 12.8); nil where that is not wanted or the key does not have it.
func (s *session) secretOf(ctx context.Context, created *webauthn.Created) (*ctap2.HMACSecret, error) {
	extensions := created.Request.Extensions
	if created.Options.PRFEval == nil || !created.Verified || extensions == nil || extensions.HMACSecret == nil ||
		!s.info.HasExtension(ctap2.ExtensionHMACSecretMC) {
		return nil, nil
	}
	return s.hmacSecret(ctx, created.Options.PRFEval)
}

// excluded refuses when the key is registered already under an AppID of U2F (WebAuthn Level 3,
// section 10.1.2). It says so only after a touch, so that nobody learns it without the person.
func (s *session) excluded(ctx context.Context, options *webauthn.CreationOptions) error {
	// With alwaysUv a key's U2F is off (CTAP 2.3, section 7.2.4).
	off := s.client != nil && !s.info.Supports(ctap2.VersionU2F)
	if options.AppIDExclude == nil || len(options.Exclude) == 0 || off {
		return nil
	}
	found, err := s.u2fHas(ctx, *options.AppIDExclude, options.Exclude)
	if !found || err != nil {
		return err
	}
	if err := s.blink(ctx); err != nil {
		return err
	}
	return &keyError{s.key, ctap2.ErrCredentialExcluded}
}

// verified runs a request with what verifies the person. When the key's own verification
// turns out to be blocked only then, it runs once more with the PIN.
func (s *session) verified(ctx context.Context, v verification, run func(token *ctap2.Token, uv bool) error) error {
	for {
		token, uv, err := s.token(ctx, v)
		if err != nil {
			return err
		}
		err = run(token, uv)
		if token != nil {
			token.Wipe()
		}
		blocked := errors.Is(err, ctap2.ErrUVBlocked) || errors.Is(err, ctap2.ErrUVInvalid) || errors.Is(err, ctap2.ErrPUATRequired)
		if !uv || !v.PIN || !blocked || ctx.Err() != nil {
			return err
		}
		v.BuiltIn = false
	}
}

// fits says whether a key takes a list of credentials at once (CTAP 2.3, section 6.4,
// maxCredentialCountInList, maxCredentialIdLength and maxMsgSize).
func fits(rpID string, list []ctap2.CredentialDescriptor, info *ctap2.Info) bool {
	tooLong := func(d ctap2.CredentialDescriptor) bool {
		return info.MaxCredentialIDLength > 0 && uint(len(d.ID)) > info.MaxCredentialIDLength
	}
	return info.ListFits(rpID, list, webauthn.OtherMembers) && !slices.ContainsFunc(list, tooLong)
}

// preflight finds a credential of a list without a touch. A key that does not say is taken
// not to have it.
func (s *session) preflight(ctx context.Context, rpID string, list []ctap2.CredentialDescriptor, token *ctap2.Token) (found ctap2.CredentialDescriptor, ok bool, err error) {
	_, err = exchange(s, api.PromptTouch, func() (_ struct{}, err error) {
		found, ok, err = s.client.Preflight(ctx, ctap2.PreflightRequest{Info: s.info, RPID: rpID, List: list, Token: token})
		return struct{}{}, err
	})
	return found, ok, err
}
