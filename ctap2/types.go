package ctap2

import (
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// RP is a PublicKeyCredentialRpEntity (CTAP 2.2, section 6.1).
type RP struct {
	ID   string `cbor:"id"`
	Name string `cbor:"name,omitempty"`
}

// User is a PublicKeyCredentialUserEntity (CTAP 2.2, section 6.1).
type User struct {
	ID          []byte `cbor:"id"`
	Name        string `cbor:"name,omitempty"`
	DisplayName string `cbor:"displayName,omitempty"`
	Icon        string `cbor:"icon,omitempty"`
}

// TypePublicKey is the only credential type there is.
const TypePublicKey = "public-key"

// CredentialDescriptor is a PublicKeyCredentialDescriptor (WebAuthn Level 3, section 5.8.3).
type CredentialDescriptor struct {
	ID         []byte   `cbor:"id"`
	Type       string   `cbor:"type"`
	Transports []string `cbor:"transports,omitempty"`
}

// missingInDescriptors names the first required member that one of them lacks.
func missingInDescriptors(list []CredentialDescriptor) string {
	for _, d := range list {
		switch {
		case d.ID == nil:
			return "id"
		case d.Type == "":
			return "type"
		}
	}
	return ""
}

// CredentialParameter is a PublicKeyCredentialParameters (WebAuthn Level 3, section 5.3).
type CredentialParameter struct {
	Alg  cose.Algorithm `cbor:"alg"`
	Type string         `cbor:"type"`
}

// PINUVProtocol is the number of a PIN/UV auth protocol (CTAP 2.2, section 6.5.4).
// Zero means none given.
type PINUVProtocol = pinuv.Protocol
