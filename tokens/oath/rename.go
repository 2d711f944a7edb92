package oath

import "context"

// Rename gives a credential another issuer and account; period, seed and counter stay. It returns the credential under
// its new name. YubiKeys before firmware 5.3.1 cannot, nor can Nitrokeys before 4.13 of the secrets app, which otherwise want a
// touch.
func (s *Session) Rename(ctx context.Context, c Credential, issuer, account string) (Credential, error) {
	r := s.about("rename", CmdRename, c, expectNone)
	n := name{issuer: issuer, account: account}
	if c.timed() {
		n.period = c.Period
	}
	limit := maxName
	if s.nitrokey() {
		limit = maxNameNitrokey
	}
	err := n.check(limit)
	switch {
	case err != nil:
	case s.nitrokey():
		return s.update(ctx, c, n.String(), nil)
	case s.info.Version.Before(5, 3, 1):
		err = unsupported("new names need firmware 5.3.1; delete the account and add it anew")
	case n.String() == c.ID:
		return c, nil
	default:
		err = s.mayAdd(ctx, n.String(), false)
	}
	if err != nil {
		return Credential{}, s.fail(r, 0, err)
	}
	r.data = AppendTLV(r.data, TagName, []byte(n.String()))
	if _, err := s.do(ctx, r); err != nil {
		return Credential{}, err
	}
	return c.renamed(n.String()), nil
}

// renamed is a credential under another name, which may make it one of Steam's or end that.
func (c Credential) renamed(id string) Credential {
	to := newCredential(id, typeOf(c.Kind)|algorithmOf(c.Hash))
	to.Hash, to.Touch, to.PIN, to.Data = c.Hash, c.Touch, c.PIN, c.Data
	if to.Kind == c.Kind {
		to.Digits = c.Digits
	}
	return to
}

func typeOf(k Kind) byte {
	switch k {
	case HOTP:
		return typeHOTP
	case ReverseHOTP:
		return typeReverse
	case HMAC:
		return typeHMAC
	case Password:
		return typePassword
	}
	return typeTOTP
}
