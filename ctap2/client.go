package ctap2

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
)

// ErrResponse says that an authenticator's response is not one: empty, larger than
// [MaxMessageSize], not to be decoded (a [*DecodeError] is in the chain then), or lacking what the
// request makes necessary.
var ErrResponse = errors.New("ctap2: invalid response")

// Authenticator is what a platform wants of a key, whichever protocol it speaks: [*Client]
// and [*U2FClient] have it.
type Authenticator interface {
	GetInfo(ctx context.Context) (*Info, error)
	MakeCredential(ctx context.Context, r *MakeCredentialRequest) (*MakeCredentialResponse, error)
	GetAssertion(ctx context.Context, r *GetAssertionRequest) (*GetAssertionResponse, error)
	GetNextAssertion(ctx context.Context) (*GetAssertionResponse, error)
	Select(ctx context.Context, info *Info) error
}

// Client sends commands to one authenticator and reads its answers. It caches nothing and
// repeats nothing: each method is one command, or the exchanges that the specification
// prescribes for it, and at most one attempt at a PIN.
//
// A status other than [StatusOK] is returned as an [*Error]; errors of the transport are wrapped;
// what can't be read is [ErrResponse]. A Client has no state, but
// an authenticator does one thing at a time: whoever shares it takes turns.
type Client struct {
	t         Transport
	keepalive func(status byte)
}

// NewClient makes a Client. keepalive, which may be nil, is called as [Transport] says.
func NewClient(t Transport, keepalive func(status byte)) *Client {
	return &Client{t: t, keepalive: keepalive}
}

// WithKeepalive gives a Client of the same authenticator that calls another function.
func (c *Client) WithKeepalive(keepalive func(status byte)) *Client {
	return NewClient(c.t, keepalive)
}

// GetInfo asks what the authenticator is and can do (CTAP 2.2, section 6.4). The answer changes with
// PIN and configuration; the caller decides how long it keeps it.
func (c *Client) GetInfo(ctx context.Context) (*Info, error) {
	info := new(Info)
	return reply(info, c.do(ctx, command{cmd: CmdGetInfo}, info))
}

// MakeCredential creates a credential (CTAP 2.2, section 6.1). The option uv is not sent when it is
// false.
func (c *Client) MakeCredential(ctx context.Context, r *MakeCredentialRequest) (*MakeCredentialResponse, error) {
	sent := *r
	sent.Options = r.Options.withoutFalseUV()
	resp := new(MakeCredentialResponse)
	return reply(resp, c.do(ctx, command{cmd: CmdMakeCredential, params: &sent}, resp))
}

// GetAssertion makes a credential sign (CTAP 2.2, section 6.2). When the allow list has one entry
// and the authenticator leaves out the credential, it is filled in. The option uv is not sent when
// it is false.
func (c *Client) GetAssertion(ctx context.Context, r *GetAssertionRequest) (*GetAssertionResponse, error) {
	sent := *r
	sent.Options = r.Options.withoutFalseUV()
	resp := new(GetAssertionResponse)
	if err := c.do(ctx, command{cmd: CmdGetAssertion, params: &sent}, resp); err != nil {
		return nil, err
	}
	if resp.Credential == nil && len(r.AllowList) == 1 {
		// CTAP 2.2, section 6.2, response structure: credential is optional then.
		only := r.AllowList[0]
		only.Transports = nil
		resp.Credential = &only
	}
	return resp, nil
}

// GetNextAssertion gets the next of the NumberOfCredentials assertions of the last
// GetAssertion (CTAP 2.2, section 6.3).
func (c *Client) GetNextAssertion(ctx context.Context) (*GetAssertionResponse, error) {
	resp := new(GetAssertionResponse)
	return reply(resp, c.do(ctx, command{cmd: CmdGetNextAssertion}, resp))
}

// ClientPIN sends one authenticatorClientPIN request as it is (CTAP 2.2, section 6.5.5).
func (c *Client) ClientPIN(ctx context.Context, r *ClientPINRequest) (*ClientPINResponse, error) {
	resp := new(ClientPINResponse)
	return reply(resp, c.do(ctx, command{cmd: CmdClientPIN, sub: uint(r.Subcommand), params: r, empty: true}, resp))
}

// Reset makes the authenticator forget everything (CTAP 2.2, section 6.6). Most want to have been
// plugged in less than 10 seconds ago and be touched.
func (c *Client) Reset(ctx context.Context) error {
	return c.do(ctx, command{cmd: CmdReset}, nil)
}

// Selection waits for a touch (CTAP 2.1, section 6.9). Authenticators older than CTAP 2.1 don't have
// it: [Client.Select].
func (c *Client) Selection(ctx context.Context) error {
	return c.do(ctx, command{cmd: CmdSelection}, nil)
}

// Select waits for a touch on any authenticator of CTAP 2: with authenticatorSelection, or on
// those that are older with a makeCredential that creates nothing (CTAP 2.2, section 6.1.2, step 1).
// info is what GetInfo answered.
func (c *Client) Select(ctx context.Context, info *Info) error {
	if info.Supports(VersionFIDO21) || info.Supports(VersionFIDO22) || info.Supports(VersionFIDO23) {
		return c.Selection(ctx)
	}
	r := touchRequest()
	if p := info.Protocol(); p.Valid() {
		r.PINUVAuthParam, r.PINUVAuthProtocol = new([]byte), p
	}
	_, err := c.MakeCredential(ctx, r)
	switch StatusOf(err) {
	// After the touch the empty pinUvAuthParam is answered with one of these; an authenticator
	// that looks at no PIN makes a credential that it does not keep.
	case StatusOK, ErrPINInvalid, ErrPINAuthInvalid, ErrPINNotSet:
		return nil
	}
	return err
}

// touchRequest asks for a credential that nobody will use.
func touchRequest() *MakeCredentialRequest {
	return &MakeCredentialRequest{
		ClientDataHash:   make([]byte, 32),
		RP:               RP{ID: ".touch", Name: "touch"}, // no domain can be called so
		User:             User{ID: []byte{1}, Name: "touch"},
		PubKeyCredParams: []CredentialParameter{{Alg: cose.ES256, Type: TypePublicKey}},
	}
}

// command is one exchange.
type command struct {
	cmd    Cmd
	sub    uint // for errors
	params any
	empty  bool // the response may have no data
}

// do sends a command and reads its response into resp, if there is one.
func (c *Client) do(ctx context.Context, cmd command, resp any) error {
	request, err := MarshalRequest(cmd.cmd, cmd.params)
	if err != nil {
		return err
	}
	response, err := c.t.CBOR(ctx, request, c.keepalive)
	if err != nil {
		return fmt.Errorf("ctap2: %v: %w", cmd.cmd, err)
	}
	switch {
	case len(response) == 0:
		return fmt.Errorf("%w: %v: empty", ErrResponse, cmd.cmd)
	case len(response) > MaxMessageSize:
		return fmt.Errorf("%w: %v: %d bytes", ErrResponse, cmd.cmd, len(response))
	}
	if status := Status(response[0]); status != StatusOK {
		err := &Error{Cmd: cmd.cmd, Subcommand: cmd.sub, Status: status}
		if status == ErrKeepaliveCancel && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		return err
	}
	data := response[1:]
	if resp == nil || len(data) == 0 && cmd.empty {
		return nil
	}
	if len(data) == 0 {
		return fmt.Errorf("%w: %v: no data", ErrResponse, cmd.cmd)
	}
	if err := UnmarshalLenient(data, resp); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrResponse, cmd.cmd, err)
	}
	return nil
}

// reply gives v or err, never both.
func reply[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
