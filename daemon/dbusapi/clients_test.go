package dbusapi_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
)

// outside runs a program that is not ours, which must succeed.
func outside(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

func TestBusctl(t *testing.T) {
	l := newLab(t)
	key := l.emulate(api.EmulateAddRequest{Name: "a"})
	busctl := func(args ...string) string {
		return outside(t, "", append([]string{"busctl", "--address=" + l.address, "--no-pager"}, args...)...)
	}
	if got := busctl("tree", dbusapi.Name); !strings.Contains(got, "/org/fobd/Fob1/key/emulated") {
		t.Errorf("tree: got %s", got)
	}
	if got := busctl("introspect", dbusapi.Name, string(dbusapi.Root), dbusapi.ManagerInterface); !strings.Contains(got, ".Touch") || !strings.Contains(got, "AgentPrompt") {
		t.Errorf("introspect: got %s", got)
	}
	path := ""
	for p := range l.program().objects() {
		path = string(p)
	}
	if got := busctl("get-property", dbusapi.Name, path, dbusapi.KeyInterface, "Id", "Emulated"); !strings.Contains(got, key) || !strings.Contains(got, "b true") {
		t.Errorf("get-property: got %s", got)
	}
	got := busctl("--json=short", "call", dbusapi.Name, string(dbusapi.Root), dbusapi.ManagerInterface, "List", "s", "{}")
	var reply struct{ Data []string }
	var list api.ListResult
	if err := json.Unmarshal([]byte(got), &reply); err != nil || len(reply.Data) != 1 || json.Unmarshal([]byte(reply.Data[0]), &list) != nil || len(list.Keys) != 1 {
		t.Errorf("List: got %s", got)
	}
	// What systemd's own parser of introspection takes is well formed.
	for p, inter := range map[string]string{string(dbusapi.Root): "org.freedesktop.DBus.ObjectManager", path: "org.freedesktop.DBus.Properties"} {
		if got := busctl("introspect", "--xml-interface", dbusapi.Name, p); !strings.Contains(got, inter) {
			t.Errorf("introspect --xml-interface %s: got %s", p, got)
		}
	}
}

func TestGdbus(t *testing.T) {
	l := newLab(t)
	key := l.emulate(api.EmulateAddRequest{Name: "a"})
	gdbus := func(verb string, args ...string) string {
		return outside(t, "", append([]string{"gdbus", verb, "--address", l.address, "--dest", dbusapi.Name, "--object-path", string(dbusapi.Root)}, args...)...)
	}
	if got := gdbus("introspect", "--recurse"); !strings.Contains(got, key) || !strings.Contains(got, "Register(in  s request") {
		t.Errorf("introspect: got %s", got)
	}
	if got := gdbus("call", "--method", dbusapi.ManagerInterface+".List", "{}"); !strings.Contains(got, key) {
		t.Errorf("List: got %s", got)
	}
	if got := gdbus("call", "--method", "org.freedesktop.DBus.ObjectManager.GetManagedObjects"); !strings.Contains(got, key) {
		t.Errorf("GetManagedObjects: got %s", got)
	}
	// It leaves the bus at once: its operation must not stay behind.
	if got := gdbus("call", "--method", dbusapi.ManagerInterface+".Touch", "{}"); !strings.Contains(got, "objectpath '/org/fobd/Fob1/operation/") {
		t.Errorf("Touch: got %s", got)
	}
}

// The system's own, which has Debian's modules.
const python3 = "/usr/bin/python3"

// A program in Python: registers with a PIN that goes through a pipe, and hears the signals.
const python = `
import dbus, json, os, sys
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(sys.argv[1])
manager = dbus.Interface(bus.get_object("org.fobd.Fob1", "/org/fobd/Fob1"), "org.fobd.Fob1.Manager")
loop = GLib.MainLoop()
OPERATION = "org.fobd.Fob1.Operation"

def run(method, request):
    end = {}
    started = {}
    def operation(path):
        return dbus.Interface(bus.get_object("org.fobd.Fob1", path), OPERATION)
    def prompt(text, path):
        p = json.loads(text)
        if p["kind"] in ("pin", "new-pin"):
            r, w = os.pipe()
            os.write(w, b"314159")
            os.close(w)
            operation(path).Answer(p["id"], dbus.types.UnixFd(r))
            os.close(r)
    def finished(result, error, path):
        end[path] = (result, error)
        loop.quit()
    matches = [
        bus.add_signal_receiver(prompt, "Prompt", OPERATION, path_keyword="path"),
        bus.add_signal_receiver(finished, "Finished", OPERATION, path_keyword="path"),
    ]
    path = manager.__getattr__(method)(json.dumps(request))
    while path not in end:
        loop.run()
    for m in matches:
        m.remove()
    result, error = end[path]
    if error:
        sys.exit(f"{method}: {error}")
    return json.loads(result)

options = json.load(sys.stdin)
run("PinSet", {})
credential = run("Register", {"origin": "https://example.org", "options": options})["credential"]
verified = json.loads(manager.Check(json.dumps({"origin": "https://example.org", "creationOptions": options, "credential": credential})))
try:
    manager.EmulateRemove(json.dumps({"name": "nobody"}))
    sys.exit("no error")
except dbus.DBusException as e:
    print(e.get_dbus_name())
print(verified["userVerified"])
`

func TestPython(t *testing.T) {
	l := newLab(t)
	if err := exec.Command(python3, "-c", "import dbus.mainloop.glib, gi").Run(); err != nil {
		t.Skip("no python-dbus")
	}
	l.emulate(api.EmulateAddRequest{Name: "a"})
	got := outside(t, string(creation("required")), python3, "-c", python, l.address)
	if want := dbusapi.ErrorPrefix + "NotFound\nTrue\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
