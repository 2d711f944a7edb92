package ctap2

// Info is the answer of authenticatorGetInfo with every member from 0x01 to 0x1F
// (CTAP 2.3, section 6.4). Nil and zero members are absent unless said otherwise.
type Info struct {
	Versions                         []string              `cbor:"1,keyasint"`
	Extensions                       []string              `cbor:"2,keyasint,omitempty"`
	AAGUID                           AAGUID                `cbor:"3,keyasint"`
	Options                          map[string]bool       `cbor:"4,keyasint,omitempty"`
	MaxMsgSize                       uint                  `cbor:"5,keyasint,omitempty"`
	PINUVAuthProtocols               []PINUVProtocol       `cbor:"6,keyasint,omitempty"`
	MaxCredentialCountInList         uint                  `cbor:"7,keyasint,omitempty"`
	MaxCredentialIDLength            uint                  `cbor:"8,keyasint,omitempty"`
	Transports                       []string              `cbor:"9,keyasint,omitempty"`
	Algorithms                       []CredentialParameter `cbor:"10,keyasint,omitempty"`
	MaxSerializedLargeBlobArray      uint                  `cbor:"11,keyasint,omitempty"`
	ForcePINChange                   *bool                 `cbor:"12,keyasint,omitempty"`
	MinPINLength                     uint                  `cbor:"13,keyasint,omitempty"`
	FirmwareVersion                  uint                  `cbor:"14,keyasint,omitempty"`
	MaxCredBlobLength                uint                  `cbor:"15,keyasint,omitempty"`
	MaxRPIDsForSetMinPINLength       *uint                 `cbor:"16,keyasint,omitempty"`
	PreferredPlatformUVAttempts      uint                  `cbor:"17,keyasint,omitempty"`
	UVModality                       uint                  `cbor:"18,keyasint,omitempty"`
	Certifications                   map[string]uint64     `cbor:"19,keyasint,omitempty"`
	RemainingDiscoverableCredentials *uint                 `cbor:"20,keyasint,omitempty"`
	VendorPrototypeConfigCommands    []uint64              `cbor:"21,keyasint,omitempty"`
	AttestationFormats               []string              `cbor:"22,keyasint,omitempty"`
	UVCountSinceLastPINEntry         *uint                 `cbor:"23,keyasint,omitempty"`
	LongTouchForReset                *bool                 `cbor:"24,keyasint,omitempty"`
	EncIdentifier                    []byte                `cbor:"25,keyasint,omitempty"`
	TransportsForReset               []string              `cbor:"26,keyasint,omitempty"`
	PINComplexityPolicy              *bool                 `cbor:"27,keyasint,omitempty"`
	PINComplexityPolicyURL           []byte                `cbor:"28,keyasint,omitempty"`
	MaxPINLength                     uint                  `cbor:"29,keyasint,omitempty"`
	EncCredStoreState                []byte                `cbor:"30,keyasint,omitempty"`
	AuthenticatorConfigCommands      []uint                `cbor:"31,keyasint,omitempty"`
}

// AAGUID is the identifier of an authenticator model (WebAuthn Level 3, section 6.5.1).
type AAGUID [16]byte
