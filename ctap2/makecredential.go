package ctap2

import "github.com/fobd/fobd/ctap2/cose"

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

// missing names the first required member that is absent (CTAP 2.2, section 6.1, table of
// parameters; the entities are those of WebAuthn Level 3, section 5.4).
func (r *MakeCredentialRequest) missing() string {
	switch {
	case r.ClientDataHash == nil:
		return "clientDataHash"
	case r.RP.ID == "":
		return "rp.id"
	case r.User.ID == nil:
		return "user.id"
	case r.PubKeyCredParams == nil:
		return "pubKeyCredParams"
	}
	for _, p := range r.PubKeyCredParams {
		switch {
		case p.Type == "":
			return "pubKeyCredParams.type"
		case p.Alg == 0: // reserved by IANA
			return "pubKeyCredParams.alg"
		}
	}
	if name := missingInDescriptors(r.ExcludeList); name != "" {
		return "excludeList." + name
	}
	return r.Extensions.missing()
}

// Algorithm gives the first algorithm of PubKeyCredParams that is among supported
// (CTAP 2.2, section 6.1.2, step 3: the platform's order decides), ok false when there is none.
func (r *MakeCredentialRequest) Algorithm(supported ...cose.Algorithm) (alg cose.Algorithm, ok bool) {
	for _, p := range r.PubKeyCredParams {
		if p.Type != TypePublicKey {
			continue
		}
		for _, alg := range supported {
			if alg == p.Alg {
				return alg, true
			}
		}
	}
	return 0, false
}

// Options is the options map of makeCredential and getAssertion (CTAP 2.2,
// sections 6.1 and 6.2). A nil member is absent.
type Options struct {
	RK *bool `cbor:"rk,omitempty"`
	UP *bool `cbor:"up,omitempty"`
	UV *bool `cbor:"uv,omitempty"`
}

// withoutFalseUV gives the options as a platform sends them: keys of CTAP 2.0 without
// built-in user verification may answer uv with ErrUnsupportedOption even when it is false, which
// is what absent means (CTAP 2.2, sections 6.1 and 6.2).
func (o *Options) withoutFalseUV() *Options {
	if o == nil || o.UV == nil || *o.UV {
		return o
	}
	if o.RK == nil && o.UP == nil {
		return nil
	}
	return &Options{RK: o.RK, UP: o.UP}
}

// MakeCredentialResponse is the answer of authenticatorMakeCredential
// (CTAP 2.2, section 6.1, response structure).
type MakeCredentialResponse struct {
	Fmt                      string     `cbor:"1,keyasint"`
	AuthData                 []byte     `cbor:"2,keyasint"`           // [ParseAuthData]
	AttStmt                  RawMessage `cbor:"3,keyasint,omitempty"` // a map whose form depends on Fmt
	EpAtt                    *bool      `cbor:"4,keyasint,omitempty"`
	LargeBlobKey             []byte     `cbor:"5,keyasint,omitempty"`
	UnsignedExtensionOutputs RawMessage `cbor:"6,keyasint,omitempty"` // a map by extension, of CTAP 2.2
}

func (r *MakeCredentialResponse) missing() string {
	switch {
	case r.Fmt == "":
		return "fmt"
	case r.AuthData == nil:
		return "authData"
	}
	return ""
}
