package ctap2

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2/pinuv"
)

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

// Versions of the protocol in getInfo (CTAP 2.3, section 6.4).
const (
	VersionU2F     = "U2F_V2"
	VersionFIDO20  = "FIDO_2_0"
	VersionFIDO21P = "FIDO_2_1_PRE"
	VersionFIDO21  = "FIDO_2_1"
	VersionFIDO22  = "FIDO_2_2"
	VersionFIDO23  = "FIDO_2_3"
)

// Options in getInfo that this package looks at (CTAP 2.2, section 6.4).
const (
	OptionPlat             = "plat"
	OptionRK               = "rk"
	OptionClientPIN        = "clientPin"
	OptionUP               = "up"
	OptionUV               = "uv"
	OptionPINUVAuthToken   = "pinUvAuthToken"
	OptionNoMcGaWithPIN    = "noMcGaPermissionsWithClientPin"
	OptionAlwaysUV         = "alwaysUv"
	OptionMakeCredUVNotRqd = "makeCredUvNotRqd"
	OptionEnterprise       = "ep"
	OptionCredMgmt         = "credMgmt"
	OptionCredMgmtReadOnly = "perCredMgmtRO"
	OptionCredMgmtPreview  = "credentialMgmtPreview"
	OptionBioEnroll        = "bioEnroll"
	OptionBioPreview       = "userVerificationMgmtPreview"
	OptionUVBioEnroll      = "uvBioEnroll"
	OptionLargeBlobs       = "largeBlobs"
	OptionConfig           = "authnrCfg"
	OptionUVConfig         = "uvAcfg"
	OptionSetMinPINLength  = "setMinPINLength"
)

// DefaultMaxMsgSize is what an authenticator takes that does not say maxMsgSize (CTAP 2.2, section 6.4).
const DefaultMaxMsgSize = 1024

// Supports reports whether the authenticator speaks version.
func (i *Info) Supports(version string) bool { return slices.Contains(i.Versions, version) }

// HasExtension reports whether the authenticator has the extension called name.
func (i *Info) HasExtension(name string) bool { return slices.Contains(i.Extensions, name) }

// Option gives an option as the authenticator sent it; present is false when it
// did not. Absent and false mean different things: a clientPin that is false is a PIN that may be
// set (CTAP 2.2, section 6.4).
func (i *Info) Option(name string) (value, present bool) {
	value, present = i.Options[name]
	return value, present
}

// Protocol gives the first PIN/UV auth protocol in the authenticator's order of preference
// that this package has, 0 when there is none. An authenticator of CTAP 2.0 that can have a
// PIN says nothing and means protocol one (CTAP 2.0 knew no other).
func (i *Info) Protocol() PINUVProtocol {
	for _, p := range i.PINUVAuthProtocols {
		if p.Valid() {
			return p
		}
	}
	if _, canPIN := i.Option(OptionClientPIN); canPIN && len(i.PINUVAuthProtocols) == 0 {
		return pinuv.One
	}
	return 0
}

// MessageSize is the size in bytes of the largest message that the authenticator takes.
func (i *Info) MessageSize() uint {
	if i.MaxMsgSize == 0 {
		return DefaultMaxMsgSize
	}
	return i.MaxMsgSize
}

// MinPIN is the number of code points that a new PIN needs at least (CTAP 2.2, section 6.4).
func (i *Info) MinPIN() uint {
	if i.MinPINLength == 0 {
		return pinuv.MinPINCodePoints
	}
	return i.MinPINLength
}

// MaxPIN is the number of code points that a PIN has at most (CTAP 2.3, section 6.4, maxPINLength);
// whatever it says, no PIN has more than [pinuv.MaxPINBytes] bytes of UTF-8.
func (i *Info) MaxPIN() uint {
	if i.MaxPINLength == 0 || i.MaxPINLength > pinuv.MaxPINBytes {
		return pinuv.MaxPINBytes
	}
	return i.MaxPINLength
}

// CheckNewPIN says why the authenticator would refuse a new PIN, as far as its length goes (CTAP 2.3,
// section 6.5.1): [pinuv.ErrPINTooShort] and [pinuv.ErrPINTooLong] by its minimum and maximum in
// code points of Unicode normalization form C, [pinuv.ErrPINTooLong] for more than
// [pinuv.MaxPINBytes] bytes, and [pinuv.ErrPINInvalid]. [Client.SetPIN] looks only at what no
// authenticator takes.
func (i *Info) CheckNewPIN(pin []byte) error {
	pin = NormalizePIN(pin)
	defer pinuv.Wipe(pin)
	if err := pinuv.CheckPIN(pin); err != nil {
		return err
	}
	switch n := uint(utf8.RuneCount(pin)); {
	case n < i.MinPIN():
		return fmt.Errorf("%w: this authenticator wants %d characters", pinuv.ErrPINTooShort, i.MinPIN())
	case n > i.MaxPIN():
		return fmt.Errorf("%w: this authenticator takes %d characters", pinuv.ErrPINTooLong, i.MaxPIN())
	}
	return nil
}

// infoMembers is Info without its methods.
type infoMembers Info

// UnmarshalCBOR reads the answer of getInfo. Options that are not booleans and
// certifications that are not numbers are left out, as no platform can use them; the rest of the
// answer counts. Anything else of the wrong type is an error, and so is an answer without
// versions or AAGUID.
func (i *Info) UnmarshalCBOR(data []byte) error {
	// The outer members hide those with the same number inside.
	var w struct {
		infoMembers
		AAGUID         *AAGUID               `cbor:"3,keyasint"`
		Options        map[string]RawMessage `cbor:"4,keyasint"`
		Certifications map[string]RawMessage `cbor:"19,keyasint"`
	}
	if err := lenientMode.Unmarshal(data, &w); err != nil {
		return decodeError(err)
	}
	if err := checkBytes(data, (*infoMembers)(nil)); err != nil {
		return err
	}
	switch {
	case w.Versions == nil:
		return &DecodeError{Status: ErrMissingParameter, Err: errors.New("no versions")}
	case w.AAGUID == nil:
		return &DecodeError{Status: ErrMissingParameter, Err: errors.New("no aaguid")}
	}
	*i = Info(w.infoMembers)
	i.AAGUID = *w.AAGUID
	i.Options = only[bool](w.Options)
	i.Certifications = only[uint64](w.Certifications)
	return nil
}

// only keeps what can be decoded to T; a nil map stays nil.
func only[T any](raw map[string]RawMessage) map[string]T {
	if raw == nil {
		return nil
	}
	m := make(map[string]T, len(raw))
	for name, r := range raw {
		var v *T // null leaves it nil
		if err := lenientMode.Unmarshal(r, &v); err == nil && v != nil {
			m[name] = *v
		}
	}
	return m
}

// AAGUID is the identifier of an authenticator model (WebAuthn Level 3, section 6.5.1).
type AAGUID [16]byte

// UnmarshalCBOR reads a byte string of 16 bytes.
func (a *AAGUID) UnmarshalCBOR(data []byte) error {
	h, rest, err := readHead(data)
	if err != nil {
		return &DecodeError{Status: ErrInvalidCBOR, Err: err}
	}
	if h.major != majorBytes {
		return &DecodeError{Status: ErrCBORUnexpectedType, Err: errors.New("aaguid is not a byte string")}
	}
	if h.arg != uint64(len(a)) || len(rest) != len(a) {
		return &DecodeError{Status: ErrInvalidLength, Err: fmt.Errorf("aaguid of %d bytes", h.arg)}
	}
	*a = AAGUID(rest)
	return nil
}

// String gives the form with dashes (RFC 9562, section 4), as metadata services write it.
func (a AAGUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", a[:4], a[4:6], a[6:8], a[8:10], a[10:])
}

// IsZero reports whether a names no model.
func (a AAGUID) IsZero() bool { return a == AAGUID{} }
