package ctap2

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
)

// This file is the chapter "Interoperating with CTAP1/U2F authenticators" (CTAP 2.2, section
// 10): requests of CTAP 2 for keys that speak only CTAP 1.

// MakeCredentialToRegister turns a request into its U2F form. U2F can't do everything: the error
// is [ErrUnsupportedAlgorithm] when ES256 is not among the algorithms, [ErrUnsupportedOption]
// when a discoverable credential, user verification or a PIN/UV token is asked for,
// [ErrInvalidParameter] for anything else that U2F has no room for. Extensions are left
// out, as an authenticator does that doesn't know them. The exclude list is the caller's business.
func MakeCredentialToRegister(r *MakeCredentialRequest) (u2f.RegisterRequest, error) {
	fail := func(s Status) (u2f.RegisterRequest, error) {
		return u2f.RegisterRequest{}, &Error{Cmd: CmdMakeCredential, Status: s}
	}
	// CTAP 2.2, section 10.2, step 1.
	if _, ok := r.Algorithm(cose.ES256); !ok {
		return fail(ErrUnsupportedAlgorithm)
	}
	if o := r.Options; o != nil && (isTrue(o.RK) || isTrue(o.UV)) || r.PINUVAuthParam != nil {
		return fail(ErrUnsupportedOption)
	}
	if len(r.ClientDataHash) != sha256.Size || r.EnterpriseAttestation != 0 {
		return fail(ErrInvalidParameter)
	}
	return u2f.RegisterRequest{
		Challenge:   [32]byte(r.ClientDataHash),
		Application: sha256.Sum256([]byte(r.RP.ID)),
	}, nil
}

// RegisterToMakeCredential turns the answer to a U2F registration into an answer of
// makeCredential with an attestation of format "fido-u2f" (CTAP 2.2, section 10.2, step 4; WebAuthn
// Level 3, section 8.6). A public key that is not on the curve is an error.
func RegisterToMakeCredential(rpID string, r u2f.RegisterResponse) (*MakeCredentialResponse, error) {
	key := cose.Key{
		KeyType: cose.KeyTypeEC2,
		Alg:     cose.ES256,
		Curve:   cose.CurveP256,
		X:       r.PublicKey[1:33],
		Y:       r.PublicKey[33:],
	}
	if _, err := key.Public(); r.PublicKey[0] != 4 || err != nil {
		return nil, fmt.Errorf("%w: u2f public key is not a point on P-256", ErrResponse)
	}
	authData, err := (&AuthData{
		RPIDHash:     sha256.Sum256([]byte(rpID)),
		Flags:        FlagUP | FlagAT, // a U2F key registers with a touch only
		CredentialID: r.KeyHandle,     // the AAGUID and the counter are zero
		PublicKey:    key,
	}).Marshal()
	if err != nil {
		return nil, err
	}
	attStmt, err := Marshal(FIDOU2FStatement{Sig: r.Signature, X5C: [][]byte{r.Certificate}})
	if err != nil {
		return nil, err
	}
	return &MakeCredentialResponse{Fmt: FormatFIDOU2F, AuthData: authData, AttStmt: attStmt}, nil
}

// AssertionToAuthenticate turns a request into the U2F form for the one credential called id.
// The option up set to false asks for a signature without a touch, which not every key gives. The
// error is [ErrUnsupportedOption] when user verification or a PIN/UV token is asked for,
// [ErrInvalidParameter] when the hash is not one.
func AssertionToAuthenticate(r *GetAssertionRequest, id []byte) (u2f.AuthenticateRequest, error) {
	fail := func(s Status) (u2f.AuthenticateRequest, error) {
		return u2f.AuthenticateRequest{}, &Error{Cmd: CmdGetAssertion, Status: s}
	}
	// CTAP 2.2, section 10.3, step 1.
	if r.Options != nil && isTrue(r.Options.UV) || r.PINUVAuthParam != nil {
		return fail(ErrUnsupportedOption)
	}
	if len(r.ClientDataHash) != sha256.Size {
		return fail(ErrInvalidParameter)
	}
	control := u2f.ControlEnforce
	if r.Options != nil && r.Options.UP != nil && !*r.Options.UP {
		control = u2f.ControlDontEnforce
	}
	return u2f.AuthenticateRequest{
		Control:     control,
		Challenge:   [32]byte(r.ClientDataHash),
		Application: sha256.Sum256([]byte(r.RPID)),
		KeyHandle:   id,
	}, nil
}

// AuthenticateToAssertion turns the answer to a U2F authentication with a key handle into an answer
// of getAssertion (CTAP 2.2, section 10.3, step 3). The user presence byte becomes the flags, because it
// is what the key has signed.
func AuthenticateToAssertion(rpID string, keyHandle []byte, r u2f.AuthenticateResponse) (*GetAssertionResponse, error) {
	flags := Flags(r.UserPresence)
	if flags&^FlagUP != 0 {
		// Reserved bits would read as flags of WebAuthn.
		return nil, fmt.Errorf("%w: u2f user presence %#02x", ErrResponse, r.UserPresence)
	}
	authData, err := (&AuthData{
		RPIDHash:  sha256.Sum256([]byte(rpID)),
		Flags:     flags,
		SignCount: r.Counter,
	}).Marshal()
	if err != nil {
		return nil, err
	}
	return &GetAssertionResponse{
		Credential: &CredentialDescriptor{ID: keyHandle, Type: TypePublicKey},
		AuthData:   authData,
		Signature:  r.Signature,
	}, nil
}

// U2FClient makes a key that speaks only U2F usable like one that speaks CTAP 2, as far as U2F
// goes. What it can't do is refused with an [*Error] before the key is asked. It is for one
// goroutine at a time.
type U2FClient struct {
	c         u2f.Client
	keepalive func(status byte)
}

// NewU2FClient makes a U2FClient. keepalive, which may be nil, is told [KeepaliveUPNeeded]
// while the key waits for a touch.
func NewU2FClient(t u2f.Transport, keepalive func(status byte)) *U2FClient {
	return &U2FClient{c: u2f.Client{Transport: t}, keepalive: keepalive}
}

// GetInfo gives what an answer of getInfo would say about the key. It asks for the key's version.
func (c *U2FClient) GetInfo(ctx context.Context) (*Info, error) {
	version, err := c.c.Version(ctx)
	if err != nil {
		return nil, err
	}
	if version != u2f.Version2 {
		return nil, fmt.Errorf("%w: u2f version %.16q", ErrResponse, version)
	}
	return &Info{
		Versions:                 []string{VersionU2F},
		MaxCredentialIDLength:    u2f.MaxKeyHandle,
		MaxCredentialCountInList: 1,
		Algorithms:               []CredentialParameter{{Alg: cose.ES256, Type: TypePublicKey}},
	}, nil
}

// MakeCredential registers (CTAP 2.2, section 10.2). When a credential of the exclude list is the
// key's it waits for a touch, so that nobody learns this from the timing, and
// returns [ErrCredentialExcluded].
func (c *U2FClient) MakeCredential(ctx context.Context, r *MakeCredentialRequest) (*MakeCredentialResponse, error) {
	req, err := MakeCredentialToRegister(r)
	if err != nil {
		return nil, err
	}
	_, excluded, err := c.find(ctx, req.Application, r.ExcludeList)
	if err != nil {
		return nil, err
	}
	if excluded {
		if err := c.touch(ctx); err != nil {
			return nil, err
		}
		return nil, &Error{Cmd: CmdMakeCredential, Status: ErrCredentialExcluded}
	}
	resp, err := c.c.Register(ctx, req, c.keepalive)
	if err != nil {
		return nil, err
	}
	return RegisterToMakeCredential(r.RP.ID, resp)
}

// GetAssertion authenticates with the first credential of the allow list that is the key's
// (CTAP 2.2, section 10.3). The key is asked without a touch; when it has none, or the list is
// empty, the error is [ErrNoCredentials] and the key does not blink.
func (c *U2FClient) GetAssertion(ctx context.Context, r *GetAssertionRequest) (*GetAssertionResponse, error) {
	// The conditions come before the key is asked.
	req, err := AssertionToAuthenticate(r, nil)
	if err != nil {
		return nil, err
	}
	d, ok, err := c.find(ctx, req.Application, r.AllowList)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &Error{Cmd: CmdGetAssertion, Status: ErrNoCredentials}
	}
	req.KeyHandle = d.ID
	resp, err := c.c.Authenticate(ctx, req, c.keepalive)
	switch {
	case errors.Is(err, u2f.ErrWrongData):
		return nil, fmt.Errorf("%w: %w", &Error{Cmd: CmdGetAssertion, Status: ErrInvalidCredential}, err)
	case errors.Is(err, u2f.ErrConditionsNotSatisfied): // without a touch, which was not to be
		return nil, fmt.Errorf("%w: %w", &Error{Cmd: CmdGetAssertion, Status: ErrUPRequired}, err)
	case err != nil:
		return nil, err
	}
	return AuthenticateToAssertion(r.RPID, d.ID, resp)
}

// GetNextAssertion always fails with [ErrNotAllowed]: U2F has one assertion at a time.
func (c *U2FClient) GetNextAssertion(context.Context) (*GetAssertionResponse, error) {
	return nil, &Error{Cmd: CmdGetNextAssertion, Status: ErrNotAllowed}
}

// Select waits for a touch, by a registration that nobody will use. info is not looked at.
func (c *U2FClient) Select(ctx context.Context, _ *Info) error { return c.touch(ctx) }

// find gives the first of list that is the key's.
func (c *U2FClient) find(ctx context.Context, application [32]byte, list []CredentialDescriptor) (CredentialDescriptor, bool, error) {
	for _, d := range list {
		if d.Type != TypePublicKey || len(d.ID) > u2f.MaxKeyHandle {
			continue
		}
		ok, err := c.c.CheckOnly(ctx, application, d.ID)
		if err != nil {
			return CredentialDescriptor{}, false, err
		}
		if ok {
			return d, true, nil
		}
	}
	return CredentialDescriptor{}, false, nil
}

func (c *U2FClient) touch(ctx context.Context) error {
	r := touchRequest()
	_, err := c.c.Register(ctx, u2f.RegisterRequest{
		Challenge:   [32]byte(r.ClientDataHash),
		Application: sha256.Sum256([]byte(r.RP.ID)),
	}, c.keepalive)
	return err
}

func isTrue(b *bool) bool { return b != nil && *b }
