package daemon_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

// altered is a softkey that says something else of itself.
type altered struct {
	*softkey.Authenticator
	change func(*ctap2.Info)
	// answer, if not nil, may answer in its place.
	answer func(cmd ctap2.Cmd) []byte
}

func (a *altered) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	if a.answer != nil {
		if response := a.answer(ctap2.Cmd(request[0])); response != nil {
			return response, nil
		}
	}
	response, err := a.Authenticator.CBOR(ctx, request, keepalive)
	if ctap2.Cmd(request[0]) != ctap2.CmdGetInfo || err != nil || a.change == nil {
		return response, err
	}
	var info ctap2.Info
	if err := ctap2.UnmarshalLenient(response[1:], &info); err != nil {
		return nil, err
	}
	a.change(&info)
	return ctap2.MarshalResponse(&info)
}

// older is a softkey that looks like one of CTAP 2.0.
func (l *lab) older(id string, cfg softkey.Config) *altered {
	l.t.Helper()
	auth, err := softkey.New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	a := &altered{Authenticator: auth, change: func(i *ctap2.Info) {
		i.Versions = []string{ctap2.VersionU2F, ctap2.VersionFIDO20}
		delete(i.Options, ctap2.OptionPINUVAuthToken)
		delete(i.Options, ctap2.OptionMakeCredUVNotRqd)
		i.PINUVAuthProtocols, i.MaxCredentialCountInList, i.Algorithms = nil, 0, nil
	}}
	l.plug(id, a, both)
	return a
}

func TestKeyOfCTAP20(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.older("k1", softkey.Config{})
		p := &person{}
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
		r := l.registers(creation("alice", ``, ``), p)
		l.asserts(request("preferred", r), p, r)
		p.pins = []string{"1234"}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
		// A token without permissions, for the registration too: the key has a PIN.
		p.pins = []string{"1234", "1234"}
		r = l.registers(creation("alice", `"userVerification":"discouraged"`, ``), p)
		if r.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		if got := l.asserts(request("required", r), p, r); got.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		// Verification by the key itself is asked for in the request; where it fails, the PIN.
		if err := k.SetVerification(softkey.VerificationGrant); err != nil {
			t.Fatal(err)
		}
		l.bus.Detach("k1")
		l.settle()
		l.plug("k1", k, both)
		p.seen = nil
		r = l.registers(creation("alice", `"userVerification":"required"`, ``), p)
		if got := l.asserts(request("required", r), p, r); got.data.Flags&r.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		if kinds := p.kinds(); slices.Contains(kinds, api.PromptPIN) {
			t.Errorf("got prompts %v, want no PIN", kinds)
		}
		if err := k.SetVerification(softkey.VerificationDeny); err != nil {
			t.Fatal(err)
		}
		p.pins = []string{"1234"}
		if got := l.asserts(request("required", r), p, r); got.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		if kinds := p.kinds(); !slices.Contains(kinds, api.PromptPIN) {
			t.Errorf("got prompts %v, want the PIN after the finger", kinds)
		}
	})
}

// A key that may hide a credential until the person is verified is left alone when another
// one certainly has it, and used when none has.
func TestKeyThatMayHideTheCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		blinks := map[string]int{}
		for _, id := range []string{"k1", "k2"} {
			l.soft(id, softkey.Config{OnPrompt: func(p *softkey.Prompt) {
				if p != nil {
					blinks[id]++
				}
			}})
			p.pins = []string{"1234"}
			must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{Key: id}, p)
		}
		p.pins = []string{"1234", "1234"}
		open := l.registers(creation("alice", ``, ``), p, "k2")
		hidden := l.registers(creation("alice", ``, `,"extensions":{"credentialProtectionPolicy":"userVerificationRequired"}`), p, "k2")
		clear(blinks)
		p.pins = []string{"1234"}
		if got := l.asserts(request("preferred", open), p, open); got.key != "k2" || blinks["k1"] != 0 || blinks["k2"] != 1 {
			t.Errorf("got key %s after blinks %v", got.key, blinks)
		}
		// Nobody knows who has it: the person says so.
		l.bus.Detach("k1")
		l.settle()
		p.pins = []string{"1234"}
		if got := l.asserts(request("preferred", hidden), p, hidden); got.key != "k2" {
			t.Errorf("got key %s", got.key)
		}
	})
}

func TestBusyKeyDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a, b := newToy(), newToy()
		l.plug("a", a, toyServer)
		l.plug("b", b, toyServer)
		first := l.start(api.OpTouch, api.TouchRequest{Key: "a"}, &person{})
		time.Sleep(time.Second)
		p := &person{}
		second := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		if touch, wait := p.now(api.PromptTouch), p.now(api.PromptWait); len(touch) != 1 || touch[0].Key != "b" || len(wait) != 1 || wait[0].Key != "a" {
			t.Fatalf("got %+v and %+v, want b to blink and a to be waited for", touch, wait)
		}
		b.touches <- struct{}{}
		if _, err := second.wait(); err != nil {
			t.Fatal(err)
		}
		if len(p.now(api.PromptWait)) != 0 {
			t.Error("still waits for a")
		}
		a.touches <- struct{}{}
		if _, err := first.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKeyThatRefusesLeavesTheSelection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		bad := newToy()
		bad.cbor = func(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
			if ctap2.Cmd(request[0]) == ctap2.CmdGetInfo {
				return ctap2.MarshalResponse(&bad.info)
			}
			return []byte{byte(ctap2.ErrUserActionTimeout)}, nil // at once, every time
		}
		good := newToy()
		l.plug("bad", bad, toyServer)
		l.plug("good", good, toyServer)
		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		good.touches <- struct{}{}
		v, err := r.wait()
		if err != nil {
			t.Fatal(err)
		}
		if got := v.(*api.TouchResult).Key.ID; got != "good" {
			t.Errorf("got %s", got)
		}
		l.bus.Detach("good")
		l.settle()
		l.fails(api.OpTouch, api.TouchRequest{}, p, api.CodeTimeout)
	})
}

// What a key says of its accounts is not believed without limits.
func TestKeyWithTooManyAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		auth, err := softkey.New(softkey.Config{})
		if err != nil {
			t.Fatal(err)
		}
		k := &altered{Authenticator: auth}
		l.plug("k1", k, both)
		p := &person{}
		r := l.registers(creation("alice", `"residentKey":"required"`, ``), p)
		l.asserts(request("discouraged"), p, r)
		k.answer = func(cmd ctap2.Cmd) []byte {
			if cmd != ctap2.CmdGetAssertion {
				return nil
			}
			response, err := ctap2.MarshalResponse(&ctap2.GetAssertionResponse{
				Credential: &ctap2.CredentialDescriptor{ID: r.ID, Type: ctap2.TypePublicKey},
				AuthData:   make([]byte, 37), Signature: []byte{1}, NumberOfCredentials: 1 << 30,
			})
			if err != nil {
				t.Error(err)
			}
			return response
		}
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged")}, p, api.CodeKeyError)
		k.answer = func(cmd ctap2.Cmd) []byte {
			if cmd != ctap2.CmdGetAssertion {
				return nil
			}
			response, err := ctap2.MarshalResponse(&ctap2.GetAssertionResponse{
				Credential: &ctap2.CredentialDescriptor{ID: r.ID, Type: ctap2.TypePublicKey},
				AuthData:   make([]byte, 37), Signature: []byte{1},
			})
			if err != nil {
				t.Error(err)
			}
			return response
		}
		e := l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged")}, p, api.CodeKeyError)
		if data, err := json.Marshal(e); err != nil || e.Key != "k1" {
			t.Errorf("got %s, %v", data, err)
		}
	})
}
