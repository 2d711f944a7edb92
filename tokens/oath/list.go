package oath

import (
	"context"
	"fmt"

	"github.com/fobd/fobd/u2f/apdu"
)

// maxCredentials bounds what a device may say it has. The largest known has 100.
const maxCredentials = 4096

// The bits of the last byte of an entry of Nitrokey's LIST, version 1.
const (
	listTouch byte = 1 << iota
	listPIN
	listData
)

// List lists the credentials in the device's order, hidden ones too. A Nitrokey with a PIN lists those that are encrypted
// with it only if the session was unlocked just before.
func (s *Session) List(ctx context.Context) ([]Credential, error) {
	r := &request{op: "list", cmd: CmdList}
	// secrets app 0.11: the first with properties.
	detailed := s.nitrokey() && !s.info.Version.Before(4, 11, 0)
	if detailed {
		r.data = []byte{1}
	}
	b, err := s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	all, err := parseList(b, detailed)
	if err != nil {
		return nil, s.fail(r, 0, err)
	}
	return all, nil
}

func parseList(b []byte, detailed bool) ([]Credential, error) {
	tlvs, err := ParseTLVs(b)
	if err != nil {
		return nil, err
	}
	if len(tlvs) > maxCredentials {
		return nil, fmt.Errorf("%w: %d accounts", ErrMalformed, len(tlvs))
	}
	all := make([]Credential, 0, len(tlvs))
	for _, t := range tlvs {
		v := t.Value
		if t.Tag != TagNameList || len(v) < 1 || detailed && len(v) < 2 {
			return nil, fmt.Errorf("%w: tag %02x with %d bytes in a list", ErrMalformed, t.Tag, len(v))
		}
		var properties byte
		if detailed {
			properties, v = v[len(v)-1], v[:len(v)-1]
		}
		c := newCredential(string(v[1:]), v[0])
		if detailed {
			c.Touch = TouchNever
			if properties&listTouch != 0 {
				c.Touch = TouchAlways
			}
			c.PIN, c.Data = properties&listPIN != 0, properties&listData != 0
		}
		all = append(all, c)
	}
	return all, nil
}

// Delete deletes a credential. A Nitrokey wants a touch for that.
func (s *Session) Delete(ctx context.Context, c Credential) error {
	_, err := s.do(ctx, s.about("delete", CmdDelete, c, s.always()))
	return err
}

// Reset deletes all credentials and the access code or PIN, and changes the device id. It needs neither code nor PIN; a
// Nitrokey wants a touch. CanoKeys are reset by their own program only.
func (s *Session) Reset(ctx context.Context) error {
	r := &request{op: "reset", cmd: CmdReset, p1: 0xDE, p2: 0xAD, touch: s.always()}
	response, err := s.exchange(ctx, r)
	switch {
	case err != nil:
		return s.fail(r, 0, err)
	case response.SW == apdu.ErrInsNotSupported, !s.info.Unlocked && s.info.Model == ModelCanoKey && response.SW == apdu.ErrSecurityStatus:
		return s.fail(r, response.SW, unsupported("this is no part of its application; reset it with its maker's program"))
	case response.SW != apdu.OK:
		return s.refuse(r, response.SW, s.info.Unlocked)
	}
	return s.choose(ctx)
}

// about is a command whose data begin with a credential's name.
func (s *Session) about(op string, cmd Cmd, c Credential, touch expect) *request {
	return &request{op: op, account: c.ID, cmd: cmd, data: AppendTLV(nil, TagName, []byte(c.ID)), touch: touch, pin: c.PIN}
}

// always is for commands that a Nitrokey wants a touch for, whatever the credential.
func (s *Session) always() expect {
	if s.nitrokey() {
		return expectTouch
	}
	return expectNone
}

// each is for commands that need a touch if the credential says so. One that is encrypted with a PIN wants none on a
// Nitrokey: there was one for the PIN.
func (s *Session) each(c Credential) expect {
	switch {
	case c.PIN && s.nitrokey():
		return expectNone
	case c.Touch == TouchAlways:
		return expectTouch
	case c.Touch == TouchUnknown:
		return expectMaybe
	}
	return expectNone
}
