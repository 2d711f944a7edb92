package softkey_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

const pin = "1234"

// exchange gives a key a request and reads its answer into response, which may be nil. The error is the
// status.
func exchange(t testing.TB, a *softkey.Authenticator, cmd ctap2.Cmd, request, response any) error {
	t.Helper()
	b, err := ctap2.MarshalRequest(cmd, request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.CBOR(t.Context(), b, nil)
	if err != nil || len(got) == 0 {
		t.Fatalf("%x, %v", got, err)
	}
	if s := ctap2.Status(got[0]); s != ctap2.StatusOK {
		if len(got) > 1 {
			t.Errorf("the status %v came with %d bytes", s, len(got)-1)
		}
		return s
	}
	switch {
	case response == nil && len(got) > 1:
		t.Errorf("the answer has %d bytes, want none", len(got)-1)
	case response != nil:
		if err := ctap2.UnmarshalLenient(got[1:], response); err != nil {
			t.Fatal(err)
		}
		if err := ctap2.Canonical(got[1:]); err != nil {
			t.Errorf("the answer is not canonical: %v", err)
		}
	}
	return nil
}

// params encodes the parameters of a subcommand; nil gives none.
func params(t testing.TB, v any) ctap2.RawMessage {
	t.Helper()
	if v == nil {
		return nil
	}
	b, err := ctap2.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// manager is a key with a PIN and a token for it, or without both.
type manager struct {
	t     testing.TB
	a     *softkey.Authenticator
	c     *ctap2.Client
	token *ctap2.Token
	cmds  struct{ credentials, fingers ctap2.Cmd }
}

// manage makes a key. With permissions it gets a PIN and a token that has them.
func manage(t testing.TB, cfg softkey.Config, permissions ctap2.Permission) *manager {
	t.Helper()
	a, c := newKey(t, cfg)
	m := &manager{t: t, a: a, c: c}
	m.cmds.credentials, m.cmds.fingers = ctap2.CmdCredentialManagement, ctap2.CmdBioEnrollment
	if permissions != 0 {
		m.protect(permissions)
	}
	return m
}

func (m *manager) protect(permissions ctap2.Permission) {
	m.t.Helper()
	if err := m.c.SetPIN(m.t.Context(), 2, []byte(pin)); err != nil {
		m.t.Fatal(err)
	}
	m.allow(permissions)
}

// allow gets a new token.
func (m *manager) allow(permissions ctap2.Permission) {
	m.t.Helper()
	r := ctap2.TokenRequest{Permissions: permissions}
	if permissions&(ctap2.PermissionMakeCredential|ctap2.PermissionGetAssertion) != 0 {
		r.RPID = rpID
	}
	m.token = tokenFor(m.t, m.c, r)
}

// sign gives the pinUvAuthParam and the protocol, none without a token.
func (m *manager) sign(message ...[]byte) ([]byte, ctap2.PINUVProtocol) {
	if m.token == nil {
		return nil, 0
	}
	return m.token.Authenticate(slices.Concat(message...)), m.token.Protocol
}

func (m *manager) credentials(sub ctap2.CredentialManagementSubcommand, p *ctap2.CredentialManagementParams) (*ctap2.CredentialManagementResponse, error) {
	m.t.Helper()
	r := &ctap2.CredentialManagementRequest{Subcommand: sub}
	if p != nil {
		r.SubcommandParams = params(m.t, p)
	}
	response := &ctap2.CredentialManagementResponse{}
	var into any = response
	switch sub {
	case ctap2.SubEnumerateRPsGetNextRP, ctap2.SubEnumerateCredentialsGetNext: // as platforms do
	case ctap2.SubDeleteCredential, ctap2.SubUpdateUserInformation:
		into = nil
		fallthrough
	default:
		r.PINUVAuthParam, r.PINUVAuthProtocol = m.sign([]byte{byte(sub)}, r.SubcommandParams)
	}
	return response, exchange(m.t, m.a, m.cmds.credentials, r, into)
}

func (m *manager) delete(id []byte) error {
	m.t.Helper()
	_, err := m.credentials(ctap2.SubDeleteCredential, &ctap2.CredentialManagementParams{CredentialID: descriptor(id)})
	return err
}

func (m *manager) update(id []byte, user ctap2.User) error {
	m.t.Helper()
	_, err := m.credentials(ctap2.SubUpdateUserInformation, &ctap2.CredentialManagementParams{CredentialID: descriptor(id), User: &user})
	return err
}

func descriptor(id []byte) *ctap2.CredentialDescriptor {
	return &ctap2.CredentialDescriptor{ID: id, Type: ctap2.TypePublicKey}
}

// rps lists the RPs by begin and next.
func (m *manager) rps() ([]string, error) {
	m.t.Helper()
	got, err := m.credentials(ctap2.SubEnumerateRPsBegin, nil)
	if err != nil {
		return nil, err
	}
	var list []string
	for total := *got.TotalRPs; ; {
		if hash := sha256.Sum256([]byte(got.RP.ID)); !bytes.Equal(hash[:], got.RPIDHash) {
			m.t.Errorf("the hash of %s is %x", got.RP.ID, got.RPIDHash)
		}
		if list = append(list, got.RP.ID); uint(len(list)) == total {
			return list, nil
		}
		if got, err = m.credentials(ctap2.SubEnumerateRPsGetNextRP, nil); err != nil {
			return nil, err
		}
		if got.TotalRPs != nil {
			m.t.Error("totalRPs came again")
		}
	}
}

// of lists the credentials of an RP by begin and next.
func (m *manager) of(rp string) ([]*ctap2.CredentialManagementResponse, error) {
	m.t.Helper()
	hash := sha256.Sum256([]byte(rp))
	got, err := m.credentials(ctap2.SubEnumerateCredentialsBegin, &ctap2.CredentialManagementParams{RPIDHash: hash[:]})
	if err != nil {
		return nil, err
	}
	var list []*ctap2.CredentialManagementResponse
	for total := *got.TotalCredentials; ; {
		if list = append(list, got); uint(len(list)) == total {
			return list, nil
		}
		if got, err = m.credentials(ctap2.SubEnumerateCredentialsGetNext, nil); err != nil {
			return nil, err
		}
		if got.TotalCredentials != nil {
			m.t.Error("totalCredentials came again")
		}
	}
}

// resident makes a discoverable credential, while there is no PIN yet.
func (m *manager) resident(rp, user string) []byte {
	m.t.Helper()
	return credentialID(m.t, register(m.t, m.c, func(r *ctap2.MakeCredentialRequest) {
		resident(r)
		r.RP.ID, r.User = rp, ctap2.User{ID: []byte(user), Name: user, DisplayName: "The " + user}
	}))
}

func (m *manager) getBlobs(offset, n uint) ([]byte, error) {
	m.t.Helper()
	response := &ctap2.LargeBlobsResponse{}
	err := exchange(m.t, m.a, ctap2.CmdLargeBlobs, &ctap2.LargeBlobsRequest{Get: &n, Offset: &offset}, response)
	return response.Config, err
}

// blobs reads the whole array.
func (m *manager) blobs() []byte {
	m.t.Helper()
	var all []byte
	for {
		part, err := m.getBlobs(uint(len(all)), 1000)
		if err != nil {
			m.t.Fatal(err)
		}
		if all = append(all, part...); len(part) < 1000 {
			return all
		}
	}
}

// setBlobs writes a fragment; the length goes with the first one.
func (m *manager) setBlobs(fragment []byte, offset, length uint) error {
	m.t.Helper()
	r := &ctap2.LargeBlobsRequest{Set: fragment, Offset: &offset}
	if offset == 0 {
		r.Length = &length
	}
	sum := sha256.Sum256(fragment)
	r.PINUVAuthParam, r.PINUVAuthProtocol = m.sign(bytes.Repeat([]byte{0xFF}, 32), []byte{0x0C, 0x00}, binary.LittleEndian.AppendUint32(nil, uint32(offset)), sum[:])
	return exchange(m.t, m.a, ctap2.CmdLargeBlobs, r, nil)
}

// writeBlobs writes an array in fragments of n bytes.
func (m *manager) writeBlobs(array []byte, n int) error {
	m.t.Helper()
	for at := 0; at < len(array); at += n {
		if err := m.setBlobs(array[at:min(at+n, len(array))], uint(at), uint(len(array))); err != nil {
			return err
		}
	}
	return nil
}

// array makes a serialized large-blob array of n bytes. What is in it is the platform's
// business.
func array(n int, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, n-16)
	sum := sha256.Sum256(b)
	return append(b, sum[:16]...)
}

func (m *manager) configure(sub ctap2.ConfigSubcommand, p any) error {
	m.t.Helper()
	r := &ctap2.ConfigRequest{Subcommand: sub, SubcommandParams: params(m.t, p)}
	r.PINUVAuthParam, r.PINUVAuthProtocol = m.sign(bytes.Repeat([]byte{0xFF}, 32), []byte{0x0D, byte(sub)}, r.SubcommandParams)
	return exchange(m.t, m.a, ctap2.CmdConfig, r, nil)
}

func (m *manager) fingers(sub ctap2.BioEnrollmentSubcommand, p *ctap2.BioEnrollmentParams) (*ctap2.BioEnrollmentResponse, error) {
	m.t.Helper()
	r := &ctap2.BioEnrollmentRequest{Modality: ctap2.ModalityFingerprint, Subcommand: sub}
	if p != nil {
		r.SubcommandParams = params(m.t, p)
	}
	r.PINUVAuthParam, r.PINUVAuthProtocol = m.sign([]byte{1, byte(sub)}, r.SubcommandParams)
	response := &ctap2.BioEnrollmentResponse{}
	switch sub {
	case ctap2.SubSetFriendlyName, ctap2.SubRemoveEnrollment, ctap2.SubCancelCurrentEnrollment:
		return nil, exchange(m.t, m.a, m.cmds.fingers, r, nil)
	}
	return response, exchange(m.t, m.a, m.cmds.fingers, r, response)
}

// enrol teaches the key a finger, with samples that are all good.
func (m *manager) enrol() []byte {
	m.t.Helper()
	got, err := m.fingers(ctap2.SubEnrollBegin, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	id := got.TemplateID
	for *got.RemainingSamples > 0 {
		if got, err = m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: id}); err != nil {
			m.t.Fatal(err)
		}
	}
	return id
}

// tokenFor gets a token with the PIN.
func tokenFor(t testing.TB, c *ctap2.Client, r ctap2.TokenRequest) *ctap2.Token {
	t.Helper()
	r.Protocol, r.PIN = 2, []byte(pin)
	token, err := c.PINToken(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
