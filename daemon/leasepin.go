package daemon

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// maxLeaseTokens bounds the tokens of one lease. A key forgets the token before the last one anyway, but
// for persistent ones (CTAP 2.2, section 6.5.2.1).
const maxLeaseTokens = 8

var (
	// errLeaseLastRetry says that a lease may not spend the last PIN retry.
	errLeaseLastRetry = errors.New("daemon: the lease may not spend the last PIN retry")
	// errLeaseSecret says that hmac-secret cannot go through a lease: its output is signed as the key has
	// encrypted it, for whoever it has agreed on a key with.
	errLeaseSecret = errors.New("daemon: hmac-secret does not go through a lease")
)

// pinMiddle stands between a program and a key in the PIN/UV auth protocols, as authenticator to the
// one and as platform to the other: the program never has a token that the key would take. It is
// for one goroutine.
type pinMiddle struct {
	client *ctap2.Client // speaks to the key
	// allowLast permits to spend the last PIN retry.
	allowLast bool
	// private is the key agreement key that the program sees, for both protocols.
	private *ecdh.PrivateKey
	tokens  []leaseToken // the newest last
}

// leaseToken is a pinUvAuthToken of the key, and what the program has in its place.
type leaseToken struct {
	protocol        pinuv.Protocol
	real, surrogate []byte
}

func (t leaseToken) wipe() { pinuv.Wipe(t.real, t.surrogate) }

func newPINMiddle(client *ctap2.Client, allowLast bool) (*pinMiddle, error) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("daemon: key agreement key: %w", err)
	}
	return &pinMiddle{client: client, allowLast: allowLast, private: private}, nil
}

// wipe forgets all tokens. What the program has is then worth nothing.
func (m *pinMiddle) wipe() {
	for _, t := range m.tokens {
		t.wipe()
	}
	m.tokens = nil
}

// keep remembers a token under a new surrogate.
func (m *pinMiddle) keep(protocol pinuv.Protocol, token []byte) leaseToken {
	t := leaseToken{protocol: protocol, real: token, surrogate: make([]byte, len(token))}
	_, _ = rand.Read(t.surrogate) // never fails
	if len(m.tokens) == maxLeaseTokens {
		m.tokens[0].wipe()
		m.tokens = append(m.tokens[:0], m.tokens[1:]...)
	}
	m.tokens = append(m.tokens, t)
	return t
}

// reauthenticate gives the pinUvAuthParam that the key takes for one made with a surrogate.
func (m *pinMiddle) reauthenticate(protocol pinuv.Protocol, message, param []byte) ([]byte, error) {
	if protocol == 0 {
		return nil, ctap2.ErrMissingParameter
	}
	for i := len(m.tokens) - 1; i >= 0; i-- {
		if t := m.tokens[i]; t.protocol == protocol && protocol.Verify(t.surrogate, message, param) {
			return protocol.Authenticate(t.real, message), nil
		}
	}
	return nil, ctap2.ErrPINAuthInvalid
}

// translate gives the request that goes to the key for one of the program's; the error is the
// [ctap2.Status] to answer with, or says why the daemon does not pass it on. It is not for clientPIN.
func (m *pinMiddle) translate(request []byte) ([]byte, error) {
	params := request[1:]
	switch cmd := ctap2.Cmd(request[0]); cmd {
	case ctap2.CmdMakeCredential:
		var r ctap2.MakeCredentialRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return nil, ctap2.StatusOf(err)
		}
		if r.Extensions != nil && r.Extensions.HMACSecretMC != nil {
			return nil, errLeaseSecret
		}
		// An empty parameter asks for a touch only: CTAP 2.2, section 6.1.2, step 1.
		if r.PINUVAuthParam == nil || len(*r.PINUVAuthParam) == 0 {
			return request, nil
		}
		return m.replace(request, 8, r.PINUVAuthProtocol, r.ClientDataHash, *r.PINUVAuthParam)
	case ctap2.CmdGetAssertion:
		var r ctap2.GetAssertionRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return nil, ctap2.StatusOf(err)
		}
		if r.Extensions != nil && r.Extensions.HMACSecret != nil {
			return nil, errLeaseSecret
		}
		if r.PINUVAuthParam == nil || len(*r.PINUVAuthParam) == 0 {
			return request, nil
		}
		return m.replace(request, 6, r.PINUVAuthProtocol, r.ClientDataHash, *r.PINUVAuthParam)
	case ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview:
		var r ctap2.CredentialManagementRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return nil, ctap2.StatusOf(err)
		}
		return m.replace(request, 4, r.PINUVAuthProtocol, r.Authenticated(), r.PINUVAuthParam)
	case ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview:
		var r ctap2.BioEnrollmentRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return nil, ctap2.StatusOf(err)
		}
		return m.replace(request, 5, r.PINUVAuthProtocol, r.Authenticated(), r.PINUVAuthParam)
	case ctap2.CmdConfig:
		var r ctap2.ConfigRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return nil, ctap2.StatusOf(err)
		}
		return m.replace(request, 4, r.PINUVAuthProtocol, r.Authenticated(), r.PINUVAuthParam)
	case ctap2.CmdLargeBlobs:
		var r ctap2.LargeBlobsRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return nil, ctap2.StatusOf(err)
		}
		return m.replace(request, 5, r.PINUVAuthProtocol, r.Authenticated(), r.PINUVAuthParam)
	}
	return request, nil
}

// replace puts the key's pinUvAuthParam in the place of the program's, and leaves the other members
// as they are.
func (m *pinMiddle) replace(request []byte, member uint, protocol pinuv.Protocol, message, param []byte) ([]byte, error) {
	if param == nil {
		return request, nil
	}
	ours, err := m.reauthenticate(protocol, message, param)
	if err != nil {
		return nil, err
	}
	var members map[uint]ctap2.RawMessage
	if err := ctap2.Unmarshal(request[1:], &members); err != nil {
		return nil, ctap2.StatusOf(err)
	}
	if members[member], err = ctap2.Marshal(ours); err != nil {
		return nil, fmt.Errorf("daemon: pinUvAuthParam: %w", err)
	}
	out, err := ctap2.MarshalRequest(ctap2.Cmd(request[0]), members)
	if err != nil {
		return nil, fmt.Errorf("daemon: request: %w", err)
	}
	return out, nil
}

// clientPIN answers authenticatorClientPIN; nil is success without any members. The error is the [ctap2.Status] to answer with, or says why the
// key was not asked, or what went wrong with it.
func (m *pinMiddle) clientPIN(ctx context.Context, params []byte) (*ctap2.ClientPINResponse, error) {
	var r ctap2.ClientPINRequest
	if err := ctap2.Unmarshal(params, &r); err != nil {
		return nil, ctap2.StatusOf(err)
	}
	switch r.Subcommand {
	case ctap2.SubGetPINRetries, ctap2.SubGetUVRetries:
		return m.client.ClientPIN(ctx, &r)
	case ctap2.SubGetKeyAgreement:
		// The key says whether it has the protocol.
		if _, err := m.client.ClientPIN(ctx, &r); err != nil {
			return nil, err
		}
		return &ctap2.ClientPINResponse{KeyAgreement: pinuv.PublicKey(m.private)}, nil
	case ctap2.SubSetPIN, ctap2.SubChangePIN, ctap2.SubGetPINToken,
		ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions, ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions:
		return m.relay(ctx, &r)
	}
	return nil, ctap2.ErrInvalidSubcommand
}

// relay does with the key what the program wants to do with a shared secret.
func (m *pinMiddle) relay(ctx context.Context, r *ctap2.ClientPINRequest) (*ctap2.ClientPINResponse, error) {
	if !r.PINUVAuthProtocol.Valid() {
		return nil, ctap2.ErrInvalidParameter
	}
	wantNew := r.Subcommand == ctap2.SubSetPIN || r.Subcommand == ctap2.SubChangePIN
	wantOld := r.Subcommand != ctap2.SubSetPIN && r.Subcommand != ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions
	if r.KeyAgreement == nil || wantNew && (r.NewPINEnc == nil || r.PINUVAuthParam == nil) || wantOld && r.PINHashEnc == nil {
		return nil, ctap2.ErrMissingParameter
	}
	theirs, err := r.PINUVAuthProtocol.Decapsulate(m.private, r.KeyAgreement)
	if err != nil {
		return nil, ctap2.ErrInvalidParameter
	}
	defer pinuv.Wipe(theirs)
	if wantNew {
		// CTAP 2.2, sections 6.5.5.5 and 6.5.5.6: over newPinEnc and, with a change, pinHashEnc.
		message := append(append([]byte(nil), r.NewPINEnc...), r.PINHashEnc...)
		if !r.PINUVAuthProtocol.Verify(theirs, message, r.PINUVAuthParam) {
			return nil, ctap2.ErrPINAuthInvalid
		}
	}
	if wantOld && !m.allowLast {
		if err := m.guard(ctx); err != nil {
			return nil, err
		}
	}
	peer, err := m.client.KeyAgreement(ctx, r.PINUVAuthProtocol)
	if err != nil {
		return nil, err
	}
	platform, ours, err := r.PINUVAuthProtocol.Encapsulate(peer)
	if err != nil {
		return nil, err
	}
	defer pinuv.Wipe(ours)
	out := *r
	out.KeyAgreement = platform
	if wantNew {
		if out.NewPINEnc, err = recrypt(r.PINUVAuthProtocol, theirs, ours, r.NewPINEnc, pinuv.PaddedPINSize); err != nil {
			return nil, err
		}
	}
	if wantOld {
		if out.PINHashEnc, err = recrypt(r.PINUVAuthProtocol, theirs, ours, r.PINHashEnc, len(pinuv.PINHash(nil))); err != nil {
			return nil, err
		}
	}
	if wantNew {
		out.PINUVAuthParam = r.PINUVAuthProtocol.Authenticate(ours, append(append([]byte(nil), out.NewPINEnc...), out.PINHashEnc...))
	}
	response, err := m.client.ClientPIN(ctx, &out)
	if err != nil || response.PINUVAuthToken == nil {
		return nil, err
	}
	token, err := r.PINUVAuthProtocol.Decrypt(ours, response.PINUVAuthToken)
	if err != nil || !r.PINUVAuthProtocol.ValidTokenSize(len(token)) {
		return nil, fmt.Errorf("%w: clientPIN: token of %d bytes", ctap2.ErrResponse, len(token))
	}
	enc, err := r.PINUVAuthProtocol.Encrypt(theirs, m.keep(r.PINUVAuthProtocol, token).surrogate)
	if err != nil {
		return nil, err
	}
	return &ctap2.ClientPINResponse{PINUVAuthToken: enc}, nil
}

// guard refuses what could spend the last PIN retry.
func (m *pinMiddle) guard(ctx context.Context) error {
	retries, _, err := m.client.PINRetries(ctx)
	if err == nil && retries == 1 {
		return errLeaseLastRetry
	}
	return err
}

// recrypt takes what is encrypted with one shared secret to the other one.
func recrypt(protocol pinuv.Protocol, from, to, data []byte, size int) ([]byte, error) {
	plain, err := protocol.Decrypt(from, data)
	if err != nil || len(plain) != size {
		pinuv.Wipe(plain)
		// CTAP 2.2, section 6.5.5.5, step 5.6: a wrong length is an invalid parameter.
		return nil, ctap2.ErrInvalidParameter
	}
	defer pinuv.Wipe(plain)
	return protocol.Encrypt(to, plain)
}
