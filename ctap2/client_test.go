package ctap2_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
)

// script is an authenticator that answers by the command byte and remembers the requests.
type script struct {
	answers  map[byte][][]byte
	requests [][]byte
}

func (s *script) CBOR(_ context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	s.requests = append(s.requests, bytes.Clone(request))
	if keepalive != nil {
		keepalive(ctap2.KeepaliveProcessing)
		keepalive(ctap2.KeepaliveUPNeeded)
	}
	queue := s.answers[request[0]]
	if len(queue) == 0 {
		return nil, errors.New("nothing to say")
	}
	s.answers[request[0]] = queue[1:]
	return queue[0], nil
}

func TestCommandsWithoutParameters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   func(c *ctap2.Client) error
		want   byte
		answer string
	}{
		{"getInfo", func(c *ctap2.Client) error { _, err := c.GetInfo(t.Context()); return err }, 4, "00 a2 01 80 03 50 00000000000000000000000000000000"},
		{"getNextAssertion", func(c *ctap2.Client) error { _, err := c.GetNextAssertion(t.Context()); return err }, 8, "00 a2 02 41 00 03 41 00"},
		{"reset", func(c *ctap2.Client) error { return c.Reset(t.Context()) }, 7, "00"},
		{"selection", func(c *ctap2.Client) error { return c.Selection(t.Context()) }, 11, "00"},
	} {
		s := &script{answers: map[byte][][]byte{tt.want: {unhex(t, tt.answer), {0x2F}}}}
		var statuses []byte
		c := ctap2.NewClient(s, func(status byte) { statuses = append(statuses, status) })
		if err := tt.call(c); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff([][]byte{{tt.want}}, s.requests); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", tt.name, diff)
		}
		if !bytes.Equal(statuses, []byte{1, 2}) {
			t.Errorf("%s: keepalives %v", tt.name, statuses)
		}
		err := tt.call(c.WithKeepalive(nil))
		e, ok := errors.AsType[*ctap2.Error](err)
		if !ok || e.Cmd != ctap2.Cmd(tt.want) || !errors.Is(err, ctap2.ErrUserActionTimeout) {
			t.Errorf("%s: status 0x2F gives %v", tt.name, err)
		}
		if len(statuses) != 2 {
			t.Errorf("%s: the other function was called", tt.name)
		}
	}
}

func TestBadResponses(t *testing.T) {
	for name, response := range map[string][]byte{
		"empty":   {},
		"no data": {0},
		"huge":    make([]byte, ctap2.MaxMessageSize+1),
	} {
		if info, err := play(response).GetInfo(t.Context()); !errors.Is(err, ctap2.ErrResponse) || info != nil {
			t.Errorf("%s: %v, %v, want %v", name, info, err, ctap2.ErrResponse)
		}
	}
	for name, response := range map[string]string{
		"garbage":     "00 ff",
		"wrong type":  "00 a2 01 81 68 4649444f5f325f30 03 f5",
		"short id":    "00 a2 01 81 68 4649444f5f325f30 03 41 00",
		"no aaguid":   "00 a1 01 81 68 4649444f5f325f30",
		"no versions": "00 a1 03 50 00000000000000000000000000000000",
	} {
		info, err := play(unhex(t, response)).GetInfo(t.Context())
		if _, ok := errors.AsType[*ctap2.DecodeError](err); !ok || info != nil {
			t.Errorf("%s: %v, %v, want a DecodeError", name, info, err)
		}
	}
	broken := errors.New("cable")
	c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) { return nil, broken }), nil)
	if err := c.Reset(t.Context()); !errors.Is(err, broken) {
		t.Errorf("error of the transport: %v", err)
	}
}

func TestCancelledIsBoth(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("hung up")
	c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) {
		cancel(why)
		return []byte{byte(ctap2.ErrKeepaliveCancel)}, nil
	}), nil)
	if err := c.Selection(ctx); !errors.Is(err, why) || !errors.Is(err, ctap2.ErrKeepaliveCancel) {
		t.Errorf("got %v", err)
	}
	// Without us having cancelled it is the authenticator's word alone.
	if err := c.Selection(t.Context()); errors.Is(err, why) || !errors.Is(err, ctap2.ErrKeepaliveCancel) {
		t.Errorf("got %v", err)
	}
}

func TestOneEntryAllowListFillsTheCredential(t *testing.T) {
	answer := unhex(t, "00 a2 02 41 00 03 41 00")
	one := ctap2.CredentialDescriptor{ID: []byte{7}, Type: ctap2.TypePublicKey, Transports: []string{"usb"}}
	resp, err := play(answer).GetAssertion(t.Context(), &ctap2.GetAssertionRequest{AllowList: []ctap2.CredentialDescriptor{one}})
	if err != nil || resp.Credential == nil || !bytes.Equal(resp.Credential.ID, one.ID) {
		t.Errorf("one entry: %+v, %v", resp, err)
	}
	resp, err = play(answer).GetAssertion(t.Context(), &ctap2.GetAssertionRequest{AllowList: []ctap2.CredentialDescriptor{one, one}})
	if err != nil || resp.Credential != nil {
		t.Errorf("two entries: %+v, %v", resp, err)
	}
}

func TestFalseUVIsNotSent(t *testing.T) {
	for _, tt := range []struct{ options, want *ctap2.Options }{
		{nil, nil},
		{&ctap2.Options{UV: new(false)}, nil},
		{&ctap2.Options{UV: new(true)}, &ctap2.Options{UV: new(true)}},
		{&ctap2.Options{UV: new(false), UP: new(false)}, &ctap2.Options{UP: new(false)}},
		{&ctap2.Options{UV: new(false), RK: new(true)}, &ctap2.Options{RK: new(true)}},
	} {
		s := &script{answers: map[byte][][]byte{1: {{0x27}}, 2: {{0x2E}}}}
		c := ctap2.NewClient(s, nil)
		m := &ctap2.MakeCredentialRequest{
			ClientDataHash: repeat(1, 32), RP: ctap2.RP{ID: "a.b"}, User: ctap2.User{ID: []byte{1}},
			PubKeyCredParams: []ctap2.CredentialParameter{}, Options: tt.options,
		}
		g := &ctap2.GetAssertionRequest{RPID: "a.b", ClientDataHash: repeat(1, 32), Options: tt.options}
		if _, err := c.MakeCredential(t.Context(), m); !errors.Is(err, ctap2.ErrOperationDenied) {
			t.Fatal(err)
		}
		if _, err := c.GetAssertion(t.Context(), g); !errors.Is(err, ctap2.ErrNoCredentials) {
			t.Fatal(err)
		}
		var gotM ctap2.MakeCredentialRequest
		var gotG ctap2.GetAssertionRequest
		if err := errors.Join(ctap2.Unmarshal(s.requests[0][1:], &gotM), ctap2.Unmarshal(s.requests[1][1:], &gotG)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, gotM.Options) + cmp.Diff(tt.want, gotG.Options); diff != "" {
			t.Errorf("options %+v (-want +got):\n%s", tt.options, diff)
		}
		if m.Options != tt.options || g.Options != tt.options {
			t.Error("the caller's request was changed")
		}
	}
}

func TestSelect(t *testing.T) {
	modern := &ctap2.Info{Versions: []string{"FIDO_2_1"}}
	old := &ctap2.Info{Versions: []string{"FIDO_2_0"}, Options: map[string]bool{"clientPin": true}}
	noPIN := &ctap2.Info{Versions: []string{"FIDO_2_0"}}
	for _, tt := range []struct {
		name   string
		info   *ctap2.Info
		cmd    byte
		answer string
		want   ctap2.Status
	}{
		{"modern", modern, 0x0B, "00", ctap2.StatusOK},
		{"modern, denied", modern, 0x0B, "27", ctap2.ErrOperationDenied},
		{"old, wrong PIN", old, 0x01, "31", ctap2.StatusOK},
		{"old, wrong PIN, 2.1 style", old, 0x01, "33", ctap2.StatusOK},
		{"old, no PIN", old, 0x01, "35", ctap2.StatusOK},
		{"old, nobody there", old, 0x01, "2f", ctap2.ErrUserActionTimeout},
		{"no PIN at all", noPIN, 0x01, "00 a3 01 64 6e6f6e65 02 40 03 a0", ctap2.StatusOK},
	} {
		s := &script{answers: map[byte][][]byte{tt.cmd: {unhex(t, tt.answer)}}}
		err := ctap2.NewClient(s, nil).Select(t.Context(), tt.info)
		if got := ctap2.StatusOf(err); got != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want.Name())
		}
		if tt.cmd != 1 {
			continue
		}
		var r ctap2.MakeCredentialRequest
		if err := ctap2.Unmarshal(s.requests[0][1:], &r); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if gesture := r.PINUVAuthParam != nil && len(*r.PINUVAuthParam) == 0; gesture != (tt.info == old) {
			t.Errorf("%s: empty pinUvAuthParam sent: %v", tt.name, gesture)
		}
		if r.Options != nil {
			t.Errorf("%s: a discoverable credential may be left behind: %+v", tt.name, r.Options)
		}
	}
}

func TestPreflight(t *testing.T) {
	none := []byte{byte(ctap2.ErrNoCredentials)}
	descriptor := func(ids ...byte) (list []ctap2.CredentialDescriptor) {
		for _, id := range ids {
			list = append(list, ctap2.CredentialDescriptor{ID: []byte{id}, Type: ctap2.TypePublicKey, Transports: []string{"usb"}})
		}
		return list
	}
	list := descriptor(1, 2, 3, 4, 5)
	list = append(list, ctap2.CredentialDescriptor{ID: make([]byte, 9), Type: ctap2.TypePublicKey}, ctap2.CredentialDescriptor{ID: []byte{6}, Type: "else"})
	found := func(id byte) []byte {
		b, err := ctap2.MarshalResponse(&ctap2.GetAssertionResponse{Credential: &descriptor(id)[0], AuthData: []byte{1}, Signature: []byte{1}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	anonymous := unhex(t, "00 a2 02 41 00 03 41 00")
	for _, tt := range []struct {
		name    string
		info    ctap2.Info
		answers [][]byte
		chunks  [][]ctap2.CredentialDescriptor // by id only
		want    byte                           // 0: none
		status  ctap2.Status
	}{
		{"one by one", ctap2.Info{MaxCredentialIDLength: 8}, [][]byte{none, none, anonymous}, [][]ctap2.CredentialDescriptor{descriptor(1), descriptor(2), descriptor(3)}, 3, 0},
		{"in pairs", ctap2.Info{MaxCredentialCountInList: 2, MaxCredentialIDLength: 8}, [][]byte{none, found(4)}, [][]ctap2.CredentialDescriptor{descriptor(1, 2), descriptor(3, 4)}, 4, 0},
		{"none", ctap2.Info{MaxCredentialCountInList: 3, MaxCredentialIDLength: 8}, [][]byte{none, {byte(ctap2.ErrInvalidCredential)}}, [][]ctap2.CredentialDescriptor{descriptor(1, 2, 3), descriptor(4, 5)}, 0, 0},
		{"silence refused", ctap2.Info{}, [][]byte{{byte(ctap2.ErrUPRequired)}}, [][]ctap2.CredentialDescriptor{descriptor(1)}, 0, ctap2.ErrUPRequired},
		{"none of the list", ctap2.Info{MaxCredentialCountInList: 2}, [][]byte{found(3)}, [][]ctap2.CredentialDescriptor{descriptor(1, 2)}, 0, ctap2.ErrOther},
		{"which one is not said", ctap2.Info{MaxCredentialCountInList: 2}, [][]byte{anonymous}, [][]ctap2.CredentialDescriptor{descriptor(1, 2)}, 0, ctap2.ErrOther},
	} {
		s := &script{answers: map[byte][][]byte{2: tt.answers}}
		d, ok, err := ctap2.NewClient(s, nil).Preflight(t.Context(), ctap2.PreflightRequest{Info: &tt.info, RPID: "a.b", List: list})
		if got := ctap2.StatusOf(err); got != tt.status || ok != (tt.want != 0) || ok && d.ID[0] != tt.want {
			t.Errorf("%s: %v, %v, %v", tt.name, d, ok, err)
		}
		if len(s.requests) != len(tt.chunks) {
			t.Errorf("%s: %d requests, want %d", tt.name, len(s.requests), len(tt.chunks))
			continue
		}
		for i, request := range s.requests {
			var r ctap2.GetAssertionRequest
			if err := ctap2.Unmarshal(request[1:], &r); err != nil {
				t.Fatal(err)
			}
			for j := range tt.chunks[i] {
				tt.chunks[i][j].Transports = nil
			}
			if diff := cmp.Diff(tt.chunks[i], r.AllowList); diff != "" {
				t.Errorf("%s: list (-want +got):\n%s", tt.name, diff)
			}
			if r.Options == nil || r.Options.UP == nil || *r.Options.UP {
				t.Errorf("%s: a touch may be asked for", tt.name)
			}
		}
	}
}
