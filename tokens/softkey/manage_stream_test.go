package softkey_test

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// managed is a key with all that manages it in the hands of a script of bytes, and what must hold
// whatever the script is.
type managed struct {
	*manager
	t       *testing.T
	cfg     softkey.Config
	store   *flaky
	script  []byte
	users   map[string]string // the name of each credential's user, by credential id
	ids     [][]byte
	fingers map[string]string // the name of each finger, by template id
	finger  []byte            // that is being learnt, or the one of before
	blobs   []byte            // what is stored
	coming  []byte            // the array that is being written
	at      int               // how much of it came
	now     []byte            // the PIN, nil for none
}

func (s *managed) next() byte {
	if len(s.script) == 0 {
		return 0
	}
	b := s.script[0]
	s.script = s.script[1:]
	return b
}

func (s *managed) load() {
	s.store.left = -1 // the disk is in order again
	a, err := softkey.New(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.a, s.c, s.coming = a, ctap2.NewClient(a, nil), nil
}

func (s *managed) id() []byte {
	if len(s.ids) == 0 {
		return []byte("nobody's")
	}
	return s.ids[int(s.next())%len(s.ids)]
}

func (s *managed) text() string {
	return string(bytes.Repeat([]byte{'a' + s.next()%26}, int(s.next())%70))
}

var managedSteps = []func(s *managed){
	func(s *managed) { // a credential
		r := creation()
		resident(r)
		user := fmt.Sprint(s.next() % 4)
		r.RP.ID, r.User = fmt.Sprint(s.next()%3), ctap2.User{ID: []byte(user), Name: user}
		r.PubKeyCredParams[0].Alg = cose.EdDSA
		if s.token != nil {
			r.Authorize(s.token)
		}
		if made, err := s.c.MakeCredential(s.t.Context(), r); err == nil {
			for _, c := range s.a.Credentials() { // those that it replaced are gone
				s.users[string(c.ID)+"kept"] = ""
			}
			for id := range s.users {
				if _, kept := s.users[id+"kept"]; !kept && len(id) == 32 {
					delete(s.users, id)
				}
			}
			for id := range s.users {
				if len(id) != 32 {
					delete(s.users, id)
				}
			}
			id := credentialID(s.t, made)
			s.ids = append(s.ids, id)
			s.users[string(id)] = user
		}
	},
	func(s *managed) {
		id := s.id()
		_, there := s.users[string(id)]
		if err := s.delete(id); err == nil {
			if !there {
				s.t.Fatal("a credential was deleted that is not there")
			}
			delete(s.users, string(id))
		}
	},
	func(s *managed) {
		id, name := s.id(), s.text()
		user := ""
		for _, c := range s.a.Credentials() {
			if bytes.Equal(c.ID, id) {
				user = string(c.User.ID)
			}
		}
		if s.next()%8 == 0 {
			user += "x" // another user's
		}
		if err := s.update(id, ctap2.User{ID: []byte(user), Name: name}); err == nil {
			s.users[string(id)] = name[:min(len(name), 64)]
		}
	},
	func(s *managed) {
		if list, err := s.rps(); err == nil {
			n := 0
			for _, rp := range list {
				of, err := s.of(rp)
				if err != nil {
					s.t.Fatalf("the credentials of %s: %v", rp, err)
				}
				n += len(of)
			}
			if n != len(s.users) {
				s.t.Fatalf("%d credentials are listed, want %d", n, len(s.users))
			}
		}
	},
	func(s *managed) {
		if s.c.SetPIN(s.t.Context(), 2, []byte("123456")) == nil {
			s.now = []byte("123456")
		}
	},
	func(s *managed) {
		to := bytes.Repeat([]byte{'0' + s.next()%10}, 4+int(s.next())%8)
		if s.now != nil && s.c.ChangePIN(s.t.Context(), 1, s.now, to) == nil {
			s.now = to
		}
	},
	func(s *managed) { // a token of some permissions
		r := ctap2.TokenRequest{Protocol: ctap2.PINUVProtocol(1 + s.next()%2), PIN: s.now, Permissions: ctap2.Permission(s.next() & 0x7F)}
		if r.Permissions&3 != 0 {
			r.RPID = fmt.Sprint(s.next() % 3)
		}
		if r.Permissions == 0 {
			r.Legacy = true
		}
		if token, err := s.c.PINToken(s.t.Context(), r); err == nil {
			s.token = token
		}
	},
	func(s *managed) { s.token = nil },
	func(s *managed) { // begin to write an array
		s.coming, s.at = array(17+int(s.next())*20, s.next()), 0
		if s.next()%4 == 0 {
			s.coming[len(s.coming)-1]++ // damaged
		}
		s.fragment()
	},
	func(s *managed) { s.fragment() },
	func(s *managed) { _ = s.configure(ctap2.ConfigSubcommand(s.next()%6), nil) },
	func(s *managed) {
		p := &ctap2.SetMinPINLengthParams{}
		kinds := s.next()
		if kinds&1 != 0 {
			p.NewMinPINLength = ref(uint(s.next() % 9))
		}
		if kinds&2 != 0 {
			p.MinPINLengthRPIDs = []string{"a", "b", "c"}[:s.next()%4]
		}
		if kinds&4 != 0 {
			p.ForceChangePIN = ref(s.next()%2 == 0)
		}
		if kinds&8 != 0 {
			p.PINComplexityPolicy = ref(s.next()%2 == 0)
		}
		_ = s.configure(ctap2.SubSetMinPINLength, p)
	},
	func(s *managed) { s.a.Samples(ctap2.SampleStatus(s.next() % 16)) },
	func(s *managed) {
		if got, err := s.manager.fingers(ctap2.SubEnrollBegin, nil); err == nil {
			s.sampled(got.TemplateID, got)
		}
	},
	func(s *managed) {
		if got, err := s.manager.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: s.finger}); err == nil {
			s.sampled(s.finger, got)
		}
	},
	func(s *managed) {
		name := s.text()
		if _, err := s.manager.fingers(ctap2.SubSetFriendlyName, &ctap2.BioEnrollmentParams{TemplateID: s.finger, TemplateName: &name}); err == nil {
			if _, there := s.fingers[string(s.finger)]; !there {
				s.t.Fatal("a finger was named that is not there")
			}
			s.fingers[string(s.finger)] = name
		}
	},
	func(s *managed) {
		if _, err := s.manager.fingers(ctap2.SubRemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: s.finger}); err == nil {
			delete(s.fingers, string(s.finger))
		}
	},
	func(s *managed) { _, _ = s.manager.fingers(ctap2.SubCancelCurrentEnrollment, nil) },
	func(s *managed) { s.a.PowerCycle() },
	func(s *managed) { // as it was before
		s.store.left = -1
		before := s.seen()
		s.load()
		if after := s.seen(); !reflect.DeepEqual(after, before) {
			s.t.Fatalf("after a load\n%+v\nwant\n%+v", after, before)
		}
	},
	func(s *managed) { s.store.left = int(s.next()) % 6 }, // a write soon fails
	func(s *managed) {
		if s.next()%4 == 0 && s.c.Reset(s.t.Context()) == nil {
			s.users, s.fingers, s.ids, s.blobs, s.now, s.token = map[string]string{}, map[string]string{}, nil, emptyArray, nil, nil
		}
	},
	func(s *managed) { // whatever comes next
		cmds := []ctap2.Cmd{
			ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview, ctap2.CmdCredentialManagement,
			ctap2.CmdCredentialManagementPreview, ctap2.CmdLargeBlobs, ctap2.CmdConfig,
		}
		request := []byte{byte(cmds[int(s.next())%len(cmds)])}
		n := min(int(s.next())%48, len(s.script))
		request = append(request, s.script[:n]...)
		s.script = s.script[n:]
		if s.now == nil && n > 0 { // without a PIN it may change what a script does not know of
			request[0] = byte(ctap2.CmdCredentialManagement)
		}
		response, err := s.a.CBOR(s.t.Context(), request, nil)
		if err != nil || len(response) == 0 {
			s.t.Fatalf("%x: %x, %v", request, response, err)
		}
	},
}

// fragment writes the next fragment of what is coming.
func (s *managed) fragment() {
	if s.coming == nil {
		return
	}
	end := min(s.at+1+int(s.next())*5, len(s.coming))
	err := s.setBlobs(s.coming[s.at:end], uint(s.at), uint(len(s.coming)))
	switch {
	case err == nil && end == len(s.coming):
		if s.coming[len(s.coming)-1] != array(len(s.coming), s.coming[0])[len(s.coming)-1] {
			s.t.Fatal("a damaged array was stored")
		}
		s.blobs, s.coming = s.coming, nil
	case err == nil:
		s.at = end
	default:
		s.coming = nil
	}
}

// sampled notes a sample of a finger.
func (s *managed) sampled(id []byte, got *ctap2.BioEnrollmentResponse) {
	s.finger = id
	if *got.RemainingSamples == 0 {
		s.fingers[string(id)] = ""
	}
}

// check looks at what must always hold.
func (s *managed) check(was seen) seen {
	is := s.seen()
	info := s.a.Info()
	if len(is.Credentials) != len(s.users) || uint(len(is.Credentials))+*info.RemainingDiscoverableCredentials != uint(s.cfg.MaxCredentials) {
		s.t.Fatalf("%d credentials, want %d, and the info is %+v", len(is.Credentials), len(s.users), info)
	}
	for _, c := range is.Credentials {
		if name, there := s.users[string(c.ID)]; !there || name != c.User.Name {
			s.t.Fatalf("the credential %+v, want the name %q", c, name)
		}
	}
	if _, there := is.Options[ctap2.OptionLargeBlobs]; there && is.Blobs != string(s.blobs) {
		s.t.Fatalf("the array is %x, want %x", is.Blobs, s.blobs)
	}
	if len(is.Fingers) != len(s.fingers) || uint(len(is.Fingers)) > s.cfg.MaxFingers || is.Options[ctap2.OptionUV] != (len(s.fingers) > 0) {
		s.t.Fatalf("the fingers are %q, want %q, uv is %v", is.Fingers, s.fingers, is.Options[ctap2.OptionUV])
	}
	if is.PIN != (s.now != nil) {
		s.t.Fatalf("a PIN is set: %v, want %v", is.PIN, s.now != nil)
	}
	if s.now != nil && is.Least > uint(len(s.now)) && !is.Force {
		s.t.Fatalf("a PIN of %d is too short for %d and need not be changed", len(s.now), is.Least)
	}
	if is.PIN || was.PIN { // no reset in between: nothing goes back
		if is.Least < was.Least || was.Long && !is.Long || was.Policy && !is.Policy || was.Options[ctap2.OptionEnterprise] && !is.Options[ctap2.OptionEnterprise] {
			if is.PIN {
				s.t.Fatalf("the configuration went from %+v to %+v", was, is)
			}
		}
	}
	return is
}

// FuzzManagementStream drives a key with a script of commands that manage it, failing writes, power
// cycles and loads. What was confirmed is there, what was refused is not, the large-blob array is always
// a whole one, the configuration never goes back but by a reset, and what getInfo says agrees.
func FuzzManagementStream(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 1, 0, 2, 2, 0, 3, 0, 4, 6, 1, 4, 3, 1, 0, 2, 1, 5, 9, 1, 19, 3})
	f.Add([]byte{0, 8, 20, 7, 1, 40, 9, 40, 9, 40, 19, 8, 20, 7, 0, 255, 19, 4, 6, 1, 0x10, 8, 200, 3, 1, 255, 9, 255, 9, 255, 9, 255, 19})
	f.Add([]byte{0, 10, 1, 10, 2, 10, 4, 11, 1, 6, 19, 4, 11, 1, 8, 6, 1, 0x20, 11, 5, 8, 0, 19, 5, 3, 9, 11, 15, 4, 2, 1, 1, 5, 1, 7})
	f.Add([]byte{1, 4, 6, 1, 8, 13, 14, 15, 3, 9, 12, 5, 13, 14, 14, 16, 19, 13, 14, 20, 0, 14, 19, 14, 17, 21, 0})
	f.Add([]byte{1, 20, 1, 4, 4, 6, 1, 4, 20, 2, 1, 0, 2, 0, 1, 2, 20, 0, 1, 0, 19, 22, 2, 6, 0xA1, 1, 1, 22, 0, 3, 0xA1, 6, 0xF5})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := &managed{t: t, store: &flaky{left: -1}, script: script[:min(len(script), 300)], users: map[string]string{}, fingers: map[string]string{}, blobs: emptyArray}
		s.cfg = softkey.Config{
			Profile: softkey.ProfileFIDO21, Seed: []byte("stream"), Store: s.store, Attestation: softkey.AttestationSelf,
			Algorithms: []cose.Algorithm{cose.EdDSA}, MaxCredentials: 4, ResetWindow: -1, SamplesPerFinger: 2, MaxFingers: 2,
		}
		if s.next()%2 == 1 {
			s.cfg.Profile = softkey.ProfileFIDO23Bio
		}
		s.manager = &manager{t: t}
		s.cmds.credentials, s.cmds.fingers = ctap2.CmdCredentialManagement, ctap2.CmdBioEnrollment
		s.load()
		is := s.check(s.seen())
		for len(s.script) > 0 {
			managedSteps[int(s.next())%len(managedSteps)](s)
			is = s.check(is)
		}
	})
}
