package touchdetector_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi/internal/bustest"
	"github.com/fobd/fobd/daemon/dbusapi/touchdetector"
)

// serve puts the properties of an engine with one key, which waits to be touched, on a bus.
func serve(t *testing.T) (address string, engine *daemon.Engine, stop func()) {
	t.Helper()
	address = bustest.Start(t)
	engine = bustest.Engine(t)
	bustest.Emulate(t, engine, api.EmulateAddRequest{Name: "slow", Presence: "manual"})
	server, err := touchdetector.Connect(t.Context(), address, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return address, engine, bustest.Serve(t, func(ctx context.Context) error { return server.Serve(ctx, engine, bustest.Self()) })
}

// watch returns what U2FState becomes.
func watch(t *testing.T, conn *dbus.Conn) <-chan uint32 {
	t.Helper()
	if err := conn.AddMatchSignal(dbus.WithMatchObjectPath(touchdetector.Path), dbus.WithMatchInterface("org.freedesktop.DBus.Properties")); err != nil {
		t.Fatal(err)
	}
	signals, states := make(chan *dbus.Signal, 16), make(chan uint32, 16)
	conn.Signal(signals)
	go func() {
		for s := range signals {
			var iface string
			var changed map[string]dbus.Variant
			var invalidated []string
			if s.Name != "org.freedesktop.DBus.Properties.PropertiesChanged" || s.Path != touchdetector.Path {
				continue
			}
			if err := dbus.Store(s.Body, &iface, &changed, &invalidated); err != nil || iface != touchdetector.Interface || len(changed) != 1 {
				t.Errorf("got signal %v, %v", s.Body, err)
			}
			state, ok := changed["U2FState"].Value().(uint32)
			if !ok {
				t.Errorf("got changes %v", changed)
			}
			states <- state
		}
	}()
	return states
}

func want(t *testing.T, states <-chan uint32, state uint32) {
	t.Helper()
	select {
	case got := <-states:
		if got != state {
			t.Fatalf("U2FState became %d, want %d", got, state)
		}
	case <-time.After(bustest.Patience):
		t.Fatalf("U2FState did not become %d", state)
	}
}

// touch begins an operation that ends with the key's touch or with the test.
func touch(t *testing.T, engine *daemon.Engine) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := engine.Do(t.Context(), bustest.Self(), api.OpTouch, func(any) error { return nil }, nil)
		done <- err
	}()
	return done
}

func TestTellsWhenAKeyWaits(t *testing.T) {
	address, engine, _ := serve(t)
	conn := bustest.Program(t, address)
	states := watch(t, conn)
	object := conn.Object(touchdetector.Name, touchdetector.Path)
	all := func(want uint32) {
		t.Helper()
		var got map[string]dbus.Variant
		if err := object.Call("org.freedesktop.DBus.Properties.GetAll", 0, touchdetector.Interface).Store(&got); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || got["U2FState"].Value() != want || got["GPGState"].Value() != uint32(0) || got["HMACState"].Value() != uint32(0) {
			t.Errorf("got %v, want U2FState %d and the others 0", got, want)
		}
	}
	all(0)
	done := touch(t, engine)
	want(t, states, 1)
	all(1)
	bustest.Do[api.EmulateResult](t, engine, api.OpEmulateTouch, api.EmulateNameRequest{Name: "slow"})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want(t, states, 0)
	all(0)
}

func TestTellsTheEndWhenItStops(t *testing.T) {
	address, engine, stop := serve(t)
	states := watch(t, bustest.Program(t, address))
	touch(t, engine)
	want(t, states, 1)
	stop()
	want(t, states, 0)
}

func TestSetIsRefused(t *testing.T) {
	address, _, _ := serve(t)
	object := bustest.Program(t, address).Object(touchdetector.Name, touchdetector.Path)
	for _, tt := range []struct{ method, iface, property, want string }{
		{"Set", touchdetector.Interface, "U2FState", "PropertyReadOnly"},
		{"Set", touchdetector.Interface, "PIVState", "UnknownProperty"},
		{"Get", touchdetector.Interface, "PIVState", "UnknownProperty"},
		{"Get", "org.example", "U2FState", "UnknownInterface"},
		{"GetAll", "org.example", "", "UnknownInterface"},
	} {
		args := []any{tt.iface, tt.property}
		switch tt.method {
		case "Set":
			args = append(args, dbus.MakeVariant(uint32(1)))
		case "GetAll":
			args = args[:1]
		}
		err := object.Call("org.freedesktop.DBus.Properties."+tt.method, 0, args...).Err
		var e dbus.Error
		if !errors.As(err, &e) || e.Name != "org.freedesktop.DBus.Error."+tt.want {
			t.Errorf("%s %s: got %v, want %s", tt.method, tt.property, err, tt.want)
		}
	}
	if v, err := object.GetProperty(touchdetector.Interface + ".U2FState"); err != nil || v.Value() != uint32(0) {
		t.Errorf("got %v, %v after Set, want 0", v, err)
	}
}

func TestGDBus(t *testing.T) {
	address, engine, _ := serve(t)
	at := []string{"--session", "--dest", touchdetector.Name, "--object-path", string(touchdetector.Path)}
	out, err := bustest.Run(t, address, "gdbus", append([]string{"introspect"}, at...)...)
	for _, want := range []string{"interface " + touchdetector.Interface, "readonly u GPGState = 0;", "readonly u U2FState = 0;", "readonly u HMACState = 0;"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("introspect: got %s, %v; want %q", out, err, want)
		}
	}
	get := append(append([]string{"call"}, at...), "--method", "org.freedesktop.DBus.Properties.Get", touchdetector.Interface, "U2FState")
	if out, err := bustest.Run(t, address, "gdbus", get...); err != nil || strings.TrimSpace(out) != "(<uint32 0>,)" {
		t.Errorf("Get: got %s, %v", out, err)
	}
	set := append(append([]string{"call"}, at...), "--method", "org.freedesktop.DBus.Properties.Set", touchdetector.Interface, "U2FState", "<uint32 1>")
	if out, err := bustest.Run(t, address, "gdbus", set...); err == nil || !strings.Contains(out, "PropertyReadOnly") {
		t.Errorf("Set: got %s, %v; want PropertyReadOnly", out, err)
	}

	monitor := exec.CommandContext(t.Context(), "gdbus", append([]string{"monitor"}, at...)...)
	monitor.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+address)
	pipe, err := monitor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = monitor.Process.Kill()
		_ = monitor.Wait()
	}()
	timer := time.AfterFunc(bustest.Patience, func() { _ = monitor.Process.Kill() })
	defer timer.Stop()
	// It does not say from when on it listens, so touches are made until it has heard of one.
	heard := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "PropertiesChanged") && strings.Contains(lines.Text(), "{'U2FState': <uint32 1>}") {
				break
			}
		}
		heard <- all.String()
	}()
	bustest.Do[api.EmulateResult](t, engine, api.OpEmulateSet, api.EmulateSetRequest{Name: "slow", Presence: "grant"})
	for {
		if err := <-touch(t, engine); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			if !strings.Contains(got, "U2FState") {
				t.Errorf("gdbus monitor wrote %q", got)
			}
			return
		default:
		}
	}
}

func TestNameIsTaken(t *testing.T) {
	address, _, _ := serve(t)
	if _, err := touchdetector.Connect(t.Context(), address, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another program has the name "+touchdetector.Name) {
		t.Errorf("got %v", err)
	}
}
