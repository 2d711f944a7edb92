package ctap2

import "bytes"

// ConfigSubcommand is a subcommand of authenticatorConfig (CTAP 2.3, section 6.11).
type ConfigSubcommand uint

// Subcommands of authenticatorConfig (CTAP 2.3, section 6.11).
const (
	SubEnableEnterpriseAttestation ConfigSubcommand = 0x01
	SubToggleAlwaysUV              ConfigSubcommand = 0x02
	SubSetMinPINLength             ConfigSubcommand = 0x03
	SubEnableLongTouchForReset     ConfigSubcommand = 0x04
	SubVendorPrototype             ConfigSubcommand = 0xFF
)

// ConfigRequest holds the parameters of authenticatorConfig (CTAP 2.3, section 6.11).
// SubcommandParams is the canonical CBOR of [SetMinPINLengthParams] or [VendorPrototypeParams].
type ConfigRequest struct {
	Subcommand        ConfigSubcommand `cbor:"1,keyasint"`
	SubcommandParams  RawMessage       `cbor:"2,keyasint,omitempty"`
	PINUVAuthProtocol PINUVProtocol    `cbor:"3,keyasint,omitempty"`
	PINUVAuthParam    []byte           `cbor:"4,keyasint,omitempty"`
}

func (r *ConfigRequest) missing() string {
	if r.Subcommand == 0 {
		return "subCommand"
	}
	return ""
}

// Authenticated gives what pinUvAuthParam is made over (CTAP 2.3, section 6.11): 32 bytes 0xFF, the
// command, the subcommand and the very bytes of its parameters.
func (r *ConfigRequest) Authenticated() []byte {
	b := append(bytes.Repeat([]byte{0xFF}, 32), byte(CmdConfig), byte(r.Subcommand))
	return append(b, r.SubcommandParams...)
}

// Authorize sets pinUvAuthParam and its protocol; the other members must be there already.
func (r *ConfigRequest) Authorize(t *Token) {
	r.PINUVAuthParam, r.PINUVAuthProtocol = t.Authenticate(r.Authenticated()), t.Protocol
}

// SetMinPINLengthParams are the parameters of setMinPINLength (CTAP 2.3, section 6.11.4). Nil
// members are absent and change nothing.
type SetMinPINLengthParams struct {
	NewMinPINLength     *uint    `cbor:"1,keyasint,omitempty"` // code points
	MinPINLengthRPIDs   []string `cbor:"2,keyasint,omitempty"` // may ask for it by the extension minPinLength
	ForceChangePIN      *bool    `cbor:"3,keyasint,omitempty"`
	PINComplexityPolicy *bool    `cbor:"4,keyasint,omitempty"`
}

// VendorPrototypeParams are the parameters of vendorPrototype (CTAP 2.3, section 6.11.3): the
// vendor's command, and what that defines.
type VendorPrototypeParams struct {
	VendorCommandID uint64     `cbor:"1,keyasint"`
	Data            RawMessage `cbor:"2,keyasint,omitempty"`
}
