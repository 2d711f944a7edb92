package dbusapi_test

import (
	"bufio"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/dbusapi"
	"github.com/fobd/fobd/daemon/policy"
)

const packaging = "../../packaging"

// On a bus that forbids everything else, as the system's does, the policy file lets root have the
// name and everybody call it, and nobody else have it.
func TestBusPolicy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be several users")
	}
	conf, err := filepath.Abs(filepath.Join(packaging, "dbus", dbusapi.Name+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	// As in system.conf(5).
	rules := `<deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
		<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/><allow receive_type="method_return"/>
		<allow receive_type="error"/><allow receive_type="signal"/><allow send_destination="org.freedesktop.DBus"/>`
	engine, err := daemon.New(daemon.Config{Rules: policy.Rules{Owner: 12345}})
	if err != nil {
		t.Fatal(err)
	}
	asNobody := func(address string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "gdbus", append([]string{"call", "--address", address}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	list := []string{"--dest", dbusapi.Name, "--object-path", string(dbusapi.Root), "--method", dbusapi.ManagerInterface + ".List", "{}"}
	own := []string{"--dest", "org.freedesktop.DBus", "--object-path", "/", "--method", "org.freedesktop.DBus.RequestName", dbusapi.Name, "0"}

	without := startBus(t, "system", rules, "")
	if err := dbusapi.New(engine, dbusapi.Config{Self: self()}).Connect(t.Context(), without); err == nil {
		t.Error("the name can be had without the policy")
	}
	address := startBus(t, "system", rules, "<include>"+conf+"</include>")
	l := labWith(t, address, engine)
	l.run(engine)
	// It reaches the daemon, which is what says no.
	if out, err := asNobody(address, list...); err == nil || !strings.Contains(out, dbusapi.ErrorPrefix+"Denied") {
		t.Errorf("nobody calls List: got %s, %v", out, err)
	}
	if out, err := asNobody(address, own...); err == nil || !strings.Contains(out, "AccessDenied") {
		t.Errorf("nobody takes the name: got %s, %v", out, err)
	}
}

// Activation starts the unit that there is, or the program with flags that it has.
func TestActivationFiles(t *testing.T) {
	for file, flag := range map[string]string{"dbus/org.fobd.Fob1.service": "--system", "dbus/user/org.fobd.Fob1.service": "--user"} {
		f, err := os.Open(filepath.Join(packaging, file))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		values := map[string]string{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), "="); ok {
				values[name] = value
			}
		}
		if values["Name"] != dbusapi.Name || values["Exec"] != "/usr/bin/fobd "+flag {
			t.Errorf("%s: got %v", file, values)
		}
		unit := filepath.Join(packaging, "systemd", strings.TrimPrefix(flag, "--"), values["SystemdService"])
		if flag == "--system" {
			unit = filepath.Join(packaging, "systemd", values["SystemdService"])
		}
		if text, err := os.ReadFile(unit); err != nil || !strings.Contains(string(text), "ExecStart=fobd "+flag) {
			t.Errorf("%s: starts %s: %v", file, unit, err)
		}
	}
}

// A session's bus starts the daemon for the first program that calls, which gets its answer.
func TestActivation(t *testing.T) {
	program := filepath.Join(t.TempDir(), "fobd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/fobd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(packaging, "dbus/user/org.fobd.Fob1.service"))
	if err != nil {
		t.Fatal(err)
	}
	services, runtime := t.TempDir(), t.TempDir()
	// Without systemd, the bus itself starts what Exec says.
	service := strings.Replace(string(text), "Exec=/usr/bin/fobd --user",
		"Exec="+program+" --user --no-hid --emulate=a --socket "+runtime+"/s --state-dir "+runtime, 1)
	service = strings.Replace(service, "SystemdService=fobd.service\n", "", 1)
	if err := os.WriteFile(filepath.Join(services, "org.fobd.Fob1.service"), []byte(service), 0o600); err != nil {
		t.Fatal(err)
	}
	address := startBus(t, "session", allowAll, "<servicedir>"+services+"</servicedir>")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	got := outside(t, "", "gdbus", "call", "--session", "--dest", dbusapi.Name, "--object-path", string(dbusapi.Root), "--method", dbusapi.ManagerInterface+".List", "{}")
	if !strings.Contains(got, `"serial":"a"`) {
		t.Errorf("got %s", got)
	}
}

func TestPolkitFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(packaging, "polkit/org.fobd.Fob1.policy"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Actions []struct {
			ID       string `xml:"id,attr"`
			Message  string `xml:"message"`
			Icon     string `xml:"icon_name"`
			Defaults struct {
				Any      string `xml:"allow_any"`
				Inactive string `xml:"allow_inactive"`
				Active   string `xml:"allow_active"`
			} `xml:"defaults"`
		} `xml:"action"`
	}
	if err := xml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Actions) != 1 || file.Actions[0].ID != dbusapi.ActionAdmin {
		t.Fatalf("got %+v", file)
	}
	a := file.Actions[0]
	for _, name := range []string{"operation", "program"} { // the details that the daemon gives
		if !strings.Contains(a.Message, "$("+name+")") {
			t.Errorf("the message does not say the %s: %s", name, a.Message)
		}
	}
	if a.Icon == "" || a.Defaults.Any != "auth_admin" || a.Defaults.Inactive != "auth_admin" || a.Defaults.Active != "auth_admin_keep" {
		t.Errorf("got %+v", a)
	}
}
