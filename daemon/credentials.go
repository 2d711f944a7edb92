package daemon

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
)

// managesCredentials is what a wish for a key that tells of its credentials looks at.
func managesCredentials(_ context.Context, s *session) (bool, error) {
	if s.client != nil {
		final, _ := s.info.Option(ctap2.OptionCredMgmt)
		preview, _ := s.info.Option(ctap2.OptionCredMgmtPreview)
		if final || preview {
			return true, nil
		}
	}
	return false, s.lacks("does not tell of its credentials", "use a key of CTAP 2.1 or later; on this one, only a reset takes credentials away: all of them")
}

// lacks is the error of a key that does not have something.
func (s *session) lacks(what, hint string) error {
	return &api.Error{Code: api.CodeUnsupported, Message: s.key.Name() + " " + what, Hint: hint, Key: s.key.ID()}
}

// site is a relying party on a key with its credentials.
type site struct {
	ctap2.ManagedRP
	credentials []ctap2.ManagedCredential
}

// credentials speaks to a key about its credentials (CTAP 2.3, section 6.8).
type credentials struct {
	*session
	manager *ctap2.CredentialManager
	token   *ctap2.Token
}

// withCredentials opens a key, has the person verified, and runs do. For reading, a token that is
// good for nothing else is asked for where the key has such (CTAP 2.3, section 6.5.5.7, pcmr).
func (c *call) withCredentials(ctx context.Context, key string, permission ctap2.Permission, allowLast bool, do func(k *credentials) error) error {
	s, err := c.choose(ctx, key, wish{serves: managesCredentials})
	if err != nil {
		return err
	}
	defer s.close()
	k, err := s.manage(ctx, permission, "", allowLast)
	if err != nil {
		return err
	}
	defer k.token.Wipe()
	return do(k)
}

// manage has the person verified for the management of credentials; rpID limits it to one site.
// The caller wipes the token.
func (s *session) manage(ctx context.Context, permission ctap2.Permission, rpID string, allowLast bool) (*credentials, error) {
	if readOnly, _ := s.info.Option(ctap2.OptionCredMgmtReadOnly); permission == ctap2.PermissionCredentialRead && !readOnly {
		permission = ctap2.PermissionCredentialManagement
	}
	token, err := s.keptPermit(ctx, permission, rpID, allowLast, func(token *ctap2.Token) error {
		m, err := s.client.CredentialManager(s.info, token)
		if err == nil {
			_, _, err = m.Metadata(ctx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	manager, err := s.client.CredentialManager(s.info, token)
	if err != nil {
		token.Wipe()
		return nil, &keyError{s.key, err}
	}
	return &credentials{s, manager, token}, nil
}

// sites gives the sites with their credentials; rpID limits them to one, empty means all.
func (k *credentials) sites(ctx context.Context, rpID string) ([]site, error) {
	rps, err := exchange(k.session, api.PromptTouch, func() ([]ctap2.ManagedRP, error) { return k.manager.RPs(ctx) })
	if err != nil {
		return nil, err
	}
	wanted := sha256.Sum256([]byte(rpID))
	var sites []site
	for _, rp := range rps {
		// The ID may be cut (CTAP 2.3, section 6.8.7); its hash is not.
		if rpID != "" && rp.RPIDHash != wanted {
			continue
		}
		one, err := k.site(ctx, rp)
		if err != nil {
			return nil, err
		}
		sites = append(sites, one)
	}
	return sites, nil
}

// site adds the credentials of a site.
func (k *credentials) site(ctx context.Context, rp ctap2.ManagedRP) (site, error) {
	list, err := exchange(k.session, api.PromptTouch, func() ([]ctap2.ManagedCredential, error) {
		return k.manager.Credentials(ctx, rp.RPIDHash)
	})
	return site{rp, list}, err
}

// stored is one credential on a key.
type stored struct {
	site
	*ctap2.ManagedCredential
}

// find gives the credential that a request names.
func (k *credentials) find(ctx context.Context, rpID, name string) (*stored, error) {
	sites, err := k.sites(ctx, rpID)
	if err != nil {
		return nil, err
	}
	return k.pick(sites, name)
}

// pick gives the credential that a request names: by its ID, by its user's name, or by how the ID
// begins.
func (s *session) pick(sites []site, name string) (*stored, error) {
	if name == "" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "the request names no credential", Hint: "credential-list shows them"}
	}
	var byID, byUser, byPrefix []*stored
	for i := range sites {
		for j := range sites[i].credentials {
			one := &stored{sites[i], &sites[i].credentials[j]}
			id := one.id().String()
			switch {
			case id == strings.TrimRight(name, "="):
				byID = append(byID, one)
			case one.User.Name == name:
				byUser = append(byUser, one)
			case strings.HasPrefix(id, name):
				byPrefix = append(byPrefix, one)
			}
		}
	}
	for _, candidates := range [][]*stored{byID, byUser, byPrefix} {
		if len(candidates) == 1 {
			return candidates[0], nil
		}
		if len(candidates) > 1 {
			return nil, ambiguous(s, "credentials", name, candidates)
		}
	}
	return nil, &api.Error{
		Code: api.CodeNotFound, Message: fmt.Sprintf("%s has no credential %s", s.key.Name(), shorten(name)),
		Hint: "credential-list shows those that it has", Key: s.key.ID(),
	}
}

// maxCandidates bounds what a message lists.
const maxCandidates = 8

// ambiguous is the error for a name that several things have.
func ambiguous[T fmt.Stringer](s *session, what, name string, candidates []T) error {
	var list []string
	for i, c := range candidates {
		if i == maxCandidates {
			list = append(list, "…")
			break
		}
		list = append(list, c.String())
	}
	return &api.Error{
		Code:    api.CodeInvalidRequest,
		Message: fmt.Sprintf("%s has %d %s that %s can mean: %s", s.key.Name(), len(candidates), what, shorten(name), strings.Join(list, "; ")),
		Hint:    "say more of the id", Key: s.key.ID(),
	}
}

func (c *stored) id() api.Bytes { return c.CredentialID.ID }

// String names the credential for people.
func (c *stored) String() string {
	return fmt.Sprintf("%s (id %s)", c.title(), c.id())
}

// title names the account for people: whose it is, and where.
func (c *stored) title() string {
	name := printable(c.User.Name)
	if name == "" {
		name = printable(c.User.DisplayName)
	}
	if name == "" {
		name = "user " + api.Bytes(c.User.ID).String()
	}
	where := printable(c.RP.ID)
	if where == "" {
		where = "a site"
	}
	return name + " for " + where
}

// protections are the names of credProtect levels (CTAP 2.3, section 12.1).
var protections = map[ctap2.CredProtect]string{
	ctap2.CredProtectUVOptional:                     "userVerificationOptional",
	ctap2.CredProtectUVOptionalWithCredentialIDList: "userVerificationOptionalWithCredentialIDList",
	ctap2.CredProtectUVRequired:                     "userVerificationRequired",
}

// describe is the credential as it crosses the socket.
func (c *stored) describe() api.DiscoverableCredential {
	d := api.DiscoverableCredential{
		ID:                c.id(),
		UserID:            c.User.ID,
		UserName:          c.User.Name,
		DisplayName:       c.User.DisplayName,
		PublicKey:         api.Bytes(c.PublicKeyRaw),
		CredProtect:       protections[c.CredProtect],
		LargeBlob:         len(c.LargeBlobKey) > 0,
		ThirdPartyPayment: c.ThirdPartyPayment,
	}
	if !c.PublicKey.IsZero() {
		d.Algorithm = c.PublicKey.Alg.String()
	}
	return d
}

// result is the answer of the operations on one credential.
func (k *credentials) result(c *stored) *api.CredentialResult {
	return &api.CredentialResult{Key: describe(k.key), RPID: c.RP.ID, Name: c.RP.Name, Credential: c.describe()}
}

// credentialList is the operation credential-list (CTAP 2.3, sections 6.8.2 to 6.8.4).
func (c *call) credentialList(ctx context.Context, r *api.CredentialListRequest) (*api.CredentialListResult, error) {
	result := &api.CredentialListResult{Sites: []api.RelyingParty{}}
	err := c.withCredentials(ctx, r.Key, ctap2.PermissionCredentialRead, r.AllowLastRetry, func(k *credentials) error {
		_, err := exchange(k.session, api.PromptTouch, func() (_ struct{}, err error) {
			result.Existing, result.Remaining, err = k.manager.Metadata(ctx)
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
		if result.Existing > 0 {
			sites, err := k.sites(ctx, r.RPID)
			if err != nil {
				return err
			}
			for i := range sites {
				result.Sites = append(result.Sites, sites[i].describe())
			}
		}
		result.Key = describe(k.key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// describe is the site as it crosses the socket.
func (s *site) describe() api.RelyingParty {
	rp := api.RelyingParty{RPID: s.RP.ID, Name: s.RP.Name, RPIDHash: s.RPIDHash[:], Credentials: make([]api.DiscoverableCredential, 0, len(s.credentials))}
	for i := range s.credentials {
		rp.Credentials = append(rp.Credentials, (&stored{*s, &s.credentials[i]}).describe())
	}
	return rp
}

// credentialShow is the operation credential-show.
func (c *call) credentialShow(ctx context.Context, r *api.CredentialRequest) (result *api.CredentialResult, err error) {
	err = c.withCredentials(ctx, r.Key, ctap2.PermissionCredentialRead, r.AllowLastRetry, func(k *credentials) error {
		one, err := k.find(ctx, r.RPID, r.Credential)
		if err == nil {
			result = k.result(one)
		}
		return err
	})
	return result, err
}

// credentialDelete is the operation credential-delete (CTAP 2.3, section 6.8.5).
func (c *call) credentialDelete(ctx context.Context, r *api.CredentialRequest) (result *api.CredentialResult, err error) {
	err = c.withCredentials(ctx, r.Key, ctap2.PermissionCredentialManagement, r.AllowLastRetry, func(k *credentials) error {
		one, err := k.find(ctx, r.RPID, r.Credential)
		if err != nil {
			return err
		}
		c.rpID = one.RP.ID
		question := fmt.Sprintf("Delete the credential of %s from %s? It cannot be brought back.", one.title(), k.key.Name())
		if err := k.confirm(ctx, question); err != nil {
			return err
		}
		_, err = exchange(k.session, api.PromptTouch, func() (struct{}, error) { return struct{}{}, k.manager.Delete(ctx, one.CredentialID) })
		k.conn.Forget()
		if err == nil {
			result = k.result(one)
		}
		return err
	})
	return result, err
}

// credentialRename is the operation credential-rename (CTAP 2.3, section 6.8.6).
func (c *call) credentialRename(ctx context.Context, r *api.CredentialRenameRequest) (result *api.CredentialResult, err error) {
	if r.UserName == nil && r.DisplayName == nil {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "the request has no new name", Hint: "give userName, displayName or both"}
	}
	err = c.withCredentials(ctx, r.Key, ctap2.PermissionCredentialManagement, r.AllowLastRetry, func(k *credentials) error {
		if final, _ := k.info.Option(ctap2.OptionCredMgmt); !final {
			return k.lacks("does not change names", "use a key of CTAP 2.1 or later")
		}
		one, err := k.find(ctx, r.RPID, r.Credential)
		if err != nil {
			return err
		}
		user := one.User
		if r.UserName != nil {
			user.Name = *r.UserName
		}
		if r.DisplayName != nil {
			user.DisplayName = *r.DisplayName
		}
		_, err = exchange(k.session, api.PromptTouch, func() (struct{}, error) {
			return struct{}{}, k.manager.UpdateUser(ctx, one.CredentialID, user)
		})
		if err == nil {
			one.User = user
			result = k.result(one)
		}
		return err
	})
	return result, err
}
