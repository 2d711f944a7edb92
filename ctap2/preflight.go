package ctap2

import (
	"context"
	"errors"
	"fmt"
)

// PreflightRequest asks which credential of a list is on an authenticator.
type PreflightRequest struct {
	Info  *Info // what GetInfo answered; its limits for lists and ids are kept
	RPID  string
	List  []CredentialDescriptor
	Token *Token // may be nil; without it credentials with credProtect level 3 stay hidden
}

// Preflight finds the first credential of a list that the authenticator has, without a touch, by
// assertions with the option up set to false over an all-zero hash, in as many requests as
// maxCredentialCountInList makes necessary. ok is false when it has none. An
// authenticator that doesn't give silent assertions answers with a status, usually
// [ErrUPRequired] or [ErrUnsupportedOption], which is returned; the caller sends the list as it is.
func (c *Client) Preflight(ctx context.Context, r PreflightRequest) (found CredentialDescriptor, ok bool, err error) {
	up := false
	for list := range r.chunks() {
		req := &GetAssertionRequest{
			RPID:           r.RPID,
			ClientDataHash: make([]byte, 32),
			AllowList:      list,
			Options:        &Options{UP: &up},
		}
		if r.Token != nil {
			req.Authorize(r.Token)
		}
		resp, err := c.GetAssertion(ctx, req)
		switch {
		case errors.Is(err, ErrNoCredentials), errors.Is(err, ErrInvalidCredential):
			continue
		case err != nil:
			return CredentialDescriptor{}, false, err
		case resp.Credential == nil:
			return CredentialDescriptor{}, false, fmt.Errorf("%w: getAssertion: no credential", ErrResponse)
		}
		return *resp.Credential, true, nil
	}
	return CredentialDescriptor{}, false, nil
}

// chunks gives the list in pieces that the authenticator takes, without the ids that
// are too long to be its own.
func (r *PreflightRequest) chunks() func(yield func([]CredentialDescriptor) bool) {
	size := int(min(max(r.Info.MaxCredentialCountInList, 1), 1024))
	return func(yield func([]CredentialDescriptor) bool) {
		var chunk []CredentialDescriptor
		for _, d := range r.List {
			if n := r.Info.MaxCredentialIDLength; d.Type != TypePublicKey || n > 0 && uint(len(d.ID)) > n {
				continue
			}
			// What the platform knows about transports is of no use to the authenticator.
			chunk = append(chunk, CredentialDescriptor{ID: d.ID, Type: d.Type})
			if len(chunk) == size {
				if !yield(chunk) {
					return
				}
				chunk = nil
			}
		}
		if len(chunk) > 0 {
			yield(chunk)
		}
	}
}
