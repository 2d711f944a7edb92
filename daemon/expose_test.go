package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
)

// shared is a virtual key in front of a lab's keys, as a program that knows keys only meets it.
type shared struct {
	l      *lab
	fanout *hid.Fanout // nil until plugged in
	who    policy.Actor
	plugs  int
	like   hid.Info
	done   chan error
}

// expose shows a virtual key; programs open it with open.
func (l *lab) expose(who policy.Actor, key string) *shared {
	s := &shared{l: l, who: who, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(l.ctx)
	l.t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil {
			l.t.Errorf("Expose: %v", err)
		}
	})
	go func() {
		s.done <- l.engine.Expose(ctx, daemon.Exposure{
			Key: key,
			Plug: func(_ context.Context, like hid.Info) (hid.Device, error) {
				s.plugs++
				s.like = like
				host, end := hid.NewPipe(64, 64)
				s.fanout = hid.NewFanout(host)
				return end, nil
			},
			Who: func() policy.Actor { return s.who },
		})
	}()
	time.Sleep(time.Second)
	l.settle()
	return s
}

// open opens a channel on the virtual key.
func (s *shared) open(t *testing.T) *ctaphid.Channel {
	t.Helper()
	ch, err := (&ctaphid.Config{}).Open(s.l.ctx, s.fanout.Connect())
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func newKey(t *testing.T, cfg softkey.Config) *softkey.Authenticator {
	t.Helper()
	a, err := softkey.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func credentialRequest(rpID string) *ctap2.MakeCredentialRequest {
	return &ctap2.MakeCredentialRequest{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: rpID}, User: ctap2.User{ID: []byte{1}, Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameter{{Type: ctap2.TypePublicKey, Alg: -7}},
	}
}

func parsed(t *testing.T, r *ctap2.MakeCredentialResponse) *ctap2.AuthData {
	t.Helper()
	if r == nil {
		t.Fatal("no credential")
	}
	data, err := ctap2.ParseAuthData(r.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func authorize(token *ctap2.Token, protocol ctap2.PINUVProtocol, r *ctap2.MakeCredentialRequest) {
	param := token.Authenticate(r.ClientDataHash)
	r.PINUVAuthParam, r.PINUVAuthProtocol = &param, protocol
}

// A program that knows keys only sets a PIN, registers with it and signs in; the real key does it all.
func TestExposedKeyPassesPINProtocolsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("real", newKey(t, softkey.Config{}), ctaphid.ServerConfig{})
		s := l.expose(policy.Actor{UID: alice.UID, User: "alice", Program: "firefox", PID: 99}, "")
		client := ctap2.NewClient(s.open(t), nil)
		for _, protocol := range []ctap2.PINUVProtocol{2, 1} {
			info, err := client.GetInfo(l.ctx)
			if err != nil || info.AAGUID.IsZero() {
				t.Fatalf("got %+v, %v", info, err)
			}
			if protocol == 2 {
				if err := client.SetPIN(l.ctx, protocol, []byte("2468")); err != nil {
					t.Fatal(err)
				}
			}
			if info, err = client.GetInfo(l.ctx); err != nil || !info.Options[ctap2.OptionClientPIN] {
				t.Errorf("the PIN is not in getInfo: %v, %v", info.Options, err)
			}
			token, err := client.PINToken(l.ctx, ctap2.TokenRequest{
				Protocol: protocol, PIN: []byte("2468"), Permissions: ctap2.PermissionMakeCredential, RPID: "example.org",
			})
			if err != nil {
				t.Fatal(err)
			}
			r := credentialRequest("example.org")
			authorize(token, protocol, r)
			made, err := client.MakeCredential(l.ctx, r)
			if err != nil || parsed(t, made).Flags&ctap2.FlagUV == 0 {
				t.Fatalf("got %+v, %v", made, err)
			}
			token.Wipe()
		}
		// A wrong PIN is the program's own and costs one try.
		before, _, _ := client.PINRetries(l.ctx)
		_, err := client.PINToken(l.ctx, ctap2.TokenRequest{Protocol: 2, PIN: []byte("1111"), Permissions: ctap2.PermissionGetAssertion, RPID: "a.b"})
		if !errors.Is(err, ctap2.ErrPINInvalid) {
			t.Errorf("got %v", err)
		}
		if after, _, _ := client.PINRetries(l.ctx); after != before-1 {
			t.Errorf("%d retries after %d", after, before)
		}
		if s.like.Product != "Key real" {
			t.Errorf("the virtual key is like %+v", s.like)
		}
	})
}

// Programs on the socket and programs on the virtual key wait for each other, and people see who it is.
func TestExposedKeyStandsInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "e", Presence: "manual"}, nil)
		s := l.expose(policy.Actor{UID: alice.UID, User: "alice", Program: "ssh-keygen", PID: 99}, "")
		agent := l.agent(alice, "test", api.PromptTouch)
		defer agent.cancel()

		first := l.start(api.OpTouch, api.TouchRequest{}, nil)
		time.Sleep(time.Second)
		ch := s.open(t)
		var mu sync.Mutex
		var heardOf []byte
		statuses := func() []byte {
			mu.Lock()
			defer mu.Unlock()
			return bytes.Clone(heardOf)
		}
		made := make(chan error, 1)
		ctx, cancel := context.WithCancel(l.ctx)
		go func() {
			client := ctap2.NewClient(ch, func(status byte) {
				mu.Lock()
				defer mu.Unlock()
				heardOf = append(heardOf, status)
			})
			_, err := client.MakeCredential(ctx, credentialRequest("example.org"))
			made <- err
		}()
		time.Sleep(time.Second)
		l.settle()
		if heard := statuses(); bytes.Contains(heard, []byte{ctap2.KeepaliveUPNeeded}) || len(heard) == 0 {
			t.Errorf("while it waits its turn, the program hears % x", heard)
		}
		// A third one waits, and hears of both.
		me := &person{}
		third := l.start(api.OpTouch, api.TouchRequest{}, me)
		time.Sleep(time.Second)
		must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
		if _, err := first.wait(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.settle()
		p := agent.last(t, api.PromptTouch)
		if p.Program != "ssh-keygen" || p.PID != 99 || p.RPID != "example.org" || !strings.Contains(p.Message, "register it with example.org") {
			t.Errorf("the prompt says %+v", p)
		}
		if heard := statuses(); !bytes.Contains(heard, []byte{ctap2.KeepaliveUPNeeded}) {
			t.Errorf("the program hears % x, want that a touch is needed", heard)
		}
		var heard string
		me.mu.Lock()
		seen := slices.Clone(me.seen)
		me.mu.Unlock()
		for _, p := range seen {
			heard += p.Message + "\n"
		}
		if !strings.Contains(heard, "ssh-keygen (process 99) of alice for register") {
			t.Errorf("the third one heard %q", heard)
		}
		// It gives up, and the third one has its turn.
		cancel()
		if err := <-made; !errors.Is(err, context.Canceled) && !errors.Is(err, ctap2.ErrKeepaliveCancel) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
		if _, err := third.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestExposedKeyObeysThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		key := newKey(t, softkey.Config{})
		l.plug("real", key, ctaphid.ServerConfig{})
		s := l.expose(policy.Actor{UID: 1001, User: "eve", Program: "evil"}, "")
		ch := s.open(t)
		client := ctap2.NewClient(ch, nil)
		if _, err := client.MakeCredential(l.ctx, credentialRequest("example.org")); !errors.Is(err, ctap2.ErrOperationDenied) {
			t.Errorf("got %v", err)
		}
		if err := client.Reset(l.ctx); !errors.Is(err, ctap2.ErrOperationDenied) {
			t.Errorf("reset: got %v", err)
		}
		if _, err := (&u2f.Client{Transport: ch}).Register(l.ctx, u2f.RegisterRequest{}, nil); err == nil {
			t.Error("U2F is not denied")
		}
		// Two values for one member: the policy and the key could read different ones.
		answer, err := ch.CBOR(l.ctx, []byte{2, 0xA3, 1, 0x61, 'a', 1, 0x61, 'b', 2, 0x40}, nil)
		if err != nil || len(answer) != 1 || answer[0] == 0 {
			t.Errorf("got % x, %v", answer, err)
		}
		if key.CredentialCount() != 0 {
			t.Error("a credential was made")
		}
	})
}

// Between the messages of a PIN dialogue nobody comes in between; one that is not gone on with is over soon.
func TestExposedKeyKeepsADialogueTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := newKey(t, softkey.Config{})
		if err := ctap2.NewClient(a, nil).SetPIN(l.ctx, 2, []byte("2468")); err != nil {
			t.Fatal(err)
		}
		l.plug("real", a, ctaphid.ServerConfig{})
		s := l.expose(alice, "")
		client := ctap2.NewClient(s.open(t), nil)
		token, err := client.PINToken(l.ctx, ctap2.TokenRequest{Protocol: 2, PIN: []byte("2468"), Permissions: ctap2.PermissionMakeCredential, RPID: "example.org"})
		if err != nil {
			t.Fatal(err)
		}
		// Another program would get a token and end this one.
		began := time.Now()
		other := l.start(api.OpCredentialList, api.CredentialListRequest{}, &person{pins: []string{"2468"}})
		time.Sleep(500 * time.Millisecond)
		if !other.running() {
			t.Error("another program came in between")
		}
		r := credentialRequest("example.org")
		authorize(token, 2, r)
		if _, err := client.MakeCredential(l.ctx, r); err != nil {
			t.Fatal(err)
		}
		_, _ = other.wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the other program waited for %v", took)
		}
		// A dialogue that is not gone on with keeps the key for a second.
		if _, err := client.KeyAgreement(l.ctx, 2); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, &person{})
		if took := time.Since(began); took < 500*time.Millisecond || took > 2*time.Second {
			t.Errorf("the key was kept for %v", took)
		}
	})
}

// Of several keys, the one that has the credential is asked; the virtual key comes and goes with its model.
func TestExposedKeyOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		first, second := newKey(t, softkey.Config{}), newKey(t, softkey.Config{})
		l.plug("b", second, ctaphid.ServerConfig{})
		s := l.expose(alice, "")
		client := ctap2.NewClient(s.open(t), nil)
		made, err := client.MakeCredential(l.ctx, credentialRequest("example.org"))
		if err != nil {
			t.Fatal(err)
		}
		registered, err := (&u2f.Client{Transport: s.open(t)}).Register(l.ctx, u2f.RegisterRequest{Application: [32]byte{1}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.plug("a", first, ctaphid.ServerConfig{})
		l.bus.Detach("b")
		time.Sleep(2 * time.Second)
		l.plug("b", second, ctaphid.ServerConfig{})
		if s.plugs != 2 || s.like.Product != "Key a" {
			t.Fatalf("plugged in %d times, like %+v", s.plugs, s.like)
		}
		client = ctap2.NewClient(s.open(t), nil)
		got, err := client.GetAssertion(l.ctx, &ctap2.GetAssertionRequest{
			RPID: "example.org", ClientDataHash: make([]byte, 32),
			AllowList: []ctap2.CredentialDescriptor{{ID: parsed(t, made).CredentialID, Type: ctap2.TypePublicKey}},
		})
		if err != nil || got == nil {
			t.Fatalf("got %v", err)
		}
		_, err = (&u2f.Client{Transport: s.open(t)}).Authenticate(l.ctx, u2f.AuthenticateRequest{
			Control: u2f.ControlEnforce, Application: [32]byte{1}, KeyHandle: registered.KeyHandle,
		}, nil)
		if err != nil {
			t.Errorf("U2F: %v", err)
		}
	})
}
