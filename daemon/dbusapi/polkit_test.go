package dbusapi_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
	"github.com/fobd/fobd/daemon/policy"
)

func denyAll(who policy.Actor, what policy.Action) error {
	return &policy.DeniedError{Actor: who, Action: what}
}

// vouchedOnly are rules that let nobody administer but those for whom polkit vouches.
type vouchedOnly struct{}

func (vouchedOnly) Decide(r policy.Request) policy.Decision {
	if r.Action.Scope == policy.ScopeAdmin && !r.Actor.Vouched {
		return policy.Decision{Effect: policy.Deny}
	}
	return policy.Decision{Effect: policy.Allow}
}

// mockPolkit puts python-dbusmock's polkit on a bus, where the real one cannot run.
func mockPolkit(t *testing.T, address string) dbus.BusObject {
	t.Helper()
	if err := exec.Command(python3, "-c", "import dbusmock").Run(); err != nil {
		t.Skip("no python-dbusmock")
	}
	conn := startNamed(t, address, "org.freedesktop.PolicyKit1", python3, "-m", "dbusmock", "--system", "--template", "polkitd")
	return conn.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority")
}

func TestPolkit(t *testing.T) {
	l := newLabWith(t, startBus(t, "session", allowAll, ""), vouchedOnly{})
	p := l.program()
	ask := func() error { return p.ask("EmulateRemove", api.EmulateNameRequest{Name: "nobody"}).Err }
	refused := func(reason string) {
		t.Helper()
		err := ask()
		var e dbus.Error
		if !errors.As(err, &e) || e.Name != dbusapi.ErrorPrefix+"Denied" || !strings.Contains(e.Error(), reason) {
			t.Errorf("got %v, want %q", err, reason)
		}
	}
	refused("there is no polkit to allow it")
	polkit := mockPolkit(t, l.address)
	refused("polkit does not allow it")
	if err := polkit.Call("org.freedesktop.DBus.Mock.SetAllowed", 0, []string{dbusapi.ActionAdmin}).Err; err != nil {
		t.Fatal(err)
	}
	if got := errorName(ask()); got != dbusapi.ErrorPrefix+"NotFound" {
		t.Errorf("allowed: got %s", got)
	}
	// What changes nothing is none of polkit's business.
	if err := polkit.Call("org.freedesktop.DBus.Mock.SetAllowed", 0, []string{"org.example"}).Err; err != nil {
		t.Fatal(err)
	}
	if err := p.ask("List", struct{}{}).Err; err != nil {
		t.Error(err)
	}
	// A caller that leaves does not leave polkit's question behind.
	if err := polkit.Call("org.freedesktop.DBus.Mock.SimulateHang", 0, true).Err; err != nil {
		t.Fatal(err)
	}
	leaving := l.program()
	call := leaving.root.Go(dbusapi.ManagerInterface+".EmulateRemove", 0, nil, `{"name":"nobody"}`)
	var hanging bool
	for !hanging && call.Err == nil {
		if err := polkit.Call("org.freedesktop.DBus.Mock.HaveHangingCalls", 0).Store(&hanging); err != nil {
			t.Fatal(err)
		}
	}
	leaving.conn.Close() // the lab's end waits for the call
}

// Another user than the daemon's own may administer when polkit says so, and only then.
func TestPolkitLetsAnotherUserAdminister(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be several users")
	}
	if _, err := exec.LookPath("gdbus"); err != nil {
		t.Skip("no gdbus")
	}
	address := startBus(t, "session", allowAll, "")
	newLabWith(t, address, policy.Rules{Owner: 12345})
	polkit := mockPolkit(t, address)
	if got := callAsNobody(address, "EmulateAdd", `{"name":"x"}`); !strings.Contains(got, dbusapi.ErrorPrefix+"Denied") {
		t.Errorf("polkit does not allow it: got %s", got)
	}
	if err := polkit.Call("org.freedesktop.DBus.Mock.SetAllowed", 0, []string{dbusapi.ActionAdmin}).Err; err != nil {
		t.Fatal(err)
	}
	if got := callAsNobody(address, "EmulateAdd", `{"name":"x"}`); !strings.Contains(got, `"name":"x"`) {
		t.Errorf("polkit allows it: got %s", got)
	}
	// What is no administration is not polkit's to allow.
	if got := callAsNobody(address, "List", "{}"); !strings.Contains(got, dbusapi.ErrorPrefix+"Denied") {
		t.Errorf("List: got %s", got)
	}
}

// The real polkit reads the action file, takes the question, and answers by a rule about its details.
func TestRealPolkit(t *testing.T) {
	const polkitd = "/usr/lib/polkit-1/polkitd"
	if _, err := os.Stat(polkitd); err != nil || os.Geteuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Skip("the real polkit cannot run here")
	}
	actions, rules := t.TempDir(), t.TempDir()
	action, err := os.ReadFile(filepath.Join(packaging, "polkit/org.fobd.Fob1.policy"))
	if err != nil {
		t.Fatal(err)
	}
	const rule = `polkit.addRule(function(action, subject) {
		if (action.id == "org.fobd.Fob1.admin" && action.lookup("operation") == "emulate-add" && action.lookup("program") == "gdbus" && subject.user == "nobody")
			return polkit.Result.YES;
	});`
	for file, text := range map[string]string{actions + "/org.fobd.Fob1.policy": string(action), rules + "/50-fobd.rules": rule} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	address := startBus(t, "system", allowAll, "")
	newLabWith(t, address, policy.Rules{Owner: 12345})
	startNamed(t, address, "org.freedesktop.PolicyKit1", "unshare", "--mount", "sh", "-c",
		`mount --bind "$0" /usr/share/polkit-1/actions && mount --bind "$1" /etc/polkit-1/rules.d && exec "$2" --no-debug`, actions, rules, polkitd)
	if got := callAsNobody(address, "EmulateAdd", `{"name":"x"}`); !strings.Contains(got, `"name":"x"`) {
		t.Errorf("what the rule allows: got %s", got)
	}
	if got := callAsNobody(address, "EmulateRemove", `{"name":"x"}`); !strings.Contains(got, "polkit wants the person's password") {
		t.Errorf("what no rule allows: got %s", got)
	}
}

// startNamed starts a program and waits until it has its name on the bus.
func startNamed(t *testing.T, address, name string, args ...string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.AddMatchSignal(dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+address)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	(&program{t: t, signals: signals}).hears("NameOwnerChanged", "")
	return conn
}

// callAsNobody calls a method of the manager as another user, and returns what gdbus says.
func callAsNobody(address, method, request string) string {
	cmd := exec.Command("gdbus", "call", "--address", address, "--dest", dbusapi.Name, "--object-path", string(dbusapi.Root),
		"--method", dbusapi.ManagerInterface+"."+method, request)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	return string(out)
}
