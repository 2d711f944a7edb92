package credentialsd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi/credentialsd"
	"github.com/fobd/fobd/daemon/dbusapi/internal/bustest"
	"github.com/fobd/fobd/daemon/relyingparty"
)

const (
	origin   = "https://login.example.org"
	creation = `{"rp":{"id":"example.org","name":"Example"},"user":{"id":"dXNlcg","name":"ann","displayName":"Ann"},"challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","pubKeyCredParams":[{"type":"public-key","alg":-7}],"authenticatorSelection":{"userVerification":"discouraged"}%s}`
	request  = `{"rpId":"example.org","challenge":"Y2hhbGxlbmdlIDY1NDMyMQ","userVerification":"discouraged","allowCredentials":[{"type":"public-key","id":%q}]}`
)

// serve puts the adapter on a bus of its own.
func serve(t testing.TB) (address string, engine *daemon.Engine) {
	t.Helper()
	address, engine = bustest.Start(t), bustest.Engine(t)
	server, err := credentialsd.Connect(t.Context(), address, engine, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	bustest.Serve(t, server.Serve)
	return address, engine
}

type options map[string]any

func (o options) variants() map[string]dbus.Variant {
	m := map[string]dbus.Variant{}
	for name, v := range o {
		m[name] = dbus.MakeVariant(v)
	}
	return m
}

// portal asks as a portal does.
type portal struct {
	t    testing.TB
	conn *dbus.Conn
}

func (p portal) call(method string, args ...any) (code uint32, results map[string]dbus.Variant) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), bustest.Patience)
	defer cancel()
	object := p.conn.Object(credentialsd.Name, credentialsd.Path)
	if err := object.CallWithContext(ctx, credentialsd.Interface+"."+method, 0, args...).Store(&code, &results); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	return code, results
}

func (p portal) create(origin, kind string, o options) (uint32, map[string]dbus.Variant) {
	p.t.Helper()
	return p.call("CreateCredential", "wayland:window", origin, kind, o.variants(), "org.example.Browser")
}

func (p portal) get(origin string, o options) (uint32, map[string]dbus.Variant) {
	p.t.Helper()
	return p.call("GetCredential", "", origin, o.variants(), "org.example.Browser")
}

// response takes the JSON out of the results of a success.
func response(t testing.TB, code uint32, results map[string]dbus.Variant, member string) json.RawMessage {
	t.Helper()
	inner, ok := results["public_key"].Value().(map[string]dbus.Variant)
	text, isText := inner[member].Value().(string)
	if code != 0 || !ok || !isText || len(inner) != 1 || len(results) != 2 || results["type"].Value() != "public-key" {
		t.Fatalf("got %d, %v; want 0 and %s", code, results, member)
	}
	return json.RawMessage(text)
}

// fails checks how a call failed.
func fails(t testing.TB, code uint32, results map[string]dbus.Variant, name string) string {
	t.Helper()
	text, ok := results["error"].Value().(string)
	message, named := strings.CutPrefix(text, "xyz.iinuwa.credentialsd."+name+": ")
	if code != 2 || !ok || len(results) != 1 || !named || message == "" {
		t.Errorf("got %d, %v; want 2 and %s", code, results, name)
	}
	return message
}

// register registers at a site and checks what the site sees.
func register(t testing.TB, p portal) (id string, registered api.Registered) {
	t.Helper()
	given := fmt.Sprintf(creation, "")
	code, results := p.create(origin, "publicKey", options{"public_key": given, "activation_token": "x", "top_origin": origin, "unknown": true})
	credential := response(t, code, results, "registration_response_json")
	verified, err := relyingparty.Verifier{}.Verify(t.Context(), &api.CheckRequest{Origin: origin, CreationOptions: json.RawMessage(given), Credential: credential})
	if err != nil {
		t.Fatalf("the site does not take %s: %v", credential, err)
	}
	var parsed struct {
		ID         string `json:"id"`
		Attachment string `json:"authenticatorAttachment"`
		Response   struct {
			Transports []string `json:"transports"`
		} `json:"response"`
	}
	if err := json.Unmarshal(credential, &parsed); err != nil || parsed.Attachment == "" || len(parsed.Response.Transports) == 0 {
		t.Errorf("got %+v, %v; want attachment and transports", parsed, err)
	}
	return parsed.ID, verified.Registered
}

func TestRegistersAndSignsIn(t *testing.T) {
	address, engine := serve(t)
	bustest.Emulate(t, engine, api.EmulateAddRequest{})
	p := portal{t, bustest.Program(t, address)}
	id, registered := register(t, p)

	given := fmt.Sprintf(request, id)
	code, results := p.get(origin, options{"public_key": given})
	credential := response(t, code, results, "authentication_response_json")
	if _, err := (relyingparty.Verifier{}).Verify(t.Context(), &api.CheckRequest{
		Origin: origin, RequestOptions: json.RawMessage(given), Credential: credential, Registered: &registered,
	}); err != nil {
		t.Errorf("the site does not take %s: %v", credential, err)
	}

	code, results = p.create(origin, "publicKey", options{"public_key": fmt.Sprintf(creation, fmt.Sprintf(`,"excludeCredentials":[{"type":"public-key","id":%q}]`, id))})
	fails(t, code, results, "InvalidStateError")
	code, results = p.get(origin, options{"public_key": fmt.Sprintf(request, "AAAA")})
	fails(t, code, results, "NotAllowedError")
}

func TestRefusesWhatIsWrong(t *testing.T) {
	address, engine := serve(t)
	bustest.Emulate(t, engine, api.EmulateAddRequest{})
	p := portal{t, bustest.Program(t, address)}
	good := fmt.Sprintf(creation, "")
	for _, tt := range []struct {
		name, origin, kind string
		options            options
		want               string
	}{
		{"another type", origin, "password", options{"public_key": good}, "NotSupportedError"},
		{"the answer's name of the type", origin, "public-key", options{"public_key": good}, "NotSupportedError"},
		{"no options", origin, "publicKey", options{}, "TypeError"},
		{"options of another type", origin, "publicKey", options{"public_key": uint32(1)}, "TypeError"},
		{"a token of another type", origin, "publicKey", options{"public_key": good, "activation_token": true}, "TypeError"},
		{"no JSON", origin, "publicKey", options{"public_key": "{"}, "TypeError"},
		{"an empty text", origin, "publicKey", options{"public_key": ""}, "TypeError"},
		{"a member missing", origin, "publicKey", options{"public_key": `{"challenge":"AAAA"}`}, "TypeError"},
		{"too long", origin, "publicKey", options{"public_key": `"` + strings.Repeat("x", 1<<20) + `"`}, "TypeError"},
		{"a frame of another origin", origin, "publicKey", options{"public_key": good, "top_origin": "https://news.example"}, "NotSupportedError"},
		{"not the site's domain", "https://example.com", "publicKey", options{"public_key": good}, "SecurityError"},
		{"no origin", "example.org", "publicKey", options{"public_key": good}, "SecurityError"},
		{"no algorithm", origin, "publicKey", options{"public_key": strings.Replace(good, `"alg":-7`, `"alg":-65535`, 1)}, "NotSupportedError"},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			p := portal{t, p.conn}
			code, results := p.create(tt.origin, tt.kind, tt.options)
			fails(t, code, results, tt.want)
		})
	}
}

// What a site hears does not tell it why.
func TestNotAllowedSaysNoMore(t *testing.T) {
	address, engine := serve(t)
	p := portal{t, bustest.Program(t, address)}
	id := "AAAA"
	code, results := p.get(origin, options{"public_key": fmt.Sprintf(request, id)})
	none := fails(t, code, results, "NotAllowedError")
	bustest.Emulate(t, engine, api.EmulateAddRequest{Name: "k", Presence: "deny"})
	code, results = p.create(origin, "publicKey", options{"public_key": fmt.Sprintf(creation, "")})
	if denied := fails(t, code, results, "NotAllowedError"); denied != none {
		t.Errorf("no key: %q, denied: %q; want the same", none, denied)
	}
}

// events follows an engine's events.
func events(t testing.TB, engine *daemon.Engine) <-chan api.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, done := make(chan api.Event, 64), make(chan struct{})
	go func() {
		defer close(done)
		_ = engine.Events(ctx, bustest.Self(), func(e api.Event) error {
			out <- e
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return out
}

func until(t testing.TB, events <-chan api.Event, what string, is func(api.Event) bool) api.Event {
	t.Helper()
	timer := time.After(bustest.Patience)
	for {
		select {
		case e := <-events:
			if is(e) {
				return e
			}
		case <-timer:
			t.Fatalf("no event: %s", what)
		}
	}
}

// A prompt says who asks: the bus's word for the portal, the portal's for the program behind it. When
// the portal leaves the bus, its request ends.
func TestPromptsAndEndsWithThePortal(t *testing.T) {
	address, engine := serve(t)
	bustest.Emulate(t, engine, api.EmulateAddRequest{Name: "slow", Presence: "manual"})
	follow := events(t, engine)
	conn := bustest.Program(t, address)
	conn.Object(credentialsd.Name, credentialsd.Path).Go(credentialsd.Interface+".CreateCredential", 0, nil,
		"", origin, "publicKey", options{"public_key": fmt.Sprintf(creation, "")}.variants(), "org.example.\x1b[2JBrowser")
	e := until(t, follow, "a prompt to touch", func(e api.Event) bool {
		return e.Type == api.EventPrompt && e.Prompt.Kind == api.PromptTouch
	})
	if want := "org.example.[2JBrowser, by the word of the desktop portal"; e.Prompt.Purpose != want || e.RPID != "example.org" || e.PID != bustest.Self().PID || e.Operation != api.OpRegister {
		t.Errorf("got %+v with %+v; want purpose %q of this process", e, e.Prompt, want)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	e = until(t, follow, "the end", func(e api.Event) bool { return e.Type == api.EventFinished && e.Operation == api.OpRegister })
	if e.Code != api.CodeCancelled {
		t.Errorf("got %s, want %s", e.Code, api.CodeCancelled)
	}
}

// A PIN that a key wants comes from an agent.
func TestAsksAnAgentForThePIN(t *testing.T) {
	address, engine := serve(t)
	bustest.Emulate(t, engine, api.EmulateAddRequest{Name: "k"})
	agent := func(ctx context.Context, pin string) (ready chan struct{}) {
		ready = make(chan struct{})
		go func() {
			_ = engine.Agent(ctx, bustest.Self(), api.Agent{Name: "test"}, func(l api.Line) error {
				switch {
				case l.Ready:
					close(ready)
				case l.Prompt != nil && (l.Prompt.Kind == api.PromptPIN || l.Prompt.Kind == api.PromptNewPIN):
					return engine.Answer(bustest.Self(), l.Prompt.ID, []byte(pin), false)
				}
				return nil
			})
		}()
		return ready
	}
	p := portal{t, bustest.Program(t, address)}
	verified := options{"public_key": strings.Replace(fmt.Sprintf(creation, ""), "discouraged", "required", 1)}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	<-agent(ctx, "12345678")
	bustest.Do[api.KeyResult](t, engine, api.OpPINSet, api.PINSetRequest{})
	code, results := p.create(origin, "publicKey", verified)
	response(t, code, results, "registration_response_json")
}
