package logind_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/dbusapi/internal/bustest"
	"github.com/fobd/fobd/daemon/dbusapi/logind"
)

// TestLogind has python-dbusmock's logind tell what the real one does.
func TestLogind(t *testing.T) {
	const python3 = "/usr/bin/python3"
	if err := exec.Command(python3, "-c", "import dbusmock").Run(); err != nil {
		t.Skip("no python-dbusmock")
	}
	address := bustest.Start(t)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.AddMatchSignal(dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, "org.freedesktop.login1")); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	cmd := exec.Command(python3, "-m", "dbusmock", "--system", "--template", "logind")
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+address)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	select {
	case <-signals:
	case <-time.After(bustest.Patience):
		t.Fatal("no logind")
	}
	manager := conn.Object("org.freedesktop.login1", "/org/freedesktop/login1")
	mock := func(method string, args ...any) {
		t.Helper()
		if err := manager.Call("org.freedesktop.DBus.Mock."+method, 0, args...).Err; err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	mock("AddSession", "c2", "seat0", uint32(500), "joe", true)

	w, err := logind.Connect(t.Context(), address, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan string, 8)
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx, func(id string) { over <- id }) }()
	next := func(when, want string) {
		t.Helper()
		select {
		case got := <-over:
			if got != want {
				t.Errorf("%s: got session %q, want %q", when, got, want)
			}
		case <-time.After(bustest.Patience):
			t.Fatalf("%s: nothing was heard", when)
		}
	}
	session := conn.Object("org.freedesktop.login1", "/org/freedesktop/login1/session/c2")
	emit := func(o dbus.BusObject, iface, member, signature string, args ...any) {
		t.Helper()
		if args == nil {
			args = []any{}
		}
		if err := o.Call("org.freedesktop.DBus.Mock.EmitSignal", 0, iface, member, signature, variants(args)).Err; err != nil {
			t.Fatal(err)
		}
	}
	emit(session, "org.freedesktop.login1.Session", "Unlock", "")
	emit(session, "org.freedesktop.login1.Session", "Lock", "")
	next("locked", "c2")
	if err := session.Call("org.freedesktop.DBus.Mock.UpdateProperties", 0, "org.freedesktop.login1.Session",
		map[string]dbus.Variant{"LockedHint": dbus.MakeVariant(true)}).Err; err != nil {
		t.Fatal(err)
	}
	next("said to be locked", "c2")
	if err := session.Call("org.freedesktop.DBus.Mock.UpdateProperties", 0, "org.freedesktop.login1.Session",
		map[string]dbus.Variant{"LockedHint": dbus.MakeVariant(false)}).Err; err != nil {
		t.Fatal(err)
	}
	emit(manager, "org.freedesktop.login1.Manager", "SessionRemoved", "so", "31", dbus.ObjectPath("/org/freedesktop/login1/session/_331"))
	next("ended", "31")
	emit(manager, "org.freedesktop.login1.Manager", "PrepareForSleep", "b", false)
	emit(manager, "org.freedesktop.login1.Manager", "PrepareForSleep", "b", true)
	next("asleep", "")
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if len(over) != 0 {
		t.Errorf("heard of %q, too", <-over)
	}
}

func variants(args []any) []dbus.Variant {
	list := []dbus.Variant{}
	for _, a := range args {
		list = append(list, dbus.MakeVariant(a))
	}
	return list
}
