package daemon_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/softkey"
)

// both are the capabilities of a key that speaks CTAP1 and CTAP2, u2fOnly of an old one.
var (
	both    = ctaphid.ServerConfig{Capabilities: ctaphid.CapCBOR | ctaphid.CapWink}
	u2fOnly = ctaphid.ServerConfig{Capabilities: ctaphid.CapWink}
)

// soft plugs a softkey in.
func (l *lab) soft(id string, cfg softkey.Config) *softkey.Authenticator {
	l.t.Helper()
	auth, err := softkey.New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	server := both
	if cfg.CTAP1Only {
		server = u2fOnly
	}
	l.plug(id, auth, server)
	return auth
}

const origin = "https://login.example.org"

// creation makes creation options; selection and extra are JSON members.
func creation(user, selection, extra string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"rp":{"id":"example.org","name":"Example"},"user":{"id":%q,"name":%q,"displayName":""},
		"challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","pubKeyCredParams":[{"type":"public-key","alg":-7}],
		"authenticatorSelection":{%s}%s}`, api.Bytes(user).String(), user, selection, extra))
}

// request makes request options.
func request(verification string, allow ...*registered) json.RawMessage {
	var list []string
	for _, r := range allow {
		list = append(list, fmt.Sprintf(`{"type":"public-key","id":%q}`, r.ID))
	}
	return json.RawMessage(fmt.Sprintf(`{"rpId":"example.org","challenge":"bm90aGVyIGNoYWxsZW5nZQ","userVerification":%q,"allowCredentials":[%s]}`,
		verification, strings.Join(list, ",")))
}

// registered is a registration, as a site sees it.
type registered struct {
	ID       api.Bytes
	Response struct {
		ClientDataJSON, AuthenticatorData, AttestationObject, PublicKey api.Bytes
		Transports                                                      []string
	}
	ClientExtensionResults map[string]any

	key  string
	data *ctap2.AuthData
	fmt  string
}

func checkRegistration(t testing.TB, result *api.RegisterResult) *registered {
	t.Helper()
	r := &registered{key: result.Key.ID}
	if err := json.Unmarshal(result.Credential, r); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"type":"webauthn.create","challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","origin":%q,"crossOrigin":false}`, origin)
	if got := string(r.Response.ClientDataJSON); got != want {
		t.Errorf("got client data %s, want %s", got, want)
	}
	object, err := ctap2.ParseAttestationObject(r.Response.AttestationObject)
	if err != nil {
		t.Fatal(err)
	}
	if r.data, err = object.ParsedAuthData(); err != nil {
		t.Fatal(err)
	}
	r.fmt = object.Fmt
	if r.data.RPIDHash != sha256.Sum256([]byte("example.org")) || !bytes.Equal(r.data.CredentialID, r.ID) {
		t.Errorf("got credential %x for %x", r.data.CredentialID, r.data.RPIDHash)
	}
	return r
}

func (l *lab) registers(options json.RawMessage, ui daemon.UI, key ...string) *registered {
	l.t.Helper()
	req := api.RegisterRequest{Origin: origin, Options: options}
	if len(key) > 0 {
		req.Key = key[0]
	}
	return checkRegistration(l.t, must[api.RegisterResult](l, api.OpRegister, req, ui))
}

// asserted is an assertion, as a site sees it.
type asserted struct {
	ID       api.Bytes
	Response struct{ ClientDataJSON, AuthenticatorData, Signature, UserHandle api.Bytes }

	key  string
	data *ctap2.AuthData
}

func (l *lab) asserts(options json.RawMessage, ui daemon.UI, by ...*registered) *asserted {
	l.t.Helper()
	result := must[api.AssertResult](l, api.OpAssert, api.AssertRequest{Origin: origin, Options: options}, ui)
	a := &asserted{key: result.Key.ID}
	if err := json.Unmarshal(result.Credential, a); err != nil {
		l.t.Fatal(err)
	}
	var err error
	if a.data, err = ctap2.ParseAuthData(a.Response.AuthenticatorData); err != nil {
		l.t.Fatal(err)
	}
	hash := sha256.Sum256(a.Response.ClientDataJSON)
	for _, r := range by {
		if bytes.Equal(r.ID, a.ID) {
			if err := r.data.PublicKey.Verify(slices.Concat(a.Response.AuthenticatorData, hash[:]), a.Response.Signature); err != nil {
				l.t.Error(err)
			}
			return a
		}
	}
	l.t.Errorf("signed by %x, which is none of those expected", a.ID)
	return a
}

func TestRegisterAndAssert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		p := &person{}
		r := l.registers(creation("alice", `"userVerification":"discouraged"`, `,"attestation":"direct","extensions":{"credProps":true}`), p)
		if r.fmt != "packed" || r.data.Flags&ctap2.FlagUP == 0 || r.data.Flags&ctap2.FlagUV != 0 {
			t.Errorf("got format %s, flags %x", r.fmt, r.data.Flags)
		}
		if got := fmt.Sprint(r.ClientExtensionResults); got != "map[credProps:map[rk:false]]" {
			t.Errorf("got extensions %s", got)
		}
		if !slices.Contains(r.Response.Transports, "usb") {
			t.Errorf("got transports %v", r.Response.Transports)
		}
		a := l.asserts(request("discouraged", r), p, r)
		if a.data.Flags&ctap2.FlagUP == 0 || len(a.Response.UserHandle) != 0 {
			t.Errorf("got flags %x, user handle %q", a.data.Flags, a.Response.UserHandle)
		}
		b := l.asserts(request("preferred", r), p, r)
		if b.data.SignCount <= a.data.SignCount {
			t.Errorf("counter went from %d to %d", a.data.SignCount, b.data.SignCount)
		}
		none := l.registers(creation("alice", ``, ``), p)
		if none.fmt != "none" || !none.data.AAGUID.IsZero() {
			t.Errorf("got format %s, AAGUID %v, want none and zero", none.fmt, none.data.AAGUID)
		}
	})
}

func TestRegisterWaitsForTheTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.soft("k1", softkey.Config{Presence: softkey.PresenceManual})
		p := &person{}
		r := l.start(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``), Purpose: "new account"}, p)
		time.Sleep(time.Second)
		open := p.now(api.PromptTouch)
		if len(open) != 1 || open[0].RPID != "example.org" || open[0].Purpose != "new account" ||
			open[0].Message != "Touch Yubico Key k1: browser wants to register it with example.org (new account)" {
			t.Fatalf("got %+v, want a touch prompt that names the site", open)
		}
		k.Touch()
		v, err := r.wait()
		if err != nil {
			t.Fatal(describeError(err))
		}
		checkRegistration(t, v.(*api.RegisterResult))
		if len(p.kinds()) != 1 {
			t.Errorf("got prompts %v, want one", p.kinds())
		}

		// Hanging up in the middle leaves the key usable at once.
		r = l.start(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p)
		time.Sleep(time.Second)
		r.cancel()
		_, err = r.wait()
		wantCode(t, err, api.CodeCancelled)
		if err := k.SetPresence(softkey.PresenceGrant, 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		l.registers(creation("alice", ``, ``), p)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the key was usable after %v", took)
		}
		if err := k.SetPresence(softkey.PresenceDeny, 0); err != nil {
			t.Fatal(err)
		}
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p, api.CodeDenied)
	})
}

func TestOptionsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{Presence: softkey.PresenceManual})
		for want, r := range map[time.Duration]api.RegisterRequest{
			12 * time.Second: {Options: creation("alice", ``, `,"timeout":12000`)},
			10 * time.Second: {Options: creation("alice", ``, `,"timeout":1`)},
			5 * time.Second:  {Options: creation("alice", ``, `,"timeout":12000`), TimeoutMS: 5000},
		} {
			r.Origin = origin
			began := time.Now()
			l.fails(api.OpRegister, r, &person{}, api.CodeTimeout)
			if took := time.Since(began); took < want || took > want+time.Second {
				t.Errorf("took %v, want %v", took, want)
			}
		}
	})
}

func TestRegisterRefusesWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		good := creation("alice", ``, ``)
		for _, r := range []api.RegisterRequest{
			{Options: good},
			{Origin: "http://example.org", Options: good},
			{Origin: "https://example.com", Options: good},
			{Origin: "https://example.org/", Options: good},
			{Origin: origin},
			{Origin: origin, Options: json.RawMessage(`[]`)},
			{Origin: origin, Options: json.RawMessage(`{"rp":{}}`)},
			{Origin: origin, Options: good, Purpose: strings.Repeat("x", 201)},
			{Origin: origin, Options: creation("alice", `"authenticatorAttachment":"platform"`, ``)},
		} {
			l.fails(api.OpRegister, r, &person{}, api.CodeInvalidRequest)
		}
		for _, r := range []api.AssertRequest{
			{Origin: "https://example.com", Options: request("preferred")},
			{Origin: origin, Options: json.RawMessage(`{}`)},
		} {
			l.fails(api.OpAssert, r, &person{}, api.CodeInvalidRequest)
		}
	})
}

func TestExcluded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		p := &person{}
		r := l.registers(creation("alice", ``, ``), p)
		exclude := func(n int) json.RawMessage {
			list := []string{}
			for i := range n {
				list = append(list, fmt.Sprintf(`{"type":"public-key","id":%q}`, api.Bytes(fmt.Sprintf("some other credential %d", i))))
			}
			list = append(list, fmt.Sprintf(`{"type":"public-key","id":%q}`, r.ID))
			return creation("alice", ``, `,"excludeCredentials":[`+strings.Join(list, ",")+`]`)
		}
		// In one message, and looked for in pieces.
		for _, n := range []int{0, 5, 200} {
			l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: exclude(n)}, p, api.CodeCredentialExcluded)
		}
		p.pins = []string{"1234", "1234"}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: exclude(200)}, p, api.CodeCredentialExcluded)
	})
}

func TestDiscoverable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{Verification: softkey.VerificationGrant})
		p := &person{}
		const discoverable = `"residentKey":"required","userVerification":"required"`
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("preferred")}, p, api.CodeNoCredentials)
		alice := l.registers(creation("alice", discoverable, `,"extensions":{"credProps":true}`), p)
		if alice.data.Flags&ctap2.FlagUV == 0 || fmt.Sprint(alice.ClientExtensionResults) != "map[credProps:map[rk:true]]" {
			t.Errorf("got flags %x, extensions %v", alice.data.Flags, alice.ClientExtensionResults)
		}
		if got := l.asserts(request("required"), p, alice); string(got.Response.UserHandle) != "alice" || got.data.Flags&ctap2.FlagUV == 0 {
			t.Errorf("got user %q, flags %x", got.Response.UserHandle, got.data.Flags)
		}
		bob := l.registers(creation("bob", discoverable, ``), p)
		carol := l.registers(creation("carol", discoverable, ``), p)
		for i, want := range []string{"carol", "bob", "alice"} {
			p.choice = i
			if got := l.asserts(request("required"), p, alice, bob, carol); string(got.Response.UserHandle) != want {
				t.Errorf("choice %d: got %q, want %q", i, got.Response.UserHandle, want)
			}
		}
		var names []string
		for _, prompt := range p.seen {
			if prompt.Kind == api.PromptChoose {
				names = nil
				for _, c := range prompt.Choices {
					names = append(names, c.Name)
				}
			}
		}
		if want := []string{"carol", "bob", "alice"}; !slices.Equal(names, want) {
			t.Errorf("got choices %v, want %v", names, want)
		}
		p.choice = 3
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("required")}, p, api.CodeInvalidRequest)
	})
}

func TestHMACSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		p := &person{}
		r := l.registers(creation("alice", ``, `,"extensions":{"hmacCreateSecret":true}`), p)
		if fmt.Sprint(r.ClientExtensionResults) != "map[hmacCreateSecret:true]" {
			t.Errorf("got extensions %v", r.ClientExtensionResults)
		}
		salt := strings.Repeat("A", 43)
		get := func(second string) [2]string {
			options := strings.TrimSuffix(string(request("discouraged", r)), "}") + `,"extensions":{"hmacGetSecret":{"salt1":"` + salt + `"` + second + `}}}`
			result := must[api.AssertResult](l, api.OpAssert, api.AssertRequest{Origin: origin, Options: json.RawMessage(options)}, p)
			var got struct {
				ClientExtensionResults struct {
					HMACGetSecret struct{ Output1, Output2 string }
				}
			}
			if err := json.Unmarshal(result.Credential, &got); err != nil {
				t.Fatal(err)
			}
			return [2]string{got.ClientExtensionResults.HMACGetSecret.Output1, got.ClientExtensionResults.HMACGetSecret.Output2}
		}
		one, two := get(""), get(`,"salt2":"`+strings.Repeat("A", 42)+`E"`)
		if len(one[0]) != 43 || one[1] != "" || one[0] != two[0] || len(two[1]) != 43 || two[1] == two[0] {
			t.Errorf("got %v and %v", one, two)
		}
	})
}

func TestU2FOnlyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.soft("k1", softkey.Config{CTAP1Only: true, Presence: softkey.PresenceDelay, Delay: time.Second})
		p := &person{}
		r := l.registers(creation("alice", ``, `,"attestation":"direct"`), p)
		if r.fmt != "fido-u2f" {
			t.Errorf("got format %s", r.fmt)
		}
		l.asserts(request("preferred", r), p, r)
		if got := p.kinds(); !slices.Equal(got, []api.PromptKind{api.PromptTouch, api.PromptTouch}) {
			t.Errorf("got prompts %v, want a touch for each", got)
		}
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", `"residentKey":"required"`, ``)}, p, api.CodeUnsupported)
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", `"userVerification":"required"`, ``)}, p, api.CodeUnsupported)
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("preferred")}, p, api.CodeUnsupported)
		other := &registered{ID: api.Bytes("another key's")}
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("preferred", other)}, p, api.CodeNoCredentials)
		l.fails(api.OpPINStatus, api.KeyRequest{Key: "k2"}, p, api.CodeNoKey)
		if got := must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, p); got.Supported || got.Set {
			t.Errorf("got %+v", got)
		}
		l.fails(api.OpPINSet, api.KeyRequest{}, p, api.CodeUnsupported)
		l.fails(api.OpReset, api.ResetRequest{Key: "k1"}, p, api.CodeUnsupported)
		info := must[api.InfoResult](l, api.OpInfo, api.KeyRequest{}, p)
		if info.U2FVersion != "U2F_V2" || info.Info != nil {
			t.Errorf("got %+v", info)
		}
		if err := k.SetPresence(softkey.PresenceManual, 0); err != nil {
			t.Fatal(err)
		}
		run := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		run.cancel()
		_, err := run.wait()
		wantCode(t, err, api.CodeCancelled)
	})
}

// A key that has none of the credentials is not asked to blink, and the one that has some
// need not be chosen by a touch of its own.
func TestOnlyTheKeyWithTheCredentialBlinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		blinks := map[string]int{}
		soft := func(id string, u2f bool) {
			l.soft(id, softkey.Config{CTAP1Only: u2f, OnPrompt: func(p *softkey.Prompt) {
				if p != nil {
					blinks[id]++
				}
			}})
		}
		soft("k1", false)
		p := &person{}
		r := l.registers(creation("alice", ``, ``), p)
		soft("k2", false)
		soft("k3", true)
		clear(blinks)
		if got := l.asserts(request("preferred", r), p, r); got.key != "k1" {
			t.Errorf("got key %s", got.key)
		}
		if blinks["k1"] != 1 || len(blinks) != 1 {
			t.Errorf("got blinks %v, want one of k1", blinks)
		}
		other := &registered{ID: api.Bytes("of no key here")}
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("preferred", other)}, p, api.CodeNoCredentials)
		if len(blinks) != 1 {
			t.Errorf("got blinks %v", blinks)
		}
	})
}

func TestLongAllowList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		p := &person{}
		r := l.registers(creation("alice", ``, ``), p)
		var list []*registered
		for i := range 200 {
			list = append(list, &registered{ID: api.Bytes(fmt.Sprintf("a credential of another key %d", i))})
		}
		l.asserts(request("discouraged", append(list, r)...), p, r)
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged", list...)}, p, api.CodeNoCredentials)
	})
}

// What only the PIN can tell is found out before the key blinks for nothing.
func TestKeyDoesNotBlinkForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		blinks := 0
		l.soft("k1", softkey.Config{OnPrompt: func(*softkey.Prompt) { blinks++ }})
		p := &person{pins: []string{"1234", "1234"}}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		other := &registered{ID: api.Bytes("of no key here")}
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("required", other)}, p, api.CodeNoCredentials)
		if blinks != 0 || len(p.pins) != 0 {
			t.Errorf("it blinked %d times; %d PINs were not asked for", blinks, len(p.pins))
		}
	})
}

func TestRegisterOnTheKeyThatIsTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.soft("a", softkey.Config{Presence: softkey.PresenceManual})
		b := l.soft("b", softkey.Config{Presence: softkey.PresenceManual})
		old := l.soft("c", softkey.Config{Presence: softkey.PresenceManual, CTAP1Only: true})
		_, _ = a, old
		p := &person{}
		r := l.start(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p)
		time.Sleep(time.Second)
		if got := len(p.now(api.PromptTouch)); got != 3 {
			t.Errorf("%d keys blink, want 3", got)
		}
		b.Touch()
		time.Sleep(time.Second)
		if open := p.now(api.PromptTouch); len(open) != 1 || open[0].Key != "b" {
			t.Errorf("got %+v, want only b to blink, for the credential", open)
		}
		b.Touch()
		v, err := r.wait()
		if err != nil {
			t.Fatal(describeError(err))
		}
		if got := checkRegistration(t, v.(*api.RegisterResult)).key; got != "b" {
			t.Errorf("got key %s, want b", got)
		}
	})
}

func TestPINOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.soft("k1", softkey.Config{})
		p := &person{}
		status := func() *api.PINStatusResult {
			return must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, nil)
		}
		if got := status(); !got.Supported || got.Set || got.Retries != nil || got.MinLength != 4 || got.MaxLength != 63 {
			t.Errorf("got %+v", got)
		}
		l.fails(api.OpPINChange, api.PINChangeRequest{}, p, api.CodePINNotSet)
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", `"userVerification":"required"`, ``)}, p, api.CodePINNotSet)
		l.fails(api.OpPINSet, api.KeyRequest{}, nil, api.CodePINRequired)
		for _, bad := range []string{"123", strings.Repeat("1", 64), "12\xFF45"} {
			p.pins = []string{bad}
			l.fails(api.OpPINSet, api.KeyRequest{}, p, api.CodePINPolicy)
		}
		p.pins = []string{"1234"}
		if got := must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p).Key.PINSet; got == nil || !*got {
			t.Error("the key is not described as having a PIN")
		}
		l.fails(api.OpPINSet, api.KeyRequest{}, p, api.CodePINAlreadySet)
		if got := status(); !got.Set || got.Retries == nil || *got.Retries != 8 || got.NeedsReplug {
			t.Errorf("got %+v", got)
		}

		// A wrong PIN is asked for again, a new one once.
		p.seen, p.pins = nil, []string{"wrong", "new-1234", "1234"}
		must[api.KeyResult](l, api.OpPINChange, api.PINChangeRequest{}, p)
		if got, want := p.kinds(), []api.PromptKind{api.PromptPIN, api.PromptNewPIN, api.PromptPIN}; !slices.Equal(got, want) {
			t.Errorf("got prompts %v, want %v", got, want)
		}
		if first, second := p.seen[0].Retries, p.seen[2].Retries; first == nil || *first != 8 || second == nil || *second != 7 {
			t.Errorf("the prompts say %v and %v tries are left", first, second)
		}
		if !strings.HasPrefix(p.seen[2].Message, "Wrong PIN. ") || !strings.HasSuffix(p.seen[2].Message, "; 7 tries left") {
			t.Errorf("got %q", p.seen[2].Message)
		}

		// Three in a row want a replug; nothing is tried meanwhile.
		p.pins = []string{"bad1", "bad2", "bad3"}
		register := api.RegisterRequest{Origin: origin, Options: creation("alice", `"userVerification":"required"`, ``)}
		e := l.fails(api.OpRegister, register, p, api.CodePINAuthBlocked)
		if e.Retries == nil || *e.Retries != 5 || !strings.Contains(e.Hint, "pull the key out") {
			t.Errorf("got %+v", e)
		}
		p.seen = nil
		if e := l.fails(api.OpRegister, register, p, api.CodePINAuthBlocked); len(p.seen) != 0 || e.Retries == nil || *e.Retries != 5 {
			t.Errorf("got %+v after prompts %v", e, p.kinds())
		}
		if got := status(); !got.NeedsReplug || *got.Retries != 5 {
			t.Errorf("got %+v", got)
		}
		k.PowerCycle()
		p.pins = []string{"new-1234"}
		l.registers(register.Options, p)

		// The last one needs permission.
		for range 3 {
			k.PowerCycle()
			p.pins = []string{"bad1", "bad2", "bad3"}
			_, err := l.do(l.ctx, api.OpRegister, register, p)
			if err == nil {
				t.Fatal("a wrong PIN was taken")
			}
		}
		k.PowerCycle()
		e = l.fails(api.OpRegister, register, p, api.CodePINLastRetry)
		if e.Retries == nil || *e.Retries != 1 {
			t.Errorf("got %+v", e)
		}
		if got := status(); *got.Retries != 1 {
			t.Errorf("%d tries are left, want 1", *got.Retries)
		}
		l.fails(api.OpPINChange, api.PINChangeRequest{}, p, api.CodePINLastRetry)
		register.AllowLastRetry = true
		p.pins = []string{"bad1"}
		l.fails(api.OpRegister, register, p, api.CodePINBlocked)
		l.fails(api.OpRegister, register, p, api.CodePINBlocked)
	})
}

func TestPINPromptEndsWithTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, &person{pins: []string{"1234"}})
		p := &person{} // who does not answer
		r := l.start(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p)
		time.Sleep(time.Second)
		if len(p.now(api.PromptPIN)) != 1 {
			t.Fatalf("got prompts %v", p.kinds())
		}
		began := time.Now()
		l.bus.Detach("k1")
		_, err := r.wait()
		wantCode(t, err, api.CodeKeyGone)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestPINRegisterAndAssert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, &person{pins: []string{"1234"}})
		p := &person{pins: []string{"1234", "1234", "1234", "1234"}}
		r := l.registers(creation("alice", `"userVerification":"required","residentKey":"required"`, `,"extensions":{"credentialProtectionPolicy":"userVerificationRequired","enforceCredentialProtectionPolicy":true}`), p)
		if r.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		// The credential shows itself only to those who are verified.
		for _, options := range []json.RawMessage{request("required", r), request("required"), request("preferred", r)} {
			if got := l.asserts(options, p, r); got.data.Flags&ctap2.FlagUV == 0 {
				t.Error("not verified")
			}
		}
		if len(p.pins) != 0 {
			t.Errorf("%d PINs were not asked for", len(p.pins))
		}
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged", r)}, p, api.CodeNoCredentials)
		// Nobody can be asked.
		e := l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("required", r)}, nil, api.CodePINRequired)
		if e.Retries == nil || *e.Retries != 8 {
			t.Errorf("got %+v", e)
		}
	})
}

func TestBuiltInVerificationFallsBackToThePIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.soft("k1", softkey.Config{Verification: softkey.VerificationGrant})
		p := &person{pins: []string{"1234"}}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		p.seen = nil
		r := l.registers(creation("alice", `"userVerification":"required"`, ``), p)
		if r.data.Flags&ctap2.FlagUV == 0 || slices.Contains(p.kinds(), api.PromptPIN) {
			t.Errorf("flags %x, prompts %v", r.data.Flags, p.kinds())
		}
		if got := must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, p); got.UVRetries == nil || *got.UVRetries == 0 {
			t.Errorf("got %+v", got)
		}
		if err := k.SetVerification(softkey.VerificationDeny); err != nil {
			t.Fatal(err)
		}
		p.seen, p.pins = nil, []string{"1234"}
		if got := l.asserts(request("required", r), p, r); got.data.Flags&ctap2.FlagUV == 0 {
			t.Error("not verified")
		}
		if !slices.Contains(p.kinds(), api.PromptPIN) {
			t.Errorf("got prompts %v, want the PIN after the finger", p.kinds())
		}
	})
}

func TestBuiltInVerificationAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{Verification: softkey.VerificationDeny})
		e := daemon.ErrorOf(func() error {
			_, err := l.do(l.ctx, api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", `"userVerification":"required"`, ``)}, &person{})
			return err
		}())
		if e == nil || e.Code != api.CodeUVInvalid && e.Code != api.CodeUVBlocked {
			t.Errorf("got %+v", e)
		}
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.soft("k1", softkey.Config{})
		p := &person{pins: []string{"1234"}}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		l.fails(api.OpReset, api.ResetRequest{}, p, api.CodeInvalidRequest)
		l.fails(api.OpReset, api.ResetRequest{Key: "k9"}, p, api.CodeNoKey)
		l.fails(api.OpReset, api.ResetRequest{Key: "k1", TimeoutMS: 1000}, p, api.CodeTimeout)

		r := l.start(api.OpReset, api.ResetRequest{Key: "k1"}, p)
		time.Sleep(20 * time.Second)
		if open := p.now(api.PromptReplug); len(open) != 1 || open[0].Key != "k1" {
			t.Fatalf("got %+v, want to be asked to replug", open)
		}
		// Another key is not mistaken for it.
		l.soft("k2", softkey.Config{})
		l.bus.Detach("k1")
		time.Sleep(time.Second)
		if !r.running() {
			t.Fatal("did not wait for the key to come back")
		}
		k.PowerCycle()
		if err := k.SetPresence(softkey.PresenceDelay, time.Second); err != nil {
			t.Fatal(err)
		}
		l.plug("k1", k, both)
		time.Sleep(500 * time.Millisecond)
		if len(p.now(api.PromptTouch)) != 1 || len(p.now(api.PromptReplug)) != 0 {
			t.Errorf("got prompts %v", p.kinds())
		}
		v, err := r.wait()
		if err != nil {
			t.Fatal(describeError(err))
		}
		if got := v.(*api.KeyResult).Key; got.ID != "k1" || got.PINSet == nil || *got.PINSet {
			t.Errorf("got %+v, want a key without a PIN", got)
		}
	})
}

func TestResetTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := l.soft("k1", softkey.Config{})
		time.Sleep(time.Minute)
		r := l.start(api.OpReset, api.ResetRequest{Key: "k1"}, &person{})
		time.Sleep(time.Second)
		l.bus.Detach("k1")
		l.settle()
		l.plug("k1", k, both) // without having been switched off: its window is over
		_, err := r.wait()
		wantCode(t, err, api.CodeResetTooLate)
	})
}

func TestResetOfAnEmulatedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{pins: []string{"1234"}}
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "window"}, nil)
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "anytime", NoResetWindow: true}, nil)
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{Key: "anytime"}, p)
		time.Sleep(time.Minute)
		if got := must[api.KeyResult](l, api.OpReset, api.ResetRequest{Key: "anytime"}, p).Key.PINSet; got == nil || *got {
			t.Error("the PIN is still there")
		}
		if slices.Contains(p.kinds(), api.PromptReplug) {
			t.Errorf("got prompts %v", p.kinds())
		}
		r := l.start(api.OpReset, api.ResetRequest{Key: "window"}, p)
		time.Sleep(time.Second)
		if len(p.now(api.PromptReplug)) != 1 {
			t.Errorf("got prompts %v, want to be asked to replug", p.kinds())
		}
		must[api.EmulateResult](l, api.OpEmulatePower, api.EmulatePowerRequest{Name: "window"}, nil)
		must[api.EmulateResult](l, api.OpEmulatePower, api.EmulatePowerRequest{Name: "window", On: true}, nil)
		if _, err := r.wait(); err != nil {
			t.Fatal(describeError(err))
		}
	})
}

// checker is a Verifier.
type checker struct{ got *api.CheckRequest }

func (c *checker) Verify(_ context.Context, r *api.CheckRequest) (*api.CheckResult, error) {
	c.got = r
	return &api.CheckResult{UserPresent: true}, nil
}

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &checker{}
		l := newLab(t, func(cfg *daemon.Config) { cfg.Verifier = c })
		r := must[api.CheckResult](l, api.OpCheck, api.CheckRequest{Origin: origin, Credential: json.RawMessage(`{}`)}, nil)
		if !r.UserPresent || c.got == nil || c.got.Origin != origin {
			t.Errorf("got %+v, asked %+v", r, c.got)
		}
	})
}
