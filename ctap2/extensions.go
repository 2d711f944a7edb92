package ctap2

import (
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
)

// Extensions in getInfo (CTAP 2.3, section 12).
const (
	ExtensionCredProtect         = "credProtect"
	ExtensionCredBlob            = "credBlob"
	ExtensionLargeBlobKey        = "largeBlobKey"
	ExtensionLargeBlob           = "largeBlob"
	ExtensionMinPINLength        = "minPinLength"
	ExtensionPINComplexityPolicy = "pinComplexityPolicy"
	ExtensionHMACSecret          = "hmac-secret"
	ExtensionHMACSecretMC        = "hmac-secret-mc"
	ExtensionThirdPartyPayment   = "thirdPartyPayment"
)

// MakeCredentialExtensions are the extension inputs of makeCredential
// (CTAP 2.3, section 12). Nil and zero members are absent.
type MakeCredentialExtensions struct {
	CredProtect         CredProtect           `cbor:"credProtect,omitempty"`
	CredBlob            *[]byte               `cbor:"credBlob,omitempty"` // a pointer: empty is not absent
	LargeBlobKey        *bool                 `cbor:"largeBlobKey,omitempty"`
	LargeBlob           *LargeBlobCreateInput `cbor:"largeBlob,omitempty"`
	MinPINLength        *bool                 `cbor:"minPinLength,omitempty"`
	PINComplexityPolicy *bool                 `cbor:"pinComplexityPolicy,omitempty"`
	HMACSecret          *bool                 `cbor:"hmac-secret,omitempty"`
	HMACSecretMC        *HMACSecretInput      `cbor:"hmac-secret-mc,omitempty"` // of CTAP 2.2
	ThirdPartyPayment   *bool                 `cbor:"thirdPartyPayment,omitempty"`
}

// missing names the first required member of an input that is absent.
func (e *MakeCredentialExtensions) missing() string {
	if e != nil {
		if name := e.HMACSecretMC.missing(); name != "" {
			return ExtensionHMACSecretMC + "." + name
		}
	}
	return ""
}

// MakeCredentialOutputs are the extension outputs in the authenticator data of makeCredential
// (CTAP 2.3, section 12). Nil and zero members are absent.
type MakeCredentialOutputs struct {
	CredProtect         CredProtect `cbor:"credProtect,omitempty"`
	CredBlob            *bool       `cbor:"credBlob,omitempty"`
	MinPINLength        *uint       `cbor:"minPinLength,omitempty"`
	PINComplexityPolicy *bool       `cbor:"pinComplexityPolicy,omitempty"`
	HMACSecret          *bool       `cbor:"hmac-secret,omitempty"`
	HMACSecretMC        []byte      `cbor:"hmac-secret-mc,omitempty"` // encrypted: see [HMACSecret]
}

// MakeCredentialUnsigned are the unsigned extension outputs of makeCredential (CTAP 2.2,
// section 6.1, response member 0x06). Nil members are absent.
type MakeCredentialUnsigned struct {
	LargeBlob *LargeBlobCreateOutput `cbor:"largeBlob,omitempty"`
}

// GetAssertionExtensions are the extension inputs of getAssertion (CTAP 2.3, section 12). Nil
// members are absent.
type GetAssertionExtensions struct {
	CredBlob          *bool            `cbor:"credBlob,omitempty"`
	LargeBlobKey      *bool            `cbor:"largeBlobKey,omitempty"`
	LargeBlob         *LargeBlobInput  `cbor:"largeBlob,omitempty"`
	HMACSecret        *HMACSecretInput `cbor:"hmac-secret,omitempty"`
	ThirdPartyPayment *bool            `cbor:"thirdPartyPayment,omitempty"`
}

// missing names the first required member of an input that is absent.
func (e *GetAssertionExtensions) missing() string {
	if e != nil {
		if name := e.HMACSecret.missing(); name != "" {
			return ExtensionHMACSecret + "." + name
		}
	}
	return ""
}

// GetAssertionOutputs are the extension outputs in the authenticator data of getAssertion
// (CTAP 2.3, section 12). Nil members are absent.
type GetAssertionOutputs struct {
	CredBlob          *[]byte `cbor:"credBlob,omitempty"`    // empty when the credential has none
	HMACSecret        []byte  `cbor:"hmac-secret,omitempty"` // encrypted: see [HMACSecret]
	ThirdPartyPayment *bool   `cbor:"thirdPartyPayment,omitempty"`
}

// GetAssertionUnsigned are the unsigned extension outputs of getAssertion (CTAP 2.2, section
// 6.2, response member 0x08). Nil members are absent.
type GetAssertionUnsigned struct {
	LargeBlob *LargeBlobOutput `cbor:"largeBlob,omitempty"`
}

// Unsigned reads the unsigned extension outputs; without any, every member is nil.
func (r *MakeCredentialResponse) Unsigned() (MakeCredentialUnsigned, error) {
	return extensionOutputs[MakeCredentialUnsigned](r.UnsignedExtensionOutputs)
}

// Unsigned reads the unsigned extension outputs; without any, every member is nil.
func (r *GetAssertionResponse) Unsigned() (GetAssertionUnsigned, error) {
	return extensionOutputs[GetAssertionUnsigned](r.UnsignedExtensionOutputs)
}

// MakeCredentialOutputs reads the extension outputs of makeCredential; without any, every member
// is zero.
func (a *AuthData) MakeCredentialOutputs() (MakeCredentialOutputs, error) {
	return extensionOutputs[MakeCredentialOutputs](a.Extensions)
}

// GetAssertionOutputs reads the extension outputs of getAssertion; without any, every member is nil.
func (a *AuthData) GetAssertionOutputs() (GetAssertionOutputs, error) {
	return extensionOutputs[GetAssertionOutputs](a.Extensions)
}

// extensionOutputs reads a map of outputs; what can't be read is [ErrResponse].
func extensionOutputs[T any](raw RawMessage) (outputs T, err error) {
	if isAbsent(raw) {
		return outputs, nil
	}
	if err := UnmarshalLenient(raw, &outputs); err != nil {
		return *new(T), fmt.Errorf("%w: extension outputs: %w", ErrResponse, err)
	}
	return outputs, nil
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

// HMACSecretInput is the input of the hmac-secret extension at getAssertion, and of
// hmac-secret-mc at makeCredential (CTAP 2.3, sections 12.7 and 12.8).
type HMACSecretInput struct {
	KeyAgreement      cose.Key      `cbor:"1,keyasint"`
	SaltEnc           []byte        `cbor:"2,keyasint"`
	SaltAuth          []byte        `cbor:"3,keyasint"`
	PINUVAuthProtocol PINUVProtocol `cbor:"4,keyasint,omitempty"`
}

// missing names the first required member that is absent (CTAP 2.2, section 12.7: all but the
// protocol).
func (in *HMACSecretInput) missing() string {
	switch {
	case in == nil:
	case in.KeyAgreement.IsZero():
		return "keyAgreement"
	case in.SaltEnc == nil:
		return "saltEnc"
	case in.SaltAuth == nil:
		return "saltAuth"
	}
	return ""
}

// Values of LargeBlobCreateInput.Support (CTAP 2.3, section 12.4).
const (
	LargeBlobRequired  = "required"
	LargeBlobPreferred = "preferred"
)

// LargeBlobCreateInput asks for a credential with room for a blob (CTAP 2.3, section 12.4).
type LargeBlobCreateInput struct {
	Support string `cbor:"support"`
}

// LargeBlobCreateOutput says that the credential has room for a blob (CTAP 2.3, section 12.4).
type LargeBlobCreateOutput struct {
	Supported bool `cbor:"supported"`
}

// LargeBlobInput reads or writes the blob of the credential that signs (CTAP 2.3, section
// 12.4): Read, or Write with the DEFLATE-compressed data and OriginalSize, its size before.
type LargeBlobInput struct {
	Read         *bool   `cbor:"read,omitempty"`
	Write        *[]byte `cbor:"write,omitempty"`
	OriginalSize *uint64 `cbor:"originalSize,omitempty"`
}

// LargeBlobOutput is the answer to a [LargeBlobInput] (CTAP 2.3, section 12.4): Blob, still
// compressed, and its OriginalSize after a read, if there is one; Written after a write.
type LargeBlobOutput struct {
	Blob         *[]byte `cbor:"blob,omitempty"`
	OriginalSize *uint64 `cbor:"originalSize,omitempty"`
	Written      *bool   `cbor:"written,omitempty"`
}
