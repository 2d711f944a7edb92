package ctap2

import (
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
)

// CredentialManagementSubcommand is a subcommand of authenticatorCredentialManagement
// (CTAP 2.3, section 6.8).
type CredentialManagementSubcommand uint

// Subcommands of authenticatorCredentialManagement (CTAP 2.3, section 6.8).
const (
	SubGetCredsMetadata            CredentialManagementSubcommand = 0x01
	SubEnumerateRPsBegin           CredentialManagementSubcommand = 0x02
	SubEnumerateRPsGetNextRP       CredentialManagementSubcommand = 0x03
	SubEnumerateCredentialsBegin   CredentialManagementSubcommand = 0x04
	SubEnumerateCredentialsGetNext CredentialManagementSubcommand = 0x05
	SubDeleteCredential            CredentialManagementSubcommand = 0x06
	SubUpdateUserInformation       CredentialManagementSubcommand = 0x07
)

// CredentialManagementRequest holds the parameters of authenticatorCredentialManagement
// (CTAP 2.3, section 6.8). SubcommandParams is the canonical CBOR of
// [CredentialManagementParams], since the pinUvAuthParam is made of its very bytes.
type CredentialManagementRequest struct {
	Subcommand        CredentialManagementSubcommand `cbor:"1,keyasint"`
	SubcommandParams  RawMessage                     `cbor:"2,keyasint,omitempty"`
	PINUVAuthProtocol PINUVProtocol                  `cbor:"3,keyasint,omitempty"`
	PINUVAuthParam    []byte                         `cbor:"4,keyasint,omitempty"`
}

func (r *CredentialManagementRequest) missing() string {
	if r.Subcommand == 0 {
		return "subCommand"
	}
	return ""
}

// Authenticated gives what pinUvAuthParam is made over (CTAP 2.3, section 6.8): the subcommand and
// the very bytes of its parameters.
func (r *CredentialManagementRequest) Authenticated() []byte {
	return append([]byte{byte(r.Subcommand)}, r.SubcommandParams...)
}

// Authorize sets pinUvAuthParam and its protocol; the other members must be there already.
func (r *CredentialManagementRequest) Authorize(t *Token) {
	r.PINUVAuthParam, r.PINUVAuthProtocol = t.Authenticate(r.Authenticated()), t.Protocol
}

// CredentialManagementParams are the parameters of a subcommand (CTAP 2.3, section 6.8). Nil
// members are absent.
type CredentialManagementParams struct {
	RPIDHash     []byte                `cbor:"1,keyasint,omitempty"`
	CredentialID *CredentialDescriptor `cbor:"2,keyasint,omitempty"`
	User         *User                 `cbor:"3,keyasint,omitempty"`
}

// CredentialManagementResponse is the answer of authenticatorCredentialManagement
// (CTAP 2.3, section 6.8, response structure). Nil and zero members are absent.
type CredentialManagementResponse struct {
	ExistingCredentials  *uint                 `cbor:"1,keyasint,omitempty"`
	RemainingCredentials *uint                 `cbor:"2,keyasint,omitempty"`
	RP                   *RP                   `cbor:"3,keyasint,omitempty"`
	RPIDHash             []byte                `cbor:"4,keyasint,omitempty"`
	TotalRPs             *uint                 `cbor:"5,keyasint,omitempty"`
	User                 *User                 `cbor:"6,keyasint,omitempty"`
	CredentialID         *CredentialDescriptor `cbor:"7,keyasint,omitempty"`
	PublicKey            *cose.Key             `cbor:"8,keyasint,omitempty"` // nil too when it is of a kind that cose does not know
	TotalCredentials     *uint                 `cbor:"9,keyasint,omitempty"`
	CredProtect          CredProtect           `cbor:"10,keyasint,omitempty"`
	LargeBlobKey         []byte                `cbor:"11,keyasint,omitempty"`
	ThirdPartyPayment    *bool                 `cbor:"12,keyasint,omitempty"`

	// PublicKeyRaw is the public key as it came; it is not written.
	PublicKeyRaw RawMessage `cbor:"-"`
}

// managementMembers is CredentialManagementResponse without its methods.
type managementMembers CredentialManagementResponse

// UnmarshalCBOR reads a response. A public key of a kind that nobody knows does not spoil it.
func (r *CredentialManagementResponse) UnmarshalCBOR(data []byte) error {
	// The outer member hides the one with the same number inside.
	var w struct {
		managementMembers
		PublicKey RawMessage `cbor:"8,keyasint"`
	}
	if err := lenientMode.Unmarshal(data, &w); err != nil {
		return decodeError(err)
	}
	if err := checkBytes(data, (*managementMembers)(nil)); err != nil {
		return err
	}
	got := CredentialManagementResponse(w.managementMembers)
	if !isAbsent(w.PublicKey) {
		got.PublicKeyRaw = w.PublicKey
		var key cose.Key
		switch err := key.UnmarshalCBOR(w.PublicKey); {
		case err == nil:
			got.PublicKey = &key
		case !errors.Is(err, cose.ErrUnsupported):
			return decodeError(fmt.Errorf("public key: %w", err))
		}
	}
	*r = got
	return nil
}
