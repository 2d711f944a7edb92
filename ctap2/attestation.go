package ctap2

import (
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
)

// Attestation statement formats (WebAuthn Level 3, section 8; the IANA registry "WebAuthn
// Attestation Statement Format Identifiers").
const (
	FormatPacked  = "packed"
	FormatFIDOU2F = "fido-u2f"
	FormatNone    = "none"
)

// PackedStatement is the statement of format "packed" (WebAuthn Level 3, section 8.2). Without
// X5C it is self attestation: Sig was made with the credential's own key.
type PackedStatement struct {
	Alg cose.Algorithm `cbor:"alg"`
	Sig []byte         `cbor:"sig"`           // over authenticator data and client data hash
	X5C [][]byte       `cbor:"x5c,omitempty"` // DER, the attestation certificate first
}

func (s *PackedStatement) missing() string {
	switch {
	case s.Alg == 0:
		return "alg"
	case s.Sig == nil:
		return "sig"
	}
	return ""
}

// FIDOU2FStatement is the statement of format "fido-u2f" (WebAuthn Level 3, section 8.6).
type FIDOU2FStatement struct {
	Sig []byte   `cbor:"sig"` // over what a U2F registration signs
	X5C [][]byte `cbor:"x5c"` // DER, one certificate
}

func (s *FIDOU2FStatement) missing() string {
	switch {
	case s.Sig == nil:
		return "sig"
	case s.X5C == nil:
		return "x5c"
	}
	return ""
}

// NoneStatement is the statement of format "none", an empty map (WebAuthn Level 3, section 8.7).
func NoneStatement() RawMessage { return RawMessage{0xA0} }

// attestationObject is what WebAuthn hands to relying parties (WebAuthn Level 3, section 6.5.4);
// unlike the response of makeCredential its keys are text.
type attestationObject struct {
	Fmt      string     `cbor:"fmt"`
	AttStmt  RawMessage `cbor:"attStmt"`
	AuthData []byte     `cbor:"authData"`
}

func (o *attestationObject) missing() string {
	switch {
	case o.Fmt == "":
		return "fmt"
	case o.AttStmt == nil:
		return "attStmt"
	case o.AuthData == nil:
		return "authData"
	}
	return ""
}

// AttestationObject gives the attestation object for the relying party (WebAuthn Level 3,
// section 6.5.4), canonical as far as the authenticator's statement is. An absent statement is
// written as an empty map; one that is not a map is [ErrResponse].
func (r *MakeCredentialResponse) AttestationObject() ([]byte, error) {
	o := attestationObject{Fmt: r.Fmt, AttStmt: r.AttStmt, AuthData: r.AuthData}
	if len(o.AttStmt) == 0 {
		o.AttStmt = NoneStatement()
	}
	if o.AttStmt[0]>>5 != majorMap {
		return nil, fmt.Errorf("%w: attestation statement is not a map", ErrResponse)
	}
	return Marshal(o)
}

// ParseAttestationObject is the opposite of [MakeCredentialResponse.AttestationObject]. The
// slices of the result do not share memory with data.
func ParseAttestationObject(data []byte) (*MakeCredentialResponse, error) {
	var o attestationObject
	if err := UnmarshalLenient(data, &o); err != nil {
		return nil, err
	}
	if len(o.AttStmt) == 0 || o.AttStmt[0]>>5 != majorMap {
		return nil, &DecodeError{Status: ErrCBORUnexpectedType, Err: errors.New("attestation statement is not a map")}
	}
	return &MakeCredentialResponse{Fmt: o.Fmt, AuthData: o.AuthData, AttStmt: o.AttStmt}, nil
}

// ParsedAuthData parses AuthData.
func (r *MakeCredentialResponse) ParsedAuthData() (*AuthData, error) {
	return ParseAuthData(r.AuthData)
}

// ParsedAuthData parses AuthData.
func (r *GetAssertionResponse) ParsedAuthData() (*AuthData, error) { return ParseAuthData(r.AuthData) }
