package dbusapi_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
)

const origin = "https://example.org"

func creation(uv string) json.RawMessage {
	return json.RawMessage(`{"rp":{"id":"example.org","name":"Example"},"user":{"id":"dXNlcg","name":"alice","displayName":"Alice"},
		"challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","pubKeyCredParams":[{"type":"public-key","alg":-7}],
		"authenticatorSelection":{"userVerification":"` + uv + `","residentKey":"required"}}`)
}

var assertion = json.RawMessage(`{"rpId":"example.org","challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","userVerification":"required"}`)

func TestEveryOperationIsAMethod(t *testing.T) {
	l := newLab(t)
	p := l.program()
	for _, row := range daemon.Operations() {
		// What is no JSON is refused by every operation, and by nothing else.
		err := p.root.Call(dbusapi.ManagerInterface+"."+dbusapi.Camel(row.Name), 0, "nonsense").Err
		if row.Interactive {
			if err != nil {
				t.Errorf("%s: %v", row.Name, err)
			}
			continue
		}
		if got, want := errorName(err), dbusapi.ErrorPrefix+"InvalidRequest"; got != want {
			t.Errorf("%s: got %s, want %s", row.Name, got, want)
		}
	}
	for range daemon.Operations() {
		break
	}
	o := p.begin("Touch", map[string]any{"unknown": 1})
	for {
		s := p.hears("Finished", "")
		if s.Path == o.Path() {
			if text, _ := s.Body[1].(string); !strings.Contains(text, `"invalid-request"`) {
				t.Errorf("got %v", s.Body)
			}
			return
		}
	}
}

func TestTouch(t *testing.T) {
	l := newLab(t)
	key := l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	p := l.program()
	o := p.begin("Touch", api.TouchRequest{Purpose: "a test"})
	prompt := p.prompted(o, api.PromptTouch)
	if prompt.Key != key || prompt.Purpose != "a test" || prompt.PID != os.Getpid() || !strings.HasPrefix(prompt.Program, "dbusapi.test") {
		t.Errorf("got %+v", prompt)
	}
	var open string
	if err := o.Call(dbusapi.OperationInterface+".Prompts", 0).Store(&open); err != nil || !strings.Contains(open, prompt.ID) {
		t.Errorf("open prompts: got %s, %v", open, err)
	}
	if state, err := o.GetProperty(dbusapi.OperationInterface + ".State"); err != nil || state.Value() != "running" {
		t.Errorf("got state %v, %v", state, err)
	}
	if err := p.ask("EmulateTouch", api.EmulateNameRequest{Name: "a"}).Err; err != nil {
		t.Fatal(err)
	}
	if s := p.hears("Withdrawn", o.Path()); s.Body[0] != prompt.ID {
		t.Errorf("got %v withdrawn, want %s", s.Body, prompt.ID)
	}
	if got := finished[api.TouchResult](p, o); got.Key.ID != key {
		t.Errorf("got %+v", got)
	}
	var result string
	if err := o.Call(dbusapi.OperationInterface+".Wait", 0).Store(&result); err != nil || !strings.Contains(result, key) {
		t.Errorf("Wait: got %s, %v", result, err)
	}
	if state, err := o.GetProperty(dbusapi.OperationInterface + ".State"); err != nil || state.Value() != "finished" {
		t.Errorf("got state %v, %v", state, err)
	}
}

func TestResultIsWhatTheTableSays(t *testing.T) {
	l := newLab(t)
	key := l.emulate(api.EmulateAddRequest{Name: "a"})
	p := l.program()
	var text string
	if err := p.ask("List", struct{}{}).Store(&text); err != nil {
		t.Fatal(err)
	}
	var list api.ListResult
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Keys) != 1 || list.Keys[0].ID != key {
		t.Errorf("got %s, %v", text, err)
	}
	err := p.ask("EmulateRemove", api.EmulateNameRequest{Name: "nobody"}).Err
	if errorName(err) != dbusapi.ErrorPrefix+"NotFound" {
		t.Fatalf("got %v", err)
	}
	var e dbus.Error
	// GLib takes errors with one text only.
	if !errors.As(err, &e) || len(e.Body) != 1 || !strings.Contains(e.Body[0].(string), "nobody") {
		t.Errorf("got %q", e.Body)
	}
}

func TestRegisterAndAssertWithPINs(t *testing.T) {
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a"})
	p := l.program()
	answer := func(o dbus.BusObject, kind api.PromptKind, fd dbus.UnixFD) {
		t.Helper()
		prompt := p.prompted(o, kind)
		if err := o.Call(dbusapi.OperationInterface+".Answer", 0, prompt.ID, fd).Err; err != nil {
			t.Fatal(err)
		}
	}
	o := p.begin("PinSet", api.PINSetRequest{})
	answer(o, api.PromptNewPIN, pipe(t, "123456"))
	finished[api.KeyResult](p, o)

	o = p.begin("Register", api.RegisterRequest{Origin: origin, Options: creation("required")})
	answer(o, api.PromptPIN, memfd(t, "123456"))
	registration := finished[api.RegisterResult](p, o)
	var checked string
	if err := p.ask("Check", api.CheckRequest{Origin: origin, CreationOptions: creation("required"), Credential: registration.Credential}).Store(&checked); err != nil {
		t.Fatal(err)
	}
	var known api.CheckResult
	if err := json.Unmarshal([]byte(checked), &known); err != nil || !known.UserVerified {
		t.Fatalf("got %s, %v", checked, err)
	}

	o = p.begin("Assert", api.AssertRequest{Origin: origin, Options: assertion})
	answer(o, api.PromptPIN, pipe(t, "999999"))
	prompt := p.prompted(o, api.PromptPIN)
	if prompt.Retries == nil || *prompt.Retries != 7 {
		t.Errorf("after a wrong PIN: got %+v", prompt)
	}
	if err := o.Call(dbusapi.OperationInterface+".Answer", 0, prompt.ID, pipe(t, "123456")).Err; err != nil {
		t.Fatal(err)
	}
	signed := finished[api.AssertResult](p, o)
	if err := p.ask("Check", api.CheckRequest{
		Origin: origin, RequestOptions: assertion, Credential: signed.Credential, Registered: &known.Registered,
	}).Err; err != nil {
		t.Error(err)
	}
}

func memfd(t testing.TB, pin string) dbus.UnixFD {
	t.Helper()
	fd, err := unix.MemfdCreate("pin", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	// The offset is at the end, as after any write.
	if _, err := unix.Write(fd, []byte(pin)); err != nil {
		t.Fatal(err)
	}
	return dbus.UnixFD(fd)
}

func TestCancel(t *testing.T) {
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	p, other := l.program(), l.program()
	o := p.begin("Touch", api.TouchRequest{})
	p.prompted(o, api.PromptTouch)
	if got := errorName(other.conn.Object(dbusapi.Name, o.Path()).Call(dbusapi.OperationInterface+".Cancel", 0).Err); got != dbusapi.ErrorPrefix+"Denied" {
		t.Errorf("another program cancels: got %s", got)
	}
	if err := o.Call(dbusapi.OperationInterface+".Cancel", 0).Err; err != nil {
		t.Fatal(err)
	}
	if e := p.failed(o); e.Code != api.CodeCancelled {
		t.Errorf("got %+v", e)
	}
	if got := errorName(o.Call(dbusapi.OperationInterface+".Wait", 0).Err); got != dbusapi.ErrorPrefix+"Cancelled" {
		t.Errorf("Wait: got %s", got)
	}
}

func TestCallerThatLeavesCancels(t *testing.T) {
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	p, other := l.program(), l.program()
	if err := other.conn.AddMatchSignal(dbus.WithMatchMember("InterfacesRemoved")); err != nil {
		t.Fatal(err)
	}
	o := p.begin("Touch", api.TouchRequest{})
	p.prompted(o, api.PromptTouch)
	p.conn.Close()
	// It has ended, and nobody is left who could ask for the result: the object goes with it.
	if s := other.hears("InterfacesRemoved", ""); s.Body[0] != o.Path() {
		t.Errorf("got %v", s.Body)
	}
}

func TestPromptsAreAnsweredInTheirOwnWay(t *testing.T) {
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a"})
	p, other := l.program(), l.program()
	o := p.begin("PinSet", api.PINSetRequest{})
	prompt := p.prompted(o, api.PromptNewPIN)
	for _, test := range []struct {
		name string
		call *dbus.Call
		want string
	}{
		{"a choice for a PIN", o.Call(dbusapi.OperationInterface+".Choose", 0, prompt.ID, uint32(1)), "InvalidRequest"},
		{"a yes for a PIN", o.Call(dbusapi.OperationInterface+".Confirm", 0, prompt.ID, true), "InvalidRequest"},
		{"no such prompt", o.Call(dbusapi.OperationInterface+".Answer", 0, "x", pipe(t, "1234")), "NotFound"},
		{"another program", other.conn.Object(dbusapi.Name, o.Path()).Call(dbusapi.OperationInterface+".Answer", 0, prompt.ID, pipe(t, "1234")), "Denied"},
		{"an agent that is none", other.root.Call(dbusapi.ManagerInterface+".AnswerPrompt", 0, prompt.ID, pipe(t, "1234")), "NotFound"},
		{"a PIN that is too long", o.Call(dbusapi.OperationInterface+".Answer", 0, prompt.ID, pipe(t, strings.Repeat("1", 256))), "TooLarge"},
		{"an empty PIN", o.Call(dbusapi.OperationInterface+".Answer", 0, prompt.ID, pipe(t, "")), "InvalidRequest"},
	} {
		if got := errorName(test.call.Err); got != dbusapi.ErrorPrefix+test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if err := o.Call(dbusapi.OperationInterface+".GiveUp", 0, prompt.ID).Err; err != nil {
		t.Fatal(err)
	}
	if e := p.failed(o); e.Code != api.CodeCancelled {
		t.Errorf("got %+v", e)
	}
}
