package webauthn

import (
	"encoding/json"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
)

// Check says why a key cannot make the assertion; it does not ask the key. The error is
// [ErrUnsupported] or [ErrPINNotSet].
func (o *RequestOptions) Check(info *ctap2.Info) error {
	if rk, _ := info.Option(ctap2.OptionRK); len(o.Allow) == 0 && !rk {
		return fmt.Errorf("%w: it has no discoverable credentials", ErrUnsupported)
	}
	if o.Salt1 != nil && !info.HasExtension(ctap2.ExtensionHMACSecret) {
		return fmt.Errorf("%w: it has no hmac-secret", ErrUnsupported)
	}
	_, err := o.Verification(info)
	return err
}

// Request builds the request for a key (WebAuthn Level 3, section 5.1.4; CTAP 2.2, section
// 6.2). allow is what of the options' list is to be asked for. The option uv is left to the
// caller; it is never false.
func (o *RequestOptions) Request(rpID string, clientDataHash []byte, allow []ctap2.CredentialDescriptor) *ctap2.GetAssertionRequest {
	return &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: clientDataHash, AllowList: allow}
}

// Asserted is the end of an assertion: what was asked, and what the key answered.
type Asserted struct {
	Options        *RequestOptions
	Request        *ctap2.GetAssertionRequest
	Response       *ctap2.GetAssertionResponse
	ClientDataJSON []byte
	// Verified is true when the person had to be verified.
	Verified bool
	// Output1 and Output2 are what hmac-secret gave, if it was asked for.
	Output1, Output2 []byte
	// Blob is the large blob that was read, nil when there is none; Written says whether the
	// one to write was.
	Blob    []byte
	Written bool
}

// assertion is an AuthenticationResponseJSON (WebAuthn Level 3, section 5.1.8).
type assertion struct {
	ID       api.Bytes `json:"id"`
	RawID    api.Bytes `json:"rawId"`
	Type     string    `json:"type"`
	Response struct {
		ClientDataJSON    api.Bytes `json:"clientDataJSON"`
		AuthenticatorData api.Bytes `json:"authenticatorData"`
		Signature         api.Bytes `json:"signature"`
		UserHandle        api.Bytes `json:"userHandle,omitempty"`
	} `json:"response"`
	AuthenticatorAttachment string `json:"authenticatorAttachment"`
	ClientExtensionResults  struct {
		HMACGetSecret *hmacOutputs  `json:"hmacGetSecret,omitempty"`
		PRF           *prfAsserted  `json:"prf,omitempty"`
		GetCredBlob   *api.Bytes    `json:"getCredBlob,omitempty"`
		LargeBlob     *blobAsserted `json:"largeBlob,omitempty"`
		AppID         *bool         `json:"appid,omitempty"`
	} `json:"clientExtensionResults"`
}

type hmacOutputs struct {
	Output1 api.Bytes `json:"output1"`
	Output2 api.Bytes `json:"output2,omitempty"`
}

// prfAsserted are AuthenticationExtensionsPRFOutputs of an assertion (WebAuthn Level 3, section
// 10.1.4).
type prfAsserted struct {
	Results *prfValues `json:"results,omitempty"`
}

// blobAsserted are AuthenticationExtensionsLargeBlobOutputs of an assertion (WebAuthn Level 3,
// section 10.1.5).
type blobAsserted struct {
	Blob    *api.Bytes `json:"blob,omitempty"`
	Written *bool      `json:"written,omitempty"`
}

// Check says why the answer is not one to the request. The error is [ErrResponse].
func (a *Asserted) Check() error {
	data, err := a.Response.ParsedAuthData()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResponse, err)
	}
	if err := checkAuthData(data, a.Request.RPID, a.Verified); err != nil {
		return err
	}
	credential := a.Response.Credential
	switch {
	case credential == nil || len(credential.ID) == 0 || len(credential.ID) > maxCredential:
		return fmt.Errorf("%w: no credential", ErrResponse)
	case len(a.Request.AllowList) > 0 && !has(a.Request.AllowList, credential.ID):
		return fmt.Errorf("%w: the credential was not asked for", ErrResponse)
	case len(a.Response.Signature) == 0:
		return fmt.Errorf("%w: no signature", ErrResponse)
	case a.Response.User != nil && len(a.Response.User.ID) > maxUserID:
		return fmt.Errorf("%w: a user handle of %d bytes", ErrResponse, len(a.Response.User.ID))
	}
	return nil
}

// JSON checks the answer as Check does, and makes the AuthenticationResponseJSON for the site
// (WebAuthn Level 3, sections 5.1.4 and 5.1.8).
func (a *Asserted) JSON() (json.RawMessage, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	var r assertion
	r.ID, r.RawID, r.Type = a.Response.Credential.ID, a.Response.Credential.ID, ctap2.TypePublicKey
	r.Response.ClientDataJSON = a.ClientDataJSON
	r.Response.AuthenticatorData = a.Response.AuthData
	r.Response.Signature = a.Response.Signature
	if a.Response.User != nil {
		r.Response.UserHandle = a.Response.User.ID
	}
	r.AuthenticatorAttachment = "cross-platform"
	results := &r.ClientExtensionResults
	switch {
	case a.Options.PRF != nil:
		results.PRF = &prfAsserted{Results: prfResults(a.Output1, a.Output2)}
	case a.Output1 != nil:
		results.HMACGetSecret = &hmacOutputs{a.Output1, a.Output2}
	}
	if a.Options.GetCredBlob {
		if out, ok := a.outputs(); ok && out.CredBlob != nil {
			blob := api.Bytes(*out.CredBlob)
			results.GetCredBlob = &blob
		}
	}
	if l := a.Options.LargeBlob; l != nil {
		results.LargeBlob = &blobAsserted{}
		switch {
		case l.Write != nil:
			results.LargeBlob.Written = &a.Written
		case a.Blob != nil:
			blob := api.Bytes(a.Blob)
			results.LargeBlob.Blob = &blob
		}
	}
	if a.Options.AppID != nil {
		used := a.Request.RPID == *a.Options.AppID
		results.AppID = &used
	}
	return json.Marshal(r)
}

// outputs are the extension outputs that the key signed.
func (a *Asserted) outputs() (out ctap2.GetAssertionOutputs, ok bool) {
	data, err := a.Response.ParsedAuthData()
	if err != nil || len(data.Extensions) == 0 {
		return out, false
	}
	return out, ctap2.UnmarshalLenient(data.Extensions, &out) == nil
}
