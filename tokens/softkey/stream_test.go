package softkey_test

import (
	"bytes"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
)

// stream is a key in the hands of a script of bytes, and what must hold whatever the script is.
type stream struct {
	t       *testing.T
	a       *softkey.Authenticator
	c       *ctap2.Client
	store   *flaky
	script  []byte
	pin     []byte // nil: none
	retries uint
	counter uint32
	ids     [][]byte
	handles [][]byte // of U2F
	token   *ctap2.Token
	proved  bool // the step has given the right PIN
}

func (s *stream) next() byte {
	if len(s.script) == 0 {
		return 0
	}
	b := s.script[0]
	s.script = s.script[1:]
	return b
}

func (s *stream) load() {
	s.store.left = -1 // the disk is in order again
	a, err := softkey.New(softkey.Config{
		Seed: []byte("stream"), Store: s.store, Attestation: softkey.AttestationSelf, Algorithms: []cose.Algorithm{cose.ES256, cose.EdDSA},
		Verification: softkey.VerificationDeny, MaxCredentials: 3, ResetWindow: -1,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.a, s.c = a, ctap2.NewClient(a, nil)
}

func (s *stream) id() []byte {
	if n := s.next(); len(s.ids) > 0 && n < 200 {
		return s.ids[int(n)%len(s.ids)]
	}
	return nil
}

// signed notes a counter that has left the key.
func (s *stream) signed(counter uint32) {
	if counter <= s.counter {
		s.t.Fatalf("the counter went from %d to %d", s.counter, counter)
	}
	s.counter = counter
}

func (s *stream) asserted(r *ctap2.GetAssertionResponse, err error) {
	if err != nil {
		return
	}
	data, err := r.ParsedAuthData()
	if err != nil {
		s.t.Fatal(err)
	}
	s.signed(data.SignCount)
}

// guess tries a PIN for a token. Only the right one may bring retries back.
func (s *stream) guess(pin []byte) {
	s.proved = bytes.Equal(pin, s.pin)
	token, err := s.c.PINToken(s.t.Context(), ctap2.TokenRequest{Protocol: ctap2.PINUVProtocol(1 + s.next()%2), PIN: pin, Permissions: ctap2.Permission(s.next()%3 + 1), RPID: rpID})
	if err == nil {
		if !s.proved {
			s.t.Fatalf("a token for a wrong PIN")
		}
		s.token = token
	}
}

// steps are what a byte of the script can do.
var steps = []func(s *stream){
	func(s *stream) { // register
		r := creation()
		rk, uv := s.next()%2 == 1, s.next()%4 == 0
		r.Options, r.User.ID = &ctap2.Options{RK: &rk, UV: &uv}, []byte{s.next() % 5}
		r.PubKeyCredParams[0].Alg = []cose.Algorithm{cose.ES256, cose.EdDSA, cose.RS256}[s.next()%3]
		if level := s.next() % 5; level > 0 {
			r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: ctap2.CredProtect(level)}
		}
		if id := s.id(); id != nil {
			r.ExcludeList = []ctap2.CredentialDescriptor{{ID: id, Type: ctap2.TypePublicKey}}
		}
		if s.token != nil && s.next()%2 == 0 {
			r.Authorize(s.token)
		}
		made, err := s.c.MakeCredential(s.t.Context(), r)
		if err == nil {
			s.ids = append(s.ids, credentialID(s.t, made))
		}
	},
	func(s *stream) { // assert
		r := assertion(s.id())
		up, uv := s.next()%2 == 0, s.next()%4 == 0
		r.Options = &ctap2.Options{UP: &up, UV: &uv}
		if s.token != nil && s.next()%2 == 0 {
			r.Authorize(s.token)
		}
		s.asserted(s.c.GetAssertion(s.t.Context(), r))
	},
	func(s *stream) { s.asserted(s.c.GetNextAssertion(s.t.Context())) },
	func(s *stream) {
		if s.c.SetPIN(s.t.Context(), 2, []byte("1234")) == nil {
			if s.pin != nil {
				s.t.Fatal("a PIN was set over another")
			}
			s.pin, s.retries = []byte("1234"), 8
		}
	},
	func(s *stream) { s.guess([]byte("1234")) },
	func(s *stream) { s.guess([]byte("9999")) },
	func(s *stream) {
		s.proved = string(s.pin) == "1234"
		if s.c.ChangePIN(s.t.Context(), 1, []byte("1234"), []byte("9999")) == nil {
			if !s.proved {
				s.t.Fatal("a PIN was changed with a wrong one")
			}
			s.pin = []byte("9999")
		}
	},
	func(s *stream) { s.a.PowerCycle() },
	func(s *stream) { s.load() },
	func(s *stream) {
		if s.c.Reset(s.t.Context()) == nil {
			s.pin, s.retries, s.ids, s.handles, s.token = nil, 8, nil, nil, nil
		}
	},
	func(s *stream) { s.store.left = int(s.next()) % 8 }, // a write soon fails
	func(s *stream) {
		if made, err := (&u2f.Client{Transport: s.a}).Register(s.t.Context(), u2f.RegisterRequest{Application: [32]byte{1}}, nil); err == nil {
			s.handles = append(s.handles, made.KeyHandle)
		}
	},
	func(s *stream) {
		if len(s.handles) == 0 {
			return
		}
		r := u2f.AuthenticateRequest{Control: u2f.ControlDontEnforce, Application: [32]byte{s.next() % 2}, KeyHandle: s.handles[int(s.next())%len(s.handles)]}
		got, err := (&u2f.Client{Transport: s.a}).Authenticate(s.t.Context(), r, nil)
		if err == nil {
			s.signed(got.Counter)
		}
	},
	func(s *stream) { // whatever comes next
		n := min(int(s.next())%48, len(s.script))
		request := s.script[:n]
		s.script = s.script[n:]
		if n > 0 && request[0] == byte(ctap2.CmdReset) {
			return
		}
		response, err := s.a.CBOR(s.t.Context(), request, nil)
		if err != nil || len(response) == 0 {
			s.t.Fatalf("%x: %x, %v", request, response, err)
		}
		response, err = s.a.MSG(s.t.Context(), request, nil)
		if err != nil || len(response) < 2 {
			s.t.Fatalf("%x: %x, %v", request, response, err)
		}
	},
}

// FuzzCommandStream drives a key with a script of commands, failing writes, power cycles and loads.
// The counter always goes up; retries go up only with the right PIN or a reset; what getInfo
// says agrees.
func FuzzCommandStream(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 3, 5, 0, 0, 5, 0, 0, 4, 0, 1, 1, 0, 0, 0, 0, 8, 1, 0, 0, 1, 0})
	f.Add([]byte{3, 5, 0, 0, 5, 0, 0, 5, 0, 0, 5, 0, 0, 7, 5, 0, 0, 8, 5, 0, 0, 4, 0, 0})
	f.Add([]byte{3, 10, 1, 5, 0, 0, 8, 4, 0, 1, 10, 0, 1, 0, 0, 1, 8, 6, 8, 9, 0, 1})
	f.Add([]byte{11, 12, 1, 0, 10, 0, 12, 1, 0, 12, 1, 0, 13, 5, 2, 0xA2, 1, 2, 3, 2, 2, 9, 10, 0, 9, 8})
	f.Add([]byte{0, 1, 1, 1, 0, 0, 255, 0, 1, 1, 2, 0, 0, 255, 0, 1, 1, 3, 0, 0, 255, 0, 1, 1, 4, 0, 0, 255, 1, 255, 0, 1, 2, 2, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := &stream{t: t, store: &flaky{left: -1}, script: script[:min(len(script), 400)], retries: 8}
		s.load()
		for len(s.script) > 0 {
			s.proved = false
			steps[int(s.next())%len(steps)](s)
			left, _, err := s.c.PINRetries(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left > s.retries && !s.proved {
				t.Fatalf("the retries went from %d to %d", s.retries, left)
			}
			s.retries = left
			n, info := len(s.a.Credentials()), s.a.Info()
			if n > 3 || int(*info.RemainingDiscoverableCredentials) != 3-n || info.Options["clientPin"] != (s.pin != nil) {
				t.Fatalf("%d credentials in a key with room for 3, a PIN %v, and the info is %+v", n, s.pin != nil, info)
			}
		}
	})
}
