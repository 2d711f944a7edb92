// Package relyingparty checks what a key made, as the site that asked for it would
// (WebAuthn Level 3, sections 7.1 and 7.2).
//
// It is for the daemon's verify operation: people and CI jobs can see with it that a
// registration or an assertion is good without having a site. The checks themselves are those
// of github.com/go-webauthn/webauthn, which shares no code with our own encoders.
package relyingparty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/fobd/fobd/daemon/api"
)

// Verifier checks registrations and assertions. It keeps nothing; the zero value is ready.
type Verifier struct{}

// Verify makes the relying party's check. Its error is an [*api.Error]: with
// [api.CodeVerifyFailed] when the check says no, with [api.CodeInvalidRequest] when
// the request cannot be checked at all.
func (Verifier) Verify(_ context.Context, r *api.CheckRequest) (*api.CheckResult, error) {
	creation, request := given(r.CreationOptions), given(r.RequestOptions)
	switch {
	case r.Origin == "":
		return nil, invalid("origin is missing")
	case !given(r.Credential):
		return nil, invalid("credential is missing")
	case creation == request:
		return nil, invalid("want either creationOptions or requestOptions")
	case creation:
		return registration(r, nil)
	case r.Registered == nil:
		return nil, invalid("an assertion is checked against registered, which is missing")
	}
	return assertion(r)
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// creationOptions are the members of PublicKeyCredentialCreationOptionsJSON that the
// check needs (WebAuthn Level 3, section 5.4).
type creationOptions struct {
	RP struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID api.Bytes `json:"id"`
	} `json:"user"`
	Challenge  api.Bytes `json:"challenge"`
	Parameters []struct {
		Type string `json:"type"`
		Alg  int    `json:"alg"`
	} `json:"pubKeyCredParams"`
	Selection struct {
		UserVerification string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Extensions protocol.AuthenticationExtensions `json:"extensions"`
}

// requestOptions are those of PublicKeyCredentialRequestOptionsJSON (section 5.5).
type requestOptions struct {
	RPID      string    `json:"rpId"`
	Challenge api.Bytes `json:"challenge"`
	Allow     []struct {
		ID api.Bytes `json:"id"`
	} `json:"allowCredentials"`
	UserVerification string                            `json:"userVerification"`
	Extensions       protocol.AuthenticationExtensions `json:"extensions"`
}

func registration(r *api.CheckRequest, models metadata.Provider) (*api.CheckResult, error) {
	var o creationOptions
	if err := json.Unmarshal(r.CreationOptions, &o); err != nil {
		return nil, invalid("creationOptions: %v", err)
	}
	rp, rpID, err := party(r.Origin, o.RP.ID)
	if err != nil {
		return nil, err
	}
	rp.Config.MDS = models
	session := webauthn.SessionData{
		Challenge: o.Challenge.String(), RelyingPartyID: rpID, Origin: r.Origin, UserID: o.User.ID,
		UserVerification: protocol.UserVerificationRequirement(o.Selection.UserVerification),
		Extensions:       o.Extensions.Session(),
	}
	for _, p := range o.Parameters {
		session.CredParams = append(session.CredParams, protocol.CredentialParameter{
			Type: protocol.CredentialType(p.Type), Algorithm: webauthncose.COSEAlgorithmIdentifier(p.Alg),
		})
	}
	if len(session.CredParams) == 0 { // section 5.1.3: the defaults of an empty list
		session.CredParams = []protocol.CredentialParameter{
			{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
			{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
		}
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(r.Credential)
	if err != nil {
		return nil, failed(err)
	}
	c, err := rp.CreateCredential(account{id: o.User.ID}, session, parsed)
	if err != nil {
		return nil, failed(err)
	}
	return &api.CheckResult{
		Registered: api.Registered{
			CredentialID: c.ID, PublicKey: c.PublicKey, UserID: o.User.ID, SignCount: c.Authenticator.SignCount,
			AAGUID: aaguid(c.Authenticator.AAGUID), BackupEligible: c.Flags.BackupEligible,
		},
		UserPresent: c.Flags.UserPresent, UserVerified: c.Flags.UserVerified,
		Format: c.AttestationFormat, Attestation: c.AttestationType,
	}, nil
}

func assertion(r *api.CheckRequest) (*api.CheckResult, error) {
	var o requestOptions
	if err := json.Unmarshal(r.RequestOptions, &o); err != nil {
		return nil, invalid("requestOptions: %v", err)
	}
	rp, rpID, err := party(r.Origin, o.RPID)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(r.Credential)
	if err != nil {
		return nil, failed(err)
	}
	// Section 7.2, step 5.
	allowed := len(o.Allow) == 0
	for _, a := range o.Allow {
		allowed = allowed || bytes.Equal(a.ID, parsed.RawID)
	}
	if !allowed {
		return nil, refuse("the credential is not one of allowCredentials")
	}
	// Section 7.2, step 6: without an allow list the user handle says who it is.
	if len(o.Allow) == 0 && len(parsed.Response.UserHandle) == 0 {
		return nil, refuse("no credential was named, and the response has no userHandle")
	}
	known := r.Registered
	user := account{id: known.UserID, credentials: []webauthn.Credential{{
		ID: known.CredentialID, PublicKey: known.PublicKey,
		Flags:         webauthn.CredentialFlags{BackupEligible: known.BackupEligible},
		Authenticator: webauthn.Authenticator{SignCount: known.SignCount},
	}}}
	c, err := rp.ValidateLogin(user, webauthn.SessionData{
		Challenge: o.Challenge.String(), RelyingPartyID: rpID, Origin: r.Origin, UserID: known.UserID,
		AllowedCredentialIDs: [][]byte{known.CredentialID},
		UserVerification:     protocol.UserVerificationRequirement(o.UserVerification),
		Extensions:           o.Extensions.Session(),
	}, parsed)
	if err != nil {
		return nil, failed(err)
	}
	flags := parsed.Response.AuthenticatorData.Flags
	if c.Authenticator.CloneWarning { // section 7.2, step 22
		return nil, refuse(fmt.Sprintf("the signature counter went from %d to %d: the key may have been copied",
			known.SignCount, parsed.Response.AuthenticatorData.Counter))
	}
	kept := *known
	kept.SignCount = c.Authenticator.SignCount
	return &api.CheckResult{Registered: kept, UserPresent: flags.HasUserPresent(), UserVerified: flags.HasUserVerified()}, nil
}

// party is the site: by its RP ID, which is the origin's host when the options have none.
func party(origin, rpID string) (*webauthn.WebAuthn, string, error) {
	if rpID == "" {
		u, err := url.Parse(origin)
		if err != nil || u.Hostname() == "" {
			return nil, "", invalid("origin %q is not a web origin, and the options name no RP ID", origin)
		}
		rpID = u.Hostname()
	}
	rp, err := webauthn.New(&webauthn.Config{RPID: rpID, RPDisplayName: rpID, RPOrigins: []string{origin}})
	if err != nil {
		return nil, "", invalid("%s", detail(err))
	}
	return rp, rpID, nil
}

// account is the user as the library wants to see one.
type account struct {
	id          []byte
	credentials []webauthn.Credential
}

func (a account) WebAuthnID() []byte                         { return a.id }
func (a account) WebAuthnName() string                       { return "" }
func (a account) WebAuthnDisplayName() string                { return "" }
func (a account) WebAuthnCredentials() []webauthn.Credential { return a.credentials }

// maxDetail bounds, in bytes, what of the library's words goes into an error: they may
// quote the request.
const maxDetail = 1000

func invalid(format string, a ...any) *api.Error {
	return &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf(format, a...)}
}

func refuse(why string) *api.Error {
	return &api.Error{
		Code: api.CodeVerifyFailed, Message: "the relying party refuses: " + why,
		Hint: "the response must be for these options and this origin, and unchanged",
	}
}

func failed(err error) *api.Error { return refuse(detail(err)) }

// detail gives all that the library knows of an error: what failed, and what it saw.
func detail(err error) string {
	s := err.Error()
	var p *protocol.Error
	if errors.As(err, &p) {
		// The library prints a missing cause as a nil error.
		s = strings.TrimSuffix(p.Details, ": <nil>")
		if p.DevInfo != "" && !strings.Contains(s, p.DevInfo) {
			s += ": " + strings.TrimSuffix(p.DevInfo, ": <nil>")
		}
	}
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

// aaguid writes an AAGUID as a UUID (RFC 9562, section 4).
func aaguid(b []byte) string {
	if len(b) != 16 {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
