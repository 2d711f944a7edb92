package ctap2

import "github.com/fobd/fobd/ctap2/cose"

// ClientPINSubcommand is a subcommand of authenticatorClientPIN (CTAP 2.2, section 6.5.5).
type ClientPINSubcommand uint

// Subcommands of authenticatorClientPIN (CTAP 2.2, section 6.5.5).
const (
	SubGetPINRetries                            ClientPINSubcommand = 0x01
	SubGetKeyAgreement                          ClientPINSubcommand = 0x02
	SubSetPIN                                   ClientPINSubcommand = 0x03
	SubChangePIN                                ClientPINSubcommand = 0x04
	SubGetPINToken                              ClientPINSubcommand = 0x05
	SubGetPINUVAuthTokenUsingUVWithPermissions  ClientPINSubcommand = 0x06
	SubGetUVRetries                             ClientPINSubcommand = 0x07
	SubGetPINUVAuthTokenUsingPINWithPermissions ClientPINSubcommand = 0x09
)

// Permission is a set of permissions of a pinUvAuthToken (CTAP 2.2, section 6.5.5.7).
type Permission uint

// Permissions (CTAP 2.2, section 6.5.5.7; pcmr is CTAP 2.2's persistent one).
const (
	PermissionMakeCredential       Permission = 0x01 // mc
	PermissionGetAssertion         Permission = 0x02 // ga
	PermissionCredentialManagement Permission = 0x04 // cm
	PermissionBioEnrollment        Permission = 0x08 // be
	PermissionLargeBlobWrite       Permission = 0x10 // lbw
	PermissionConfig               Permission = 0x20 // acfg
	PermissionCredentialRead       Permission = 0x40 // pcmr
)

// ClientPINRequest holds the parameters of authenticatorClientPIN
// (CTAP 2.2, section 6.5.5). Zero members are left out.
type ClientPINRequest struct {
	PINUVAuthProtocol PINUVProtocol       `cbor:"1,keyasint,omitempty"`
	Subcommand        ClientPINSubcommand `cbor:"2,keyasint"`
	KeyAgreement      *cose.Key           `cbor:"3,keyasint,omitempty"`
	PINUVAuthParam    []byte              `cbor:"4,keyasint,omitempty"`
	NewPINEnc         []byte              `cbor:"5,keyasint,omitempty"`
	PINHashEnc        []byte              `cbor:"6,keyasint,omitempty"`
	Permissions       *Permission         `cbor:"9,keyasint,omitempty"`
	RPID              string              `cbor:"10,keyasint,omitempty"`
}

// missing names the first member that is absent and always required; what each subcommand
// requires beyond that is the authenticator's business (CTAP 2.2, section 6.5.5).
func (r *ClientPINRequest) missing() string {
	if r.Subcommand == 0 {
		return "subCommand"
	}
	return ""
}

// ClientPINResponse is the answer of authenticatorClientPIN (CTAP 2.2, section 6.5.5).
// Nil members are absent.
type ClientPINResponse struct {
	KeyAgreement    *cose.Key `cbor:"1,keyasint,omitempty"`
	PINUVAuthToken  []byte    `cbor:"2,keyasint,omitempty"`
	PINRetries      *uint     `cbor:"3,keyasint,omitempty"`
	PowerCycleState *bool     `cbor:"4,keyasint,omitempty"`
	UVRetries       *uint     `cbor:"5,keyasint,omitempty"`
}
