package webauthn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/api"
)

// Limits of options, in bytes or entries. They are far above what honest sites send.
const (
	MaxOptions     = 1 << 20
	maxChallenge   = 1024
	maxUserID      = 64 // WebAuthn Level 3, section 5.4.3
	maxText        = 1024
	maxParams      = 64
	maxDescriptors = 4096
	maxCredential  = 1023 // WebAuthn Level 3, section 4, "credential ID"
	maxTransports  = 16
)

// Requirement is a value of UserVerificationRequirement or ResidentKeyRequirement (WebAuthn
// Level 3, sections 5.4.6 and 5.8.6).
type Requirement string

// The requirements.
const (
	Required    Requirement = "required"
	Preferred   Requirement = "preferred"
	Discouraged Requirement = "discouraged"
)

func (r Requirement) or(otherwise Requirement) Requirement {
	switch r {
	case Required, Preferred, Discouraged:
		return r
	}
	// Unknown values count as absent (WebAuthn Level 3, section 2.1.1).
	return otherwise
}

// CreationOptions are the options of a registration (WebAuthn Level 3, section 5.4), with
// the defaults filled in.
type CreationOptions struct {
	RP                 ctap2.RP // the ID is as the site gave it, perhaps empty
	User               ctap2.User
	Challenge          []byte
	Params             []ctap2.CredentialParameter
	Timeout            time.Duration // 0 when the site does not say
	Exclude            []ctap2.CredentialDescriptor
	ResidentKey        Requirement
	UserVerification   Requirement
	Attestation        string // "none", "indirect", "direct" or "enterprise"
	AttestationFormats []string

	// Extension inputs (WebAuthn Level 3, section 10.1; CTAP 2.3, section 12).
	CredProps          bool
	CredProtect        ctap2.CredProtect
	EnforceCredProtect bool
	HMACCreateSecret   bool
	// PRF wants a credential that has secrets, PRFEval also the outputs for these salts, if
	// the key gives some at once.
	PRF     bool
	PRFEval *Salts
	// CredBlob is stored with the credential; nil for none.
	CredBlob []byte
	// LargeBlob is [ctap2.LargeBlobRequired], [ctap2.LargeBlobPreferred] or empty.
	LargeBlob           string
	MinPINLength        bool
	PINComplexityPolicy bool
	// Payment makes a credential for payments on other sites.
	Payment bool
	// AppIDExclude is an AppID of U2F under which a credential may be registered; the caller
	// checks it with [AppID].
	AppIDExclude *string
}

// RequestOptions are the options of an assertion (WebAuthn Level 3, section 5.5), with the
// defaults filled in.
type RequestOptions struct {
	RPID             string // as the site gave it, perhaps empty
	Challenge        []byte
	Timeout          time.Duration // 0 when the site does not say
	Allow            []ctap2.CredentialDescriptor
	UserVerification Requirement

	// Salt1 and Salt2 are the input of the extension hmacGetSecret (CTAP 2.2, section
	// 12.7), 32 bytes each or absent.
	Salt1, Salt2 []byte
	PRF          *PRF // instead of salts, or nil
	GetCredBlob  bool
	LargeBlob    *LargeBlob // nil for none
	Payment      bool
	// AppID is an AppID of U2F under which a credential may be registered; the caller checks
	// it with [AppID].
	AppID *string
}

// descriptor is a PublicKeyCredentialDescriptorJSON (WebAuthn Level 3, section 5.1.9).
type descriptor struct {
	ID         *api.Bytes `json:"id"`
	Type       *string    `json:"type"`
	Transports []string   `json:"transports"`
}

// ParseCreationOptions reads a PublicKeyCredentialCreationOptionsJSON (WebAuthn Level 3,
// section 5.1.9). Members that it does not know are ignored. The error is [ErrOptions], or
// [ErrUnsupported] when no security key can do what is asked.
func ParseCreationOptions(data []byte) (*CreationOptions, error) {
	var o struct {
		RP *struct {
			ID   string  `json:"id"`
			Name *string `json:"name"`
		} `json:"rp"`
		User *struct {
			ID          *api.Bytes `json:"id"`
			Name        *string    `json:"name"`
			DisplayName string     `json:"displayName"`
		} `json:"user"`
		Challenge *api.Bytes `json:"challenge"`
		Params    []struct {
			Type *string `json:"type"`
			Alg  *int64  `json:"alg"`
		} `json:"pubKeyCredParams"`
		Timeout   *float64     `json:"timeout"`
		Exclude   []descriptor `json:"excludeCredentials"`
		Selection struct {
			Attachment         string      `json:"authenticatorAttachment"`
			ResidentKey        Requirement `json:"residentKey"`
			RequireResidentKey bool        `json:"requireResidentKey"`
			UserVerification   Requirement `json:"userVerification"`
		} `json:"authenticatorSelection"`
		Attestation        string   `json:"attestation"`
		AttestationFormats []string `json:"attestationFormats"`
		Extensions         struct {
			CredProps          bool    `json:"credProps"`
			CredProtect        *string `json:"credentialProtectionPolicy"`
			EnforceCredProtect bool    `json:"enforceCredentialProtectionPolicy"`
			HMACCreateSecret   bool    `json:"hmacCreateSecret"`

			PRF                 *prfInput       `json:"prf"`
			CredBlob            *api.Bytes      `json:"credBlob"`
			LargeBlob           *largeBlobInput `json:"largeBlob"`
			MinPINLength        bool            `json:"minPinLength"`
			PINComplexityPolicy bool            `json:"pinComplexityPolicy"`
			Payment             *paymentInput   `json:"payment"`
			ThirdPartyPayment   bool            `json:"thirdPartyPayment"`
			AppIDExclude        *string         `json:"appidExclude"`
		} `json:"extensions"`
	}
	if err := decode(data, &o); err != nil {
		return nil, err
	}
	switch {
	case o.RP == nil || o.RP.Name == nil:
		return nil, invalid("rp needs a name")
	case o.User == nil || o.User.ID == nil || o.User.Name == nil:
		return nil, invalid("user needs an id and a name")
	case len(*o.User.ID) == 0 || len(*o.User.ID) > maxUserID:
		// WebAuthn Level 3, section 5.1.3: 1 to 64 bytes.
		return nil, invalid("user.id has %d bytes, want 1 to %d", len(*o.User.ID), maxUserID)
	case len(o.Params) > maxParams:
		return nil, invalid("%d pubKeyCredParams", len(o.Params))
	case len(o.AttestationFormats) > maxTransports:
		return nil, invalid("%d attestationFormats", len(o.AttestationFormats))
	case o.Selection.Attachment == "platform":
		return nil, invalid("authenticatorAttachment: a security key is not a platform authenticator")
	}
	for _, text := range []string{o.RP.ID, *o.RP.Name, *o.User.Name, o.User.DisplayName} {
		if len(text) > maxText {
			return nil, invalid("a name of %d bytes", len(text))
		}
	}
	challenge, err := challenge(o.Challenge)
	if err != nil {
		return nil, err
	}
	timeout, err := timeout(o.Timeout)
	if err != nil {
		return nil, err
	}
	exclude, err := descriptors("excludeCredentials", o.Exclude)
	if err != nil {
		return nil, err
	}
	residentKey := Discouraged
	if o.Selection.RequireResidentKey {
		residentKey = Required
	}
	c := &CreationOptions{
		RP:                 ctap2.RP{ID: o.RP.ID, Name: *o.RP.Name},
		User:               ctap2.User{ID: *o.User.ID, Name: *o.User.Name, DisplayName: o.User.DisplayName},
		Challenge:          challenge,
		Timeout:            timeout,
		Exclude:            exclude,
		ResidentKey:        o.Selection.ResidentKey.or(residentKey),
		UserVerification:   o.Selection.UserVerification.or(Preferred),
		Attestation:        "none",
		AttestationFormats: o.AttestationFormats,
		CredProps:          o.Extensions.CredProps,
		EnforceCredProtect: o.Extensions.EnforceCredProtect,
		HMACCreateSecret:   o.Extensions.HMACCreateSecret,

		PRF:                 o.Extensions.PRF != nil,
		MinPINLength:        o.Extensions.MinPINLength,
		PINComplexityPolicy: o.Extensions.PINComplexityPolicy,
		Payment:             o.Extensions.ThirdPartyPayment || o.Extensions.Payment != nil && o.Extensions.Payment.IsPayment,
		AppIDExclude:        o.Extensions.AppIDExclude,
	}
	if c.PRFEval, err = creationPRF(o.Extensions.PRF); err != nil {
		return nil, err
	}
	if c.LargeBlob, err = creationLargeBlob(o.Extensions.LargeBlob); err != nil {
		return nil, err
	}
	if b := o.Extensions.CredBlob; b != nil {
		c.CredBlob = append([]byte{}, *b...)
	}
	if slices.Contains([]string{"indirect", "direct", "enterprise"}, o.Attestation) {
		c.Attestation = o.Attestation
	}
	if o.Extensions.CredProtect != nil {
		if c.CredProtect, err = credProtect(*o.Extensions.CredProtect); err != nil {
			return nil, err
		}
	}
	for _, p := range o.Params {
		if p.Type == nil || p.Alg == nil {
			return nil, invalid("pubKeyCredParams need type and alg")
		}
		if *p.Type == ctap2.TypePublicKey && *p.Alg != 0 {
			c.Params = append(c.Params, ctap2.CredentialParameter{Alg: cose.Algorithm(*p.Alg), Type: ctap2.TypePublicKey})
		}
	}
	switch {
	case len(o.Params) == 0:
		// WebAuthn Level 3, section 5.1.3: the default when the list is empty.
		c.Params = []ctap2.CredentialParameter{
			{Alg: cose.ES256, Type: ctap2.TypePublicKey},
			{Alg: cose.RS256, Type: ctap2.TypePublicKey},
		}
	case len(c.Params) == 0:
		return nil, invalid("pubKeyCredParams has no known type")
	}
	return c, nil
}

// ParseRequestOptions reads a PublicKeyCredentialRequestOptionsJSON (WebAuthn Level 3,
// section 5.1.10). Members that it does not know are ignored. The error is [ErrOptions].
func ParseRequestOptions(data []byte) (*RequestOptions, error) {
	var o struct {
		RPID             string       `json:"rpId"`
		Challenge        *api.Bytes   `json:"challenge"`
		Timeout          *float64     `json:"timeout"`
		Allow            []descriptor `json:"allowCredentials"`
		UserVerification Requirement  `json:"userVerification"`
		Extensions       struct {
			HMACGetSecret *struct {
				Salt1 *api.Bytes `json:"salt1"`
				Salt2 *api.Bytes `json:"salt2"`
			} `json:"hmacGetSecret"`
			PRF               *prfInput       `json:"prf"`
			GetCredBlob       bool            `json:"getCredBlob"`
			LargeBlob         *largeBlobInput `json:"largeBlob"`
			Payment           *paymentInput   `json:"payment"`
			ThirdPartyPayment bool            `json:"thirdPartyPayment"`
			AppID             *string         `json:"appid"`
		} `json:"extensions"`
	}
	if err := decode(data, &o); err != nil {
		return nil, err
	}
	if len(o.RPID) > maxText {
		return nil, invalid("an rpId of %d bytes", len(o.RPID))
	}
	challenge, err := challenge(o.Challenge)
	if err != nil {
		return nil, err
	}
	timeout, err := timeout(o.Timeout)
	if err != nil {
		return nil, err
	}
	allow, err := descriptors("allowCredentials", o.Allow)
	if err != nil {
		return nil, err
	}
	if len(o.Allow) > 0 && len(allow) == 0 {
		return nil, invalid("allowCredentials has no known type")
	}
	r := &RequestOptions{
		RPID:             o.RPID,
		Challenge:        challenge,
		Timeout:          timeout,
		Allow:            allow,
		UserVerification: o.UserVerification.or(Preferred),
		GetCredBlob:      o.Extensions.GetCredBlob,
		Payment:          o.Extensions.ThirdPartyPayment || o.Extensions.Payment != nil && o.Extensions.Payment.IsPayment,
		AppID:            o.Extensions.AppID,
	}
	if r.PRF, err = requestPRF(o.Extensions.PRF, allow); err != nil {
		return nil, err
	}
	if r.LargeBlob, err = requestLargeBlob(o.Extensions.LargeBlob, allow); err != nil {
		return nil, err
	}
	if o.Extensions.PRF != nil && o.Extensions.HMACGetSecret != nil {
		// A key evaluates one of them (CTAP 2.3, section 12.7).
		return nil, invalid("prf and hmacGetSecret exclude each other")
	}
	if r.AppID != nil && len(allow) == 0 {
		// WebAuthn Level 3, section 10.1.1, client extension processing, step 3.
		return nil, invalid("appid needs allowCredentials (NotSupportedError)")
	}
	if h := o.Extensions.HMACGetSecret; h != nil {
		if h.Salt1 == nil || len(*h.Salt1) != ctap2.HMACSecretSize || h.Salt2 != nil && len(*h.Salt2) != ctap2.HMACSecretSize {
			return nil, invalid("hmacGetSecret: a salt has %d bytes", ctap2.HMACSecretSize)
		}
		r.Salt1 = *h.Salt1
		if h.Salt2 != nil {
			r.Salt2 = *h.Salt2
		}
	}
	return r, nil
}

// decode reads one JSON object and nothing more.
func decode(data []byte, v any) error {
	if len(data) > MaxOptions {
		return invalid("%d bytes", len(data))
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return invalid("want a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return invalid("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("something follows the JSON object")
	}
	return nil
}

func challenge(b *api.Bytes) ([]byte, error) {
	if b == nil || len(*b) == 0 || len(*b) > maxChallenge {
		return nil, invalid("challenge must have 1 to %d bytes", maxChallenge)
	}
	return *b, nil
}

// timeout reads a number of milliseconds; more than a day is a day.
func timeout(ms *float64) (time.Duration, error) {
	const day = 24 * time.Hour
	switch {
	case ms == nil:
		return 0, nil
	case *ms < 0 || math.IsNaN(*ms) || *ms != math.Trunc(*ms):
		return 0, invalid("timeout must be a whole number of milliseconds")
	case *ms > float64(day/time.Millisecond):
		return day, nil
	}
	return time.Duration(*ms) * time.Millisecond, nil
}

func descriptors(name string, list []descriptor) ([]ctap2.CredentialDescriptor, error) {
	if len(list) > maxDescriptors {
		return nil, invalid("%d %s, at most %d", len(list), name, maxDescriptors)
	}
	var out []ctap2.CredentialDescriptor
	for _, d := range list {
		switch {
		case d.ID == nil || d.Type == nil:
			return nil, invalid("%s need id and type", name)
		case len(*d.ID) == 0 || len(*d.ID) > maxCredential:
			return nil, invalid("%s: an id of %d bytes", name, len(*d.ID))
		case len(d.Transports) > maxTransports:
			return nil, invalid("%s: %d transports", name, len(d.Transports))
		case *d.Type == ctap2.TypePublicKey: // others are ignored (WebAuthn Level 3, section 5.8.3)
			out = append(out, ctap2.CredentialDescriptor{ID: *d.ID, Type: ctap2.TypePublicKey})
		}
	}
	return out, nil
}

// credProtect reads the extension input credentialProtectionPolicy (CTAP 2.2, section 12.1).
func credProtect(policy string) (ctap2.CredProtect, error) {
	switch policy {
	case "userVerificationOptional":
		return ctap2.CredProtectUVOptional, nil
	case "userVerificationOptionalWithCredentialIDList":
		return ctap2.CredProtectUVOptionalWithCredentialIDList, nil
	case "userVerificationRequired":
		return ctap2.CredProtectUVRequired, nil
	}
	return 0, invalid("unknown credentialProtectionPolicy")
}
