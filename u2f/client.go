package u2f

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/u2f/apdu"
)

// Transport carries raw APDUs to a key. ctaphid.Channel and softkey.Authenticator
// have its method. keepalive may be nil.
type Transport interface {
	MSG(ctx context.Context, apdu []byte, keepalive func(status byte)) (response []byte, err error)
}

// StatusUPNeeded is what keepalive functions are told while the key waits to be
// touched. It is CTAPHID's number for that.
const StatusUPNeeded byte = 2

// PollInterval is how long a [Client] waits before it asks again whether the key
// has been touched.
const PollInterval = 200 * time.Millisecond

// Client speaks U2F to a key. Set Transport; the rest may be left alone. It is for
// one goroutine at a time.
//
// Requests have extended lengths (Raw, section 3.1; U2F HID requires them) until the
// key answers one with [ErrWrongLength]; from then on they are short.
//
// Statuses other than 9000 come back as errors that errors.Is finds.
type Client struct {
	Transport Transport

	short bool
}

// Register makes a key pair. It asks again and again until the key has been touched
// or ctx ends, whose cause it then returns. keepalive, if not nil, is told
// [StatusUPNeeded] once when the key begins to wait.
func (c *Client) Register(ctx context.Context, req RegisterRequest, keepalive func(status byte)) (RegisterResponse, error) {
	data, err := c.poll(ctx, req.Command(), keepalive)
	if err != nil {
		return RegisterResponse{}, fmt.Errorf("u2f: register: %w", err)
	}
	return ParseRegisterResponse(data)
}

// Authenticate makes a signature. With [ControlEnforce] it waits for a touch as
// Register does. [ControlCheckOnly] is for CheckOnly. A key handle that is not the
// key's gives [ErrWrongData].
func (c *Client) Authenticate(ctx context.Context, req AuthenticateRequest, keepalive func(status byte)) (AuthenticateResponse, error) {
	command, err := req.Command()
	if err != nil {
		return AuthenticateResponse{}, err
	}
	var data []byte
	if req.Control == ControlEnforce {
		data, err = c.poll(ctx, command, keepalive)
	} else {
		data, err = c.do(ctx, command, keepalive)
	}
	if err != nil {
		return AuthenticateResponse{}, fmt.Errorf("u2f: authenticate: %w", err)
	}
	return ParseAuthenticateResponse(data)
}

// CheckOnly says whether keyHandle is the key's for the application, without a
// touch (Raw, section 5.1, control byte 0x07).
func (c *Client) CheckOnly(ctx context.Context, application [32]byte, keyHandle []byte) (bool, error) {
	command, err := AuthenticateRequest{Control: ControlCheckOnly, Application: application, KeyHandle: keyHandle}.Command()
	if err != nil {
		return false, err
	}
	_, err = c.do(ctx, command, nil)
	switch {
	case errors.Is(err, ErrConditionsNotSatisfied):
		return true, nil
	case errors.Is(err, ErrWrongData):
		return false, nil
	case err == nil:
		return false, fmt.Errorf("%w: key signed although asked only to check", ErrMalformed)
	}
	return false, fmt.Errorf("u2f: check: %w", err)
}

// Version returns the version that the key speaks, [Version2]. Keys of before U2F
// 1.0 give [ErrInsNotSupported].
func (c *Client) Version(ctx context.Context) (string, error) {
	data, err := c.do(ctx, VersionCommand(), nil)
	if err != nil {
		return "", fmt.Errorf("u2f: version: %w", err)
	}
	return string(data), nil
}

// poll repeats a command until the key has been touched. The key forgets a request
// when it has answered it, so there is nothing to cancel.
func (c *Client) poll(ctx context.Context, command apdu.Command, keepalive func(byte)) ([]byte, error) {
	told := keepalive == nil
	tell := func(status byte) {
		// Some keys wait by themselves, and say so.
		if status == StatusUPNeeded && !told {
			told = true
			keepalive(StatusUPNeeded)
		}
	}
	var timer *time.Timer
	for {
		data, err := c.do(ctx, command, tell)
		if !errors.Is(err, ErrConditionsNotSatisfied) {
			return data, err
		}
		tell(StatusUPNeeded)
		if timer == nil {
			timer = time.NewTimer(PollInterval)
			defer timer.Stop()
		} else {
			timer.Reset(PollInterval)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// do sends a command and returns the response's data.
func (c *Client) do(ctx context.Context, command apdu.Command, keepalive func(byte)) ([]byte, error) {
	send := func(ctx context.Context, b []byte) ([]byte, error) {
		return c.Transport.MSG(ctx, b, keepalive)
	}
	if !c.short {
		command.Le = apdu.MaxExtendedLe
		b, err := command.Extended()
		if err != nil {
			return nil, err
		}
		r, err := apdu.Exchange(ctx, send, command.CLA, b)
		if err != nil {
			return nil, err
		}
		if r.SW != ErrWrongLength {
			return r.Data, r.SW.Err()
		}
	}
	command.Le = apdu.MaxShortLe
	chain, err := command.Chained()
	if err != nil {
		return nil, err
	}
	r, err := apdu.Exchange(ctx, send, command.CLA, chain...)
	if err != nil {
		return nil, err
	}
	if r.SW != ErrWrongLength {
		c.short = true
	}
	return r.Data, r.SW.Err()
}
