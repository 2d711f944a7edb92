package ctap2

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/cose"
)

// ErrNotSupported says that an authenticator does not have what is asked of it, by what it said in
// getInfo; it has not been asked.
var ErrNotSupported = errors.New("ctap2: not supported by the authenticator")

// MaxListed is the number of relying parties, credentials or fingerprints that a client reads at
// most in one listing, whatever total an authenticator claims.
const MaxListed = 4096

// CredentialManagement sends one authenticatorCredentialManagement request as it is (CTAP 2.3,
// section 6.8), with preview as the prototype command of authenticators with [VersionFIDO21P].
func (c *Client) CredentialManagement(ctx context.Context, r *CredentialManagementRequest, preview bool) (*CredentialManagementResponse, error) {
	cmd := CmdCredentialManagement
	if preview {
		cmd = CmdCredentialManagementPreview
	}
	resp := new(CredentialManagementResponse)
	return reply(resp, c.do(ctx, command{cmd: cmd, sub: uint(r.Subcommand), params: r, empty: true}, resp))
}

// CredentialManager lists and changes the discoverable credentials of an authenticator (CTAP 2.3,
// section 6.8). Methods take turns: a listing that another command interrupts fails.
type CredentialManager struct {
	c       *Client
	token   *Token
	preview bool
}

// CredentialManager gives the manager of an authenticator that answered GetInfo with info. token has
// the permission cm, or pcmr for reading only; the caller keeps it and wipes it after the last use.
// The error is [ErrNotSupported] when the authenticator has neither the command nor its prototype.
func (c *Client) CredentialManager(info *Info, token *Token) (*CredentialManager, error) {
	m := &CredentialManager{c: c, token: token}
	switch {
	case info.isOn(OptionCredMgmt):
	case info.isOn(OptionCredMgmtPreview):
		m.preview = true
	default:
		return nil, fmt.Errorf("%w: credential management", ErrNotSupported)
	}
	return m, nil
}

// isOn reports whether an option is there and true.
func (i *Info) isOn(option string) bool { return i.Options[option] }

// ManagedRP is a relying party that has discoverable credentials on an authenticator.
type ManagedRP struct {
	RP       RP // the authenticator may have cut the ID and the name, or know neither
	RPIDHash [32]byte
}

// ManagedCredential is a discoverable credential as an authenticator lists it.
type ManagedCredential struct {
	User              User // the authenticator may have cut the names
	CredentialID      CredentialDescriptor
	PublicKey         cose.Key   // zero when it is of a kind that cose does not know
	PublicKeyRaw      RawMessage // the key as it came
	CredProtect       CredProtect
	LargeBlobKey      []byte // nil when the credential has none
	ThirdPartyPayment bool
}

// Metadata counts the discoverable credentials, and how many there is room for at most (CTAP 2.3,
// section 6.8.2).
func (m *CredentialManager) Metadata(ctx context.Context) (existing, remaining uint, err error) {
	resp, err := m.send(ctx, SubGetCredsMetadata, nil, true)
	if err != nil {
		return 0, 0, err
	}
	if resp.ExistingCredentials == nil || resp.RemainingCredentials == nil {
		return 0, 0, fmt.Errorf("%w: credentialManagement: no metadata", ErrResponse)
	}
	return *resp.ExistingCredentials, *resp.RemainingCredentials, nil
}

// RPs lists the relying parties that have discoverable credentials (CTAP 2.3, section 6.8.3). When
// there are none the list is empty and there is no error.
func (m *CredentialManager) RPs(ctx context.Context) ([]ManagedRP, error) {
	total := func(r *CredentialManagementResponse) *uint { return r.TotalRPs }
	return enumerate(ctx, m, SubEnumerateRPsBegin, SubEnumerateRPsGetNextRP, nil, total, managedRP)
}

// Credentials lists the discoverable credentials of one relying party, by the SHA-256 of its ID
// (CTAP 2.3, section 6.8.4). When there are none the list is empty and there is no error.
func (m *CredentialManager) Credentials(ctx context.Context, rpIDHash [32]byte) ([]ManagedCredential, error) {
	params := &CredentialManagementParams{RPIDHash: rpIDHash[:]}
	total := func(r *CredentialManagementResponse) *uint { return r.TotalCredentials }
	return enumerate(ctx, m, SubEnumerateCredentialsBegin, SubEnumerateCredentialsGetNext, params, total, managedCredential)
}

// Delete removes a discoverable credential (CTAP 2.3, section 6.8.5); [ErrNoCredentials] says that
// it is not there.
func (m *CredentialManager) Delete(ctx context.Context, id CredentialDescriptor) error {
	_, err := m.send(ctx, SubDeleteCredential, &CredentialManagementParams{CredentialID: bare(id)}, true)
	return err
}

// UpdateUser replaces the name and display name of a discoverable credential's user (CTAP 2.3,
// section 6.8.6); an empty one is removed. user.ID must be the one that the credential has. The
// prototype command does not have it.
func (m *CredentialManager) UpdateUser(ctx context.Context, id CredentialDescriptor, user User) error {
	_, err := m.send(ctx, SubUpdateUserInformation, &CredentialManagementParams{CredentialID: bare(id), User: &user}, true)
	return err
}

// bare leaves out the transports, which are of no use to the authenticator.
func bare(id CredentialDescriptor) *CredentialDescriptor {
	return &CredentialDescriptor{ID: id.ID, Type: id.Type}
}

// send makes one exchange. The subcommands that go on with a listing are not authenticated
// (CTAP 2.3, section 6.8).
func (m *CredentialManager) send(ctx context.Context, sub CredentialManagementSubcommand, params *CredentialManagementParams, authenticated bool) (*CredentialManagementResponse, error) {
	r := &CredentialManagementRequest{Subcommand: sub}
	if params != nil {
		raw, err := Marshal(params)
		if err != nil {
			return nil, err
		}
		r.SubcommandParams = raw
	}
	if authenticated && m.token != nil {
		r.Authorize(m.token)
	}
	return m.c.CredentialManagement(ctx, r, m.preview)
}

// enumerate makes a list with a first subcommand, whose answer has the total, and a next one.
func enumerate[T any](
	ctx context.Context, m *CredentialManager, first, next CredentialManagementSubcommand, params *CredentialManagementParams,
	total func(*CredentialManagementResponse) *uint, item func(*CredentialManagementResponse) (T, error),
) ([]T, error) {
	resp, err := m.send(ctx, first, params, true)
	if errors.Is(err, ErrNoCredentials) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	n := total(resp)
	switch {
	case n == nil:
		return nil, fmt.Errorf("%w: credentialManagement: no total", ErrResponse)
	case *n == 0: // instead of the status
		return nil, nil
	case *n > MaxListed:
		return nil, fmt.Errorf("%w: credentialManagement: a total of %d", ErrResponse, *n)
	}
	var list []T // grows with what comes, not with what is promised
	for {
		v, err := item(resp)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if uint(len(list)) == *n {
			return list, nil
		}
		resp, err = m.send(ctx, next, nil, false)
		switch {
		case errors.Is(err, ErrNotAllowed), errors.Is(err, ErrNoCredentials):
			// CTAP 2.3, sections 6.8.3 and 6.8.4: there is no listing to go on with. Either the total
			// was wrong, or another command came in between.
			return nil, fmt.Errorf("%w: credentialManagement: %d of %d: %w", ErrResponse, len(list), *n, err)
		case err != nil:
			return nil, err
		}
	}
}

func managedRP(r *CredentialManagementResponse) (ManagedRP, error) {
	if len(r.RPIDHash) != 32 {
		return ManagedRP{}, fmt.Errorf("%w: credentialManagement: rpIDHash of %d bytes", ErrResponse, len(r.RPIDHash))
	}
	rp := ManagedRP{RPIDHash: [32]byte(r.RPIDHash)}
	if r.RP != nil {
		rp.RP = *r.RP
	}
	return rp, nil
}

func managedCredential(r *CredentialManagementResponse) (ManagedCredential, error) {
	switch {
	case r.User == nil:
		return ManagedCredential{}, fmt.Errorf("%w: credentialManagement: no user", ErrResponse)
	case r.CredentialID == nil || len(r.CredentialID.ID) == 0:
		return ManagedCredential{}, fmt.Errorf("%w: credentialManagement: no credentialID", ErrResponse)
	case r.PublicKeyRaw == nil:
		return ManagedCredential{}, fmt.Errorf("%w: credentialManagement: no publicKey", ErrResponse)
	case r.LargeBlobKey != nil && len(r.LargeBlobKey) != LargeBlobKeySize:
		return ManagedCredential{}, fmt.Errorf("%w: credentialManagement: largeBlobKey of %d bytes", ErrResponse, len(r.LargeBlobKey))
	}
	v := ManagedCredential{
		User: *r.User, CredentialID: *r.CredentialID, PublicKeyRaw: r.PublicKeyRaw, CredProtect: r.CredProtect,
		LargeBlobKey: r.LargeBlobKey, ThirdPartyPayment: r.ThirdPartyPayment != nil && *r.ThirdPartyPayment,
	}
	if v.CredentialID.Type == "" {
		v.CredentialID.Type = TypePublicKey
	}
	if r.PublicKey != nil {
		v.PublicKey = *r.PublicKey
	}
	return v, nil
}
