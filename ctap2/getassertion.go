package ctap2

import "github.com/fobd/fobd/ctap2/cose"

// GetAssertionRequest holds the parameters of authenticatorGetAssertion
// (CTAP 2.2, section 6.2). Zero members are left out.
type GetAssertionRequest struct {
	RPID              string                  `cbor:"1,keyasint"`
	ClientDataHash    []byte                  `cbor:"2,keyasint"`
	AllowList         []CredentialDescriptor  `cbor:"3,keyasint,omitempty"`
	Extensions        *GetAssertionExtensions `cbor:"4,keyasint,omitempty"`
	Options           *Options                `cbor:"5,keyasint,omitempty"`
	PINUVAuthParam    *[]byte                 `cbor:"6,keyasint,omitempty"` // a pointer: empty is not absent
	PINUVAuthProtocol PINUVProtocol           `cbor:"7,keyasint,omitempty"`
}

// missing names the first required member that is absent (CTAP 2.2, section 6.2, table of
// parameters).
func (r *GetAssertionRequest) missing() string {
	switch {
	case r.RPID == "":
		return "rpId"
	case r.ClientDataHash == nil:
		return "clientDataHash"
	}
	if name := missingInDescriptors(r.AllowList); name != "" {
		return "allowList." + name
	}
	if r.Extensions != nil && r.Extensions.HMACSecret != nil {
		// CTAP 2.2, section 12.7: all but the protocol is required.
		switch in := r.Extensions.HMACSecret; {
		case in.KeyAgreement.IsZero():
			return "hmac-secret.keyAgreement"
		case in.SaltEnc == nil:
			return "hmac-secret.saltEnc"
		case in.SaltAuth == nil:
			return "hmac-secret.saltAuth"
		}
	}
	return ""
}

// GetAssertionExtensions are the extension inputs of getAssertion (CTAP 2.2, section 12).
type GetAssertionExtensions struct {
	HMACSecret *HMACSecretInput `cbor:"hmac-secret,omitempty"`
}

// HMACSecretInput is the input of the hmac-secret extension at getAssertion
// (CTAP 2.2, section 12.7).
type HMACSecretInput struct {
	KeyAgreement      cose.Key      `cbor:"1,keyasint"`
	SaltEnc           []byte        `cbor:"2,keyasint"`
	SaltAuth          []byte        `cbor:"3,keyasint"`
	PINUVAuthProtocol PINUVProtocol `cbor:"4,keyasint,omitempty"`
}

// GetAssertionOutputs are the extension outputs in the authenticator data of getAssertion
// (CTAP 2.2, section 12). Nil members are absent.
type GetAssertionOutputs struct {
	HMACSecret []byte `cbor:"hmac-secret,omitempty"` // encrypted: see [HMACSecret]
}

// GetAssertionResponse is the answer of authenticatorGetAssertion and
// authenticatorGetNextAssertion (CTAP 2.2, section 6.2, response structure).
type GetAssertionResponse struct {
	Credential               *CredentialDescriptor `cbor:"1,keyasint,omitempty"`
	AuthData                 []byte                `cbor:"2,keyasint"` // [ParseAuthData]
	Signature                []byte                `cbor:"3,keyasint"` // over AuthData and the client data hash
	User                     *User                 `cbor:"4,keyasint,omitempty"`
	NumberOfCredentials      uint                  `cbor:"5,keyasint,omitempty"`
	UserSelected             bool                  `cbor:"6,keyasint,omitempty"`
	LargeBlobKey             []byte                `cbor:"7,keyasint,omitempty"`
	UnsignedExtensionOutputs RawMessage            `cbor:"8,keyasint,omitempty"` // a map by extension, of CTAP 2.2
}

func (r *GetAssertionResponse) missing() string {
	switch {
	case r.AuthData == nil:
		return "authData"
	case r.Signature == nil:
		return "signature"
	}
	return ""
}
