package webauthn

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/api"
)

// residentKey says whether a key makes a discoverable credential for the options.
func (o *CreationOptions) residentKey(info *ctap2.Info) bool {
	able, _ := info.Option(ctap2.OptionRK)
	return o.ResidentKey == Required || o.ResidentKey == Preferred && able
}

// Check says why a key cannot make the credential; it does not ask the key. The error is
// [ErrUnsupported] or [ErrPINNotSet].
func (o *CreationOptions) Check(info *ctap2.Info) error {
	if rk, _ := info.Option(ctap2.OptionRK); o.ResidentKey == Required && !rk {
		return fmt.Errorf("%w: it has no discoverable credentials", ErrUnsupported)
	}
	// A key that does not list its algorithms is asked.
	if len(info.Algorithms) > 0 && !slices.ContainsFunc(o.Params, func(p ctap2.CredentialParameter) bool {
		return slices.ContainsFunc(info.Algorithms, func(a ctap2.CredentialParameter) bool { return a.Alg == p.Alg })
	}) {
		return fmt.Errorf("%w: it has none of the algorithms", ErrUnsupported)
	}
	// CTAP 2.2, section 12.1, client extension processing.
	if o.EnforceCredProtect && o.CredProtect > ctap2.CredProtectUVOptional && !info.HasExtension(ctap2.ExtensionCredProtect) {
		return fmt.Errorf("%w: it cannot protect credentials", ErrUnsupported)
	}
	if extension, array := LargeBlobs(info); o.LargeBlob == ctap2.LargeBlobRequired && !extension && (!array || !o.residentKey(info)) {
		if array {
			return fmt.Errorf("%w: only its discoverable credentials have room for a blob", ErrUnsupported)
		}
		return fmt.Errorf("%w: it has no room for blobs", ErrUnsupported)
	}
	_, err := o.Verification(info)
	return err
}

// Request builds the request for a key (WebAuthn Level 3, section 5.1.3; CTAP 2.2, section
// 6.1). The option uv is left to the caller; it is never false.
func (o *CreationOptions) Request(rpID string, clientDataHash []byte, info *ctap2.Info) *ctap2.MakeCredentialRequest {
	r := &ctap2.MakeCredentialRequest{
		ClientDataHash:   clientDataHash,
		RP:               ctap2.RP{ID: rpID, Name: o.RP.Name},
		User:             o.User,
		PubKeyCredParams: o.Params,
		ExcludeList:      o.Exclude,
	}
	if o.residentKey(info) {
		yes := true
		r.Options = &ctap2.Options{RK: &yes}
	}
	r.Extensions = o.extensions(info)
	// WebAuthn Level 3, section 5.1.3: who wants no attestation wants the format none.
	if r.AttestationFormatsPref = o.AttestationFormats; o.Attestation == ctap2.FormatNone {
		r.AttestationFormatsPref = nil
		if len(info.AttestationFormats) > 0 {
			r.AttestationFormatsPref = []string{ctap2.FormatNone}
		}
	}
	return r
}

// Created is the end of a registration: what was asked, and what the key answered.
type Created struct {
	Options        *CreationOptions
	Request        *ctap2.MakeCredentialRequest
	Response       *ctap2.MakeCredentialResponse
	Info           *ctap2.Info
	ClientDataJSON []byte
	// Verified is true when the person had to be verified.
	Verified bool
	// Output1 and Output2 are what hmac-secret-mc gave, if it was asked for.
	Output1, Output2 []byte
}

// registration is a RegistrationResponseJSON (WebAuthn Level 3, section 5.1.8).
type registration struct {
	ID       api.Bytes `json:"id"`
	RawID    api.Bytes `json:"rawId"`
	Type     string    `json:"type"`
	Response struct {
		ClientDataJSON     api.Bytes      `json:"clientDataJSON"`
		AuthenticatorData  api.Bytes      `json:"authenticatorData"`
		Transports         []string       `json:"transports"`
		PublicKey          api.Bytes      `json:"publicKey,omitempty"`
		PublicKeyAlgorithm cose.Algorithm `json:"publicKeyAlgorithm"`
		AttestationObject  api.Bytes      `json:"attestationObject"`
	} `json:"response"`
	AuthenticatorAttachment string `json:"authenticatorAttachment"`
	ClientExtensionResults  struct {
		CredProps *struct {
			RK bool `json:"rk"`
		} `json:"credProps,omitempty"`
		HMACCreateSecret *bool       `json:"hmacCreateSecret,omitempty"`
		PRF              *prfCreated `json:"prf,omitempty"`
		CredBlob         *bool       `json:"credBlob,omitempty"`
		LargeBlob        *struct {
			Supported bool `json:"supported"`
		} `json:"largeBlob,omitempty"`
		AppIDExclude *bool `json:"appidExclude,omitempty"`
	} `json:"clientExtensionResults"`
}

// JSON checks that the answer is one to the request, and makes the RegistrationResponseJSON
// for the site (WebAuthn Level 3, sections 5.1.3 and 5.1.8). The error is [ErrResponse].
func (c *Created) JSON() (json.RawMessage, error) {
	data, err := c.Response.ParsedAuthData()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	if err := checkAuthData(data, c.Request.RP.ID, c.Verified); err != nil {
		return nil, err
	}
	if data.Flags&ctap2.FlagAT == 0 || len(data.CredentialID) == 0 || len(data.CredentialID) > maxCredential {
		return nil, fmt.Errorf("%w: no credential", ErrResponse)
	}
	alg := data.PublicKey.Alg
	if !data.PublicKey.IsZero() && !slices.ContainsFunc(c.Options.Params, func(p ctap2.CredentialParameter) bool { return p.Alg == alg }) {
		return nil, fmt.Errorf("%w: algorithm %v was not asked for", ErrResponse, alg)
	}
	response := *c.Response
	if c.Options.Attestation == "none" {
		if err := anonymise(&response, data); err != nil {
			return nil, err
		}
	}
	object, err := response.AttestationObject()
	if err != nil {
		return nil, err
	}
	var r registration
	r.ID, r.RawID, r.Type = data.CredentialID, data.CredentialID, ctap2.TypePublicKey
	r.Response.ClientDataJSON = c.ClientDataJSON
	r.Response.AuthenticatorData = response.AuthData
	r.Response.AttestationObject = object
	r.Response.PublicKeyAlgorithm = alg
	r.Response.Transports = transports(c.Info)
	if public, err := data.PublicKey.Public(); err == nil {
		// WebAuthn Level 3, section 5.2.1.1: absent when it cannot be expressed.
		r.Response.PublicKey, _ = x509.MarshalPKIXPublicKey(public)
	}
	r.AuthenticatorAttachment = "cross-platform"
	if c.Options.CredProps {
		r.ClientExtensionResults.CredProps = &struct {
			RK bool `json:"rk"`
		}{c.Request.Options != nil && c.Request.Options.RK != nil}
	}
	// What cannot be read counts as absent.
	out, _ := data.MakeCredentialOutputs()
	secret := out.HMACSecret != nil && *out.HMACSecret
	if c.Options.HMACCreateSecret {
		r.ClientExtensionResults.HMACCreateSecret = &secret
	}
	if c.Options.PRF {
		r.ClientExtensionResults.PRF = &prfCreated{Enabled: secret, Results: prfResults(c.Output1, c.Output2)}
	}
	if c.Options.CredBlob != nil {
		stored := out.CredBlob != nil && *out.CredBlob
		r.ClientExtensionResults.CredBlob = &stored
	}
	if c.Options.LargeBlob != "" {
		r.ClientExtensionResults.LargeBlob = &struct {
			Supported bool `json:"supported"`
		}{c.largeBlob()}
	}
	if c.Options.AppIDExclude != nil {
		yes := true
		r.ClientExtensionResults.AppIDExclude = &yes
	}
	return json.Marshal(r)
}

// prfCreated are AuthenticationExtensionsPRFOutputs of a registration (WebAuthn Level 3,
// section 10.1.4).
type prfCreated struct {
	Enabled bool       `json:"enabled"`
	Results *prfValues `json:"results,omitempty"`
}

// largeBlob says whether the credential has room for a blob.
func (c *Created) largeBlob() bool {
	if len(c.Response.LargeBlobKey) == ctap2.LargeBlobKeySize {
		return true
	}
	unsigned, err := c.Response.Unsigned()
	return err == nil && unsigned.LargeBlob != nil && unsigned.LargeBlob.Supported
}

// checkAuthData checks what is signed besides the client data.
func checkAuthData(data *ctap2.AuthData, rpID string, verified bool) error {
	switch {
	case data.RPIDHash != sha256.Sum256([]byte(rpID)):
		return fmt.Errorf("%w: it is for another RP ID", ErrResponse)
	case data.Flags&ctap2.FlagUP == 0:
		return fmt.Errorf("%w: nobody was present", ErrResponse)
	case verified && data.Flags&ctap2.FlagUV == 0:
		return fmt.Errorf("%w: the person was not verified", ErrResponse)
	}
	return nil
}

// anonymise takes away what could tell keys apart, when the site does not want to know:
// the statement and the AAGUID, except for self attestation, which tells nothing (WebAuthn
// Level 3, section 5.1.3, attestation conveyance "none").
func anonymise(r *ctap2.MakeCredentialResponse, data *ctap2.AuthData) error {
	if data.AAGUID.IsZero() && r.Fmt == ctap2.FormatPacked {
		var statement ctap2.PackedStatement
		if ctap2.UnmarshalLenient(r.AttStmt, &statement) == nil && len(statement.X5C) == 0 {
			return nil
		}
	}
	if r.Fmt == ctap2.FormatNone && data.AAGUID.IsZero() {
		r.AttStmt = ctap2.NoneStatement()
		return nil
	}
	anonymous := *data
	anonymous.AAGUID = ctap2.AAGUID{}
	authData, err := anonymous.Marshal()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResponse, err)
	}
	r.Fmt, r.AttStmt, r.AuthData = ctap2.FormatNone, ctap2.NoneStatement(), authData
	return nil
}

// transports are the key's, or usb, by which it was reached (WebAuthn Level 3, section
// 5.8.4): sorted and without doubles.
func transports(info *ctap2.Info) []string {
	list := []string{"usb"}
	for _, t := range info.Transports {
		if len(list) < maxTransports && len(t) < 32 && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	if len(info.Transports) > 0 && !slices.Contains(info.Transports, "usb") {
		list = list[1:]
	}
	slices.Sort(list)
	return list
}

// has says whether a list has a credential.
func has(list []ctap2.CredentialDescriptor, id []byte) bool {
	return slices.ContainsFunc(list, func(d ctap2.CredentialDescriptor) bool { return bytes.Equal(d.ID, id) })
}
