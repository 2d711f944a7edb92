package ctap2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// PreflightRequest asks which credential of a list is on an authenticator.
type PreflightRequest struct {
	Info  *Info // what GetInfo answered; its limits for lists, ids and messages are kept
	RPID  string
	List  []CredentialDescriptor
	Token *Token // may be nil; without it credentials with credProtect level 3 stay hidden
}

// maxPreflightList is the number of credentials in one request at most, whatever an authenticator
// says about itself.
const maxPreflightList = 1024

// Preflight finds the first credential of a list that the authenticator has, without a touch, by
// assertions with the option up set to false over an all-zero hash, in as many requests as
// maxCredentialCountInList and maxMsgSize make necessary. An authenticator that refuses a list as too
// long is asked again with shorter ones. ok is false when it has none. An
// authenticator that doesn't give silent assertions answers with a status, usually
// [ErrUPRequired] or [ErrUnsupportedOption], which is returned; the caller sends the list as it is.
func (c *Client) Preflight(ctx context.Context, r PreflightRequest) (found CredentialDescriptor, ok bool, err error) {
	req := &GetAssertionRequest{
		RPID:           r.RPID,
		ClientDataHash: make([]byte, 32),
		Options:        &Options{UP: new(false)},
	}
	if r.Token != nil {
		req.Authorize(r.Token)
	}
	empty, err := Marshal(req)
	if err != nil {
		return CredentialDescriptor{}, false, err
	}
	limits := r.Info.listLimits(len(empty) + 1) // the command byte
	rest := r.candidates()
	for len(rest) > 0 {
		n := limits.prefix(rest)
		req.AllowList = rest[:n:n]
		resp, err := c.GetAssertion(ctx, req)
		switch {
		case errors.Is(err, ErrNoCredentials), errors.Is(err, ErrInvalidCredential):
			rest = rest[n:]
			continue
		case (errors.Is(err, ErrLimitExceeded) || errors.Is(err, ErrRequestTooLarge)) && n > 1:
			limits.count = n / 2 // from now on, so that a long list costs only a few refusals
			continue
		case err != nil:
			return CredentialDescriptor{}, false, err
		case resp.Credential == nil:
			return CredentialDescriptor{}, false, fmt.Errorf("%w: getAssertion: no credential", ErrResponse)
		}
		for _, d := range req.AllowList {
			if bytes.Equal(d.ID, resp.Credential.ID) {
				return d, true, nil
			}
		}
		return CredentialDescriptor{}, false, fmt.Errorf("%w: getAssertion: a credential that was not asked for", ErrResponse)
	}
	return CredentialDescriptor{}, false, nil
}

// candidates gives the credentials that can be the authenticator's, without transports, which are of no
// use to it, and without the ids that are too long to be its own.
func (r *PreflightRequest) candidates() []CredentialDescriptor {
	list := make([]CredentialDescriptor, 0, len(r.List))
	for _, d := range r.List {
		if n := r.Info.MaxCredentialIDLength; d.Type != TypePublicKey || n > 0 && uint(len(d.ID)) > n {
			continue
		}
		list = append(list, CredentialDescriptor{ID: d.ID, Type: d.Type})
	}
	return list
}

// ListFits reports whether an authenticator takes list whole, in one request for rpID whose other
// members have extra bytes beside the client data hash: neither maxCredentialCountInList (one, when it is
// not given) nor maxMsgSize is in the way. Ids that are too long for the authenticator make no difference.
func (i *Info) ListFits(rpID string, list []CredentialDescriptor, extra int) bool {
	if len(list) == 0 {
		return true
	}
	if uint(len(list)) > max(i.MaxCredentialCountInList, 1) {
		return false
	}
	// The command, the map, and keys 1 to 3 with their values.
	size := 1 + 1 + 1 + headSize(len(rpID)) + len(rpID) + 1 + 2 + 32 + 1 + headSize(len(list)) + extra
	for _, d := range list {
		size += descriptorSize(d)
	}
	return size <= i.messageLimit()
}

// maxRequest is the size of the largest message of CTAPHID in bytes (CTAP 2.2, section 11.2.4).
const maxRequest = 7609

// messageLimit is the size of the largest request that is worth sending, whatever the authenticator
// claims: lists and fragments that fit into CTAPHID messages cost little on other transports.
func (i *Info) messageLimit() int { return int(min(i.MessageSize(), maxRequest)) }

// listLimits says how long a list of credentials may be.
type listLimits struct {
	count int // credentials
	size  int // bytes, of the member of the request
}

// listLimits gives what an authenticator takes in a request that has other bytes beside the list.
func (i *Info) listLimits(other int) listLimits {
	return listLimits{
		count: int(min(max(i.MaxCredentialCountInList, 1), maxPreflightList)),
		size:  i.messageLimit() - other,
	}
}

// prefix gives the number of credentials at the start of list that go into one request, at least one
// of a list that is not empty: if that is too large, the authenticator says so.
func (l listLimits) prefix(list []CredentialDescriptor) int {
	size := 1 + headSize(l.count) // the member's key, and the array
	for n, d := range list {
		size += descriptorSize(d)
		if n > 0 && (n == l.count || size > l.size) {
			return n
		}
	}
	return len(list)
}

// descriptorSize is the number of bytes of a descriptor's CBOR.
func descriptorSize(d CredentialDescriptor) int {
	n := 1 + 3 + headSize(len(d.ID)) + len(d.ID) + 5 + headSize(len(d.Type)) + len(d.Type) // a map, "id" and "type"
	if len(d.Transports) > 0 {
		n += 11 + headSize(len(d.Transports)) // "transports"
		for _, t := range d.Transports {
			n += headSize(len(t)) + len(t)
		}
	}
	return n
}

// headSize is the number of bytes of the start of a CBOR item with n bytes or elements.
func headSize(n int) int {
	switch {
	case n < 24:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	}
	return 5
}
