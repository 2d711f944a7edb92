package ctap2

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
	return r.Extensions.missing()
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
