package credentialsd_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi/credentialsd"
	"github.com/fobd/fobd/daemon/dbusapi/internal/bustest"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// The methods are those of credentialsd's gateway, with its types.
func TestGDBus(t *testing.T) {
	address, engine := serve(t)
	bustest.Emulate(t, engine, api.EmulateAddRequest{})
	at := []string{"--session", "--dest", credentialsd.Name, "--object-path", string(credentialsd.Path)}
	out, err := bustest.Run(t, address, "gdbus", append([]string{"introspect"}, at...)...)
	for _, want := range []string{
		"interface " + credentialsd.Interface,
		"CreateCredential(in s parent_window, in s origin, in s type, in a{sv} options, in s claimed_app_id, out u response, out a{sv} results);",
		"GetCredential(in s parent_window, in s origin, in a{sv} options, in s claimed_app_id, out u response, out a{sv} results);",
	} {
		if err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("introspect: got %s, %v; want %q", out, err, want)
		}
	}
	create := append(append([]string{"call"}, at...), "--method", credentialsd.Interface+".CreateCredential", "", origin)
	public := fmt.Sprintf("{'public_key': <'%s'>}", fmt.Sprintf(creation, ""))
	out, err = bustest.Run(t, address, "gdbus", append(create, "publicKey", public, "org.example.Browser")...)
	if err != nil || !strings.HasPrefix(out, "(uint32 0, {") || !strings.Contains(out, "registration_response_json") {
		t.Errorf("got %s, %v", out, err)
	}
	out, err = bustest.Run(t, address, "gdbus", append(create, "password", public, "org.example.Browser")...)
	if err != nil || !strings.HasPrefix(out, "(uint32 2, {'error': <'xyz.iinuwa.credentialsd.NotSupportedError: ") {
		t.Errorf("another type: got %s, %v", out, err)
	}
}

const python = `
import dbus, json, sys
bus = dbus.SessionBus()
o = dbus.Interface(bus.get_object("xyz.iinuwa.credentialsd.Credentials", "/org/freedesktop/portal/desktop"),
                   "org.freedesktop.handler.portal.experimental.Credential")
origin, creation = sys.argv[1], sys.argv[2]
code, r = o.CreateCredential("", origin, "publicKey", {"public_key": creation}, "app")
assert code == 0 and r["type"] == "public-key", (code, r)
made = json.loads(r["public_key"]["registration_response_json"])
code, r = o.GetCredential("", origin, {"public_key": json.dumps({"rpId": "example.org", "challenge": "Y2hhbGxlbmdlIDEyMzQ1Ng",
    "userVerification": "discouraged", "allowCredentials": [{"type": "public-key", "id": made["id"]}]})}, "app")
assert code == 0, (code, r)
code, e = o.GetCredential("", origin, {}, "app")
assert code == 2 and e["error"].startswith("xyz.iinuwa.credentialsd.TypeError: "), (code, e)
json.dump([made, json.loads(r["public_key"]["authentication_response_json"])], sys.stdout)
`

func TestPython(t *testing.T) {
	const interpreter = "/usr/bin/python3" // the distribution's, which has its python3-dbus
	address, engine := serve(t)
	if out, err := bustest.Run(t, address, interpreter, "-c", "import dbus"); err != nil {
		t.Skipf("no python3-dbus: %s", out)
	}
	bustest.Emulate(t, engine, api.EmulateAddRequest{})
	given := fmt.Sprintf(creation, "")
	out, err := bustest.Run(t, address, interpreter, "-c", python, origin, given)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got [2]json.RawMessage
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	verified, err := relyingparty.Verifier{}.Verify(t.Context(), &api.CheckRequest{Origin: origin, CreationOptions: json.RawMessage(given), Credential: got[0]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (relyingparty.Verifier{}).Verify(t.Context(), &api.CheckRequest{
		Origin: origin, Credential: got[1], Registered: &verified.Registered,
		RequestOptions: fmt.Appendf(nil, strings.Replace(request, "Y2hhbGxlbmdlIDY1NDMyMQ", "Y2hhbGxlbmdlIDEyMzQ1Ng", 1), verified.Registered.CredentialID.String()),
	}); err != nil {
		t.Error(err)
	}
}

// A call that waits when the daemon stops does not keep it.
func TestStopEndsCalls(t *testing.T) {
	address, engine := bustest.Start(t), bustest.Engine(t)
	server, err := credentialsd.Connect(t.Context(), address, engine, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop := bustest.Serve(t, server.Serve)
	bustest.Emulate(t, engine, api.EmulateAddRequest{Name: "slow", Presence: "manual"})
	follow := events(t, engine)
	call := bustest.Program(t, address).Object(credentialsd.Name, credentialsd.Path).Go(credentialsd.Interface+".CreateCredential", 0, nil,
		"", origin, "publicKey", options{"public_key": fmt.Sprintf(creation, "")}.variants(), "")
	until(t, follow, "a prompt", func(e api.Event) bool { return e.Type == api.EventPrompt })
	stop()
	until(t, follow, "the end", func(e api.Event) bool { return e.Type == api.EventFinished && e.Operation == api.OpRegister })
	select {
	case <-call.Done:
	case <-time.After(bustest.Patience):
		t.Error("the call does not end")
	}
}

func TestNameIsTaken(t *testing.T) {
	address, engine := serve(t)
	if _, err := credentialsd.Connect(t.Context(), address, engine, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another program has the name "+credentialsd.Name) {
		t.Errorf("got %v", err)
	}
}
