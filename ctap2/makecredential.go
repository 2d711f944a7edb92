package ctap2

// MakeCredentialRequest holds the parameters of authenticatorMakeCredential
// (CTAP 2.2, section 6.1). Zero members are left out.
type MakeCredentialRequest struct {
	ClientDataHash         []byte                    `cbor:"1,keyasint"`
	RP                     RP                        `cbor:"2,keyasint"`
	User                   User                      `cbor:"3,keyasint"`
	PubKeyCredParams       []CredentialParameter     `cbor:"4,keyasint"`
	ExcludeList            []CredentialDescriptor    `cbor:"5,keyasint,omitempty"`
	Extensions             *MakeCredentialExtensions `cbor:"6,keyasint,omitempty"`
	Options                *Options                  `cbor:"7,keyasint,omitempty"`
	PINUVAuthParam         *[]byte                   `cbor:"8,keyasint,omitempty"` // a pointer: empty is not absent
	PINUVAuthProtocol      PINUVProtocol             `cbor:"9,keyasint,omitempty"`
	EnterpriseAttestation  uint                      `cbor:"10,keyasint,omitempty"`
	AttestationFormatsPref []string                  `cbor:"11,keyasint,omitempty"`
}

// Options is the options map of makeCredential and getAssertion (CTAP 2.2,
// sections 6.1 and 6.2). A nil member is absent.
type Options struct {
	RK *bool `cbor:"rk,omitempty"`
	UP *bool `cbor:"up,omitempty"`
	UV *bool `cbor:"uv,omitempty"`
}

// MakeCredentialExtensions are the extension inputs of makeCredential
// (CTAP 2.2, section 12). Nil and zero members are absent.
type MakeCredentialExtensions struct {
	CredProtect CredProtect `cbor:"credProtect,omitempty"`
	HMACSecret  *bool       `cbor:"hmac-secret,omitempty"`
}

// CredProtect is a credential protection policy (CTAP 2.2, section 12.1).
// Zero means none given.
type CredProtect uint

// Credential protection policies (CTAP 2.2, section 12.1).
const (
	CredProtectUVOptional                     CredProtect = 1
	CredProtectUVOptionalWithCredentialIDList CredProtect = 2
	CredProtectUVRequired                     CredProtect = 3
)

// MakeCredentialResponse is the answer of authenticatorMakeCredential
// (CTAP 2.2, section 6.1, response structure).
type MakeCredentialResponse struct {
	Fmt          string     `cbor:"1,keyasint"`
	AuthData     []byte     `cbor:"2,keyasint"`
	AttStmt      RawMessage `cbor:"3,keyasint,omitempty"`
	EpAtt        *bool      `cbor:"4,keyasint,omitempty"`
	LargeBlobKey []byte     `cbor:"5,keyasint,omitempty"`
}
