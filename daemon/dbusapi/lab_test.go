package dbusapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// patience bounds what should happen at once.
const patience = 20 * time.Second

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>%s</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    %s
  </policy>
  %s
</busconfig>
`

const allowAll = `<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>`

// startBus starts a bus of the test's own and returns its address.
func startBus(t testing.TB, kind, rules, more string) string {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("no dbus-daemon")
	}
	dir, err := os.MkdirTemp("", "bus") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, kind, filepath.Join(dir, "s"), rules, more), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config-file="+config, "--nofork", "--print-address=1")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the bus did not start: %v", err)
	}
	return strings.TrimSpace(address)
}

// self is this process as the one who asks.
func self() policy.Actor {
	return policy.Actor{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: os.Getpid(), Program: "fobd", User: "me"}
}

// lab is an engine behind a bus.
type lab struct {
	t       testing.TB
	address string
	engine  *daemon.Engine
	server  *dbusapi.Server
	stop    context.CancelFunc
	served  chan error
}

// newLab starts a bus, a real engine and a front end.
func newLab(t testing.TB, change ...func(*dbusapi.Config)) *lab {
	t.Helper()
	return newLabWith(t, startBus(t, "session", allowAll, ""), policy.Rules{Owner: uint32(os.Geteuid())}, change...)
}

// newLabWith starts an engine with rules, which can ask polkit on the bus, and a front end.
func newLabWith(t testing.TB, address string, rules policy.Decider, change ...func(*dbusapi.Config)) *lab {
	t.Helper()
	var l *lab
	engine, err := daemon.New(daemon.Config{
		Rules: rules, Verifier: relyingparty.Verifier{},
		Vouch: func(ctx context.Context, who policy.Actor, what policy.Action, interactive bool) error {
			return l.server.Vouch(ctx, who, what, interactive)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l = labWith(t, address, engine, change...)
	l.run(engine)
	return l
}

// run runs the engine behind the lab until its end.
func (l *lab) run(engine *daemon.Engine) {
	l.engine = engine
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	l.t.Cleanup(func() {
		l.stop()
		cancel()
		<-done
	})
}

// labWith puts a front end on a bus.
func labWith(t testing.TB, address string, engine dbusapi.Engine, change ...func(*dbusapi.Config)) *lab {
	t.Helper()
	l := &lab{t: t, address: address, served: make(chan error, 1)}
	cfg := dbusapi.Config{Self: self()}
	for _, f := range change {
		f(&cfg)
	}
	l.server = dbusapi.New(engine, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	if err := l.server.Connect(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	go func() { l.served <- l.server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-l.served:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve does not end")
		}
	})
	return l
}

// emulate adds an emulated key and returns its id.
func (l *lab) emulate(r api.EmulateAddRequest) string {
	l.t.Helper()
	v, err := l.engine.Do(l.t.Context(), self(), api.OpEmulateAdd, decoder(r), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	added, ok := v.(*api.EmulateResult)
	if !ok {
		l.t.Fatalf("got a %T", v)
	}
	return added.Key.Key
}

func decoder(request any) func(any) error {
	return func(v any) error {
		data, err := json.Marshal(request)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
}

// program is a client on the bus.
type program struct {
	t       testing.TB
	conn    *dbus.Conn
	root    dbus.BusObject
	signals chan *dbus.Signal
}

func (l *lab) program() *program {
	l.t.Helper()
	conn, err := dbus.Connect(l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	p := &program{t: l.t, conn: conn, root: conn.Object(dbusapi.Name, dbusapi.Root), signals: make(chan *dbus.Signal, 256)}
	conn.Signal(p.signals)
	return p
}

// ask calls a method of the manager.
func (p *program) ask(method string, request any) *dbus.Call {
	data, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.root.Call(dbusapi.ManagerInterface+"."+method, 0, string(data))
}

// begin starts an interactive operation.
func (p *program) begin(method string, request any) dbus.BusObject {
	p.t.Helper()
	var path dbus.ObjectPath
	if err := p.ask(method, request).Store(&path); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	return p.conn.Object(dbusapi.Name, path)
}

// hears waits for a signal.
func (p *program) hears(member string, path dbus.ObjectPath) *dbus.Signal {
	p.t.Helper()
	timer := time.After(patience)
	for {
		select {
		case s := <-p.signals:
			if s != nil && strings.HasSuffix(s.Name, "."+member) && (path == "" || s.Path == path) {
				return s
			}
		case <-timer:
			p.t.Fatalf("no signal %s of %s", member, path)
		}
	}
}

// hearsAny waits for the next signal.
func (p *program) hearsAny() *dbus.Signal {
	p.t.Helper()
	select {
	case s := <-p.signals:
		return s
	case <-time.After(patience):
		p.t.Fatal("no signal")
		return nil
	}
}

// prompted waits for a prompt of a kind.
func (p *program) prompted(o dbus.BusObject, kind api.PromptKind) api.Prompt {
	p.t.Helper()
	for {
		var got api.Prompt
		body, ok := p.hears("Prompt", o.Path()).Body[0].(string)
		if !ok || json.Unmarshal([]byte(body), &got) != nil {
			p.t.Fatalf("no prompt: %q", body)
		}
		if got.Kind == kind {
			return got
		}
	}
}

// finished waits for the end of an operation and decodes its result.
func finished[Result any](p *program, o dbus.BusObject) *Result {
	p.t.Helper()
	body := p.hears("Finished", o.Path()).Body
	result := new(Result)
	if text, ok := body[0].(string); !ok || text == "" || json.Unmarshal([]byte(text), result) != nil {
		p.t.Fatalf("got result %q, error %q", body...)
	}
	return result
}

// failed waits for the end of an operation that fails.
func (p *program) failed(o dbus.BusObject) *api.Error {
	p.t.Helper()
	body := p.hears("Finished", o.Path()).Body
	var e api.Error
	if text, ok := body[1].(string); !ok || text == "" || json.Unmarshal([]byte(text), &e) != nil {
		p.t.Fatalf("got result %q, error %q", body...)
	}
	return &e
}

// errorName is the name of a D-Bus error.
func errorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return fmt.Sprint(err)
}

// pipe returns a file to pass that a PIN can be read from.
func pipe(t testing.TB, pin string) dbus.UnixFD {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := w.WriteString(pin); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dbus.UnixFD(r.Fd())
}
