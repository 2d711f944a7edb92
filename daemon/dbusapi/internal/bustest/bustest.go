// Package bustest starts buses, engines and programs for tests of what is on D-Bus.
package bustest

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
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// Patience bounds what should happen at once.
const Patience = 20 * time.Second

const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
`

// Start starts a bus and returns its address.
func Start(t testing.TB) string {
	t.Helper()
	Need(t, "dbus-daemon")
	dir, err := os.MkdirTemp("", "bus") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, filepath.Join(dir, "s")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+file, "--nofork", "--print-address=1")
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

// Need skips a test without a program.
func Need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no %s: %v", program, err)
	}
}

// Run runs a program with the bus as its session's, and returns what it wrote.
func Run(t testing.TB, address, program string, args ...string) (string, error) {
	t.Helper()
	Need(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+address)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Self is this process as the one who asks.
func Self() policy.Actor {
	return policy.Actor{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: os.Getpid(), Program: "fobd", User: "me"}
}

// Engine runs an engine without keys until the test ends.
func Engine(t testing.TB) *daemon.Engine {
	t.Helper()
	engine, err := daemon.New(daemon.Config{Rules: policy.Rules{Owner: uint32(os.Geteuid())}, Verifier: relyingparty.Verifier{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the engine ended with: %v", err)
		}
	})
	return engine
}

// Do runs an operation that must succeed.
func Do[Result any](t testing.TB, engine *daemon.Engine, op string, request any) *Result {
	t.Helper()
	v, err := engine.Do(t.Context(), Self(), op, func(v any) error {
		data, err := json.Marshal(request)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}, nil)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	result, ok := v.(*Result)
	if !ok {
		t.Fatalf("%s: got a %T", op, v)
	}
	return result
}

// Emulate adds an emulated key.
func Emulate(t testing.TB, engine *daemon.Engine, request api.EmulateAddRequest) {
	t.Helper()
	Do[api.EmulateResult](t, engine, api.OpEmulateAdd, request)
}

// Serve runs serve until the test ends, and expects nil of it then.
func Serve(t testing.TB, serve func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(Patience):
			t.Error("Serve does not end")
		}
	})
	return cancel
}

// Program is a new connection of this process.
func Program(t testing.TB, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
