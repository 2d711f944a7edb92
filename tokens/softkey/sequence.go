package softkey

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// sequenceTimeout is how long a sequence of requests goes on without the next one (CTAP 2.3,
// section 6, stateful commands).
const sequenceTimeout = 30 * time.Second

// sequences are the states of commands that go on over several requests (CTAP 2.3,
// section 6, stateful commands). There is at most one but for the enrolment, which other commands
// do not end.
type sequences struct {
	rps         *listing
	credentials *listing
	blobs       *blobWrite
	enrolment   *enrolment
}

// interrupted ends what the next command, 0 for a U2F request, is not part of. Which subcommands
// go on with a sequence is the command's own business.
func (s *sequences) interrupted(cmd ctap2.Cmd) {
	switch cmd {
	case ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview:
		s.blobs = nil
	case ctap2.CmdLargeBlobs:
		s.rps, s.credentials = nil, nil
	default:
		s.rps, s.credentials, s.blobs = nil, nil, nil
	}
}

// authorization is the token with which a sequence began, none where none is needed.
type authorization struct {
	protocol ctap2.PINUVProtocol
	token    *token
}

// authorized checks a pinUvAuthParam by authorizeManagement.
func (a *Authenticator) authorized(p ctap2.PINUVProtocol, message, param []byte, permissions ctap2.Permission) (authorization, error) {
	t, err := a.authorizeManagement(p, message, param, permissions)
	return authorization{p, t}, err
}

// persistent says whether it is the persistent token, which only reads (CTAP 2.3, section 6.5.5.7).
func (b authorization) persistent() bool {
	return b.token.permissions == ctap2.PermissionCredentialRead
}

// alive says whether a sequence may go on: not when the token is over with which it
// began (CTAP 2.3, section 6, stateful commands).
func (a *Authenticator) alive(b authorization) bool {
	switch {
	case b.token == nil:
		return true
	case b.persistent():
		return bytes.Equal(b.token.value, a.state.persistent)
	}
	return a.tokenInUse(b.protocol) == b.token
}

// allows says whether a token may be used for an RP (CTAP 2.3, section 6.8.4, step 6).
func (b authorization) allows(rpIDHash [32]byte) bool {
	return b.token.rpID == "" || sha256.Sum256([]byte(b.token.rpID)) == rpIDHash
}

// legacyPermissions are those of a token of getPinToken. The prototypes of before CTAP 2.1 know no
// others, and do all with them (CTAP 2.1, section 6.5.5.7.1).
const legacyPermissions = ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion

// may says whether a token has one of the permissions, or is of getPinToken and not used for an RP yet:
// one that was asked for with permissions is an RP's from the beginning.
func (b authorization) may(permissions ctap2.Permission) bool {
	return b.token.permissions&permissions != 0 || b.token.permissions == legacyPermissions && b.token.rpID == ""
}
