package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// scripted is an authenticator that answers with what it was asked, after a touch.
type scripted struct {
	mu      sync.Mutex
	log     []string
	touched chan struct{}
}

func newScripted() *scripted { return &scripted{touched: make(chan struct{}, 1)} }

func (s *scripted) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *scripted) notes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, ", ")
}

func (s *scripted) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	if request[0] != 0x02 {
		return request, nil
	}
	keepalive(2)
	select {
	case <-s.touched:
		return request, nil
	case <-ctx.Done():
		return []byte{0x2D}, nil
	}
}

func (s *scripted) MSG(_ context.Context, apdu []byte, _ func(byte)) ([]byte, error) {
	return apdu, nil
}

func (s *scripted) powerCycle()              { s.note("power cycle") }
func (s *scripted) touch(on bool) error      { s.note("touch %t", on); return nil }
func (s *scripted) touchOnce()               { s.note("touch once"); s.touched <- struct{}{} }
func (s *scripted) touchLong()               { s.note("touch long") }
func (s *scripted) uv(bool) error            { return errors.New("no sensor") }
func (s *scripted) samples(n []string) error { s.note("samples %v", n); return nil }
func (s *scripted) state() string            { return "presence=scripted" }
func quiet() *slog.Logger                    { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func echo(t *testing.T, c *ctaphid.Channel) {
	t.Helper()
	if got, err := c.CBOR(t.Context(), []byte{1, 2, 3}, nil); err != nil || !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("CBOR = %x, %v, want 010203", got, err)
	}
}

// shortDir is a directory whose path leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fobkey")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func dial(t *testing.T, path string) hid.Device {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return hid.NewStream(conn, 0, 0)
}

func open(t *testing.T, d hid.Device) *ctaphid.Channel {
	t.Helper()
	c, err := ctaphid.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is a program under test.
type running struct {
	auth            *scripted
	listen, control string
	ready           string
	cancel          context.CancelFunc
	done            chan error
}

func start(t *testing.T, fanout bool) *running {
	t.Helper()
	return startAt(t, fanout, filepath.Join(shortDir(t), "key"))
}

// startAt starts a key that listens at these addresses.
func startAt(t *testing.T, fanout bool, at ...string) *running {
	t.Helper()
	auth := newScripted()
	r := startWith(t, auth, fanout, at...)
	r.auth = auth
	return r
}

func startWith(t *testing.T, auth authenticator, fanout bool, at ...string) *running {
	t.Helper()
	o := offer{fanout: fanout}
	if err := o.parse(at, nil); err != nil {
		t.Fatal(err)
	}
	r := &running{
		listen: at[0], control: filepath.Join(shortDir(t), "ctl"),
		done: make(chan error, 1),
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	out, w := io.Pipe()
	go func() {
		err := run(ctx, program{key: newKey(auth, o, quiet()), control: r.control, out: w})
		_ = w.Close()
		r.done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Errorf("run: %v", err)
		}
		for _, path := range []string{r.listen, r.control} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s is left behind", path)
			}
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v", err)
	}
	r.ready = line
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return r
}

// say sends lines to the control socket and returns the answers.
func (r *running) say(t *testing.T, lines ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", r.control)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, strings.Join(lines, "\n")+"\n")
	_ = conn.(*net.UnixConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestReadyLine(t *testing.T) {
	r := start(t, false)
	if want := "ready listen=" + r.listen + " control=" + r.control + "\n"; r.ready != want {
		t.Errorf("ready line %q, want %q", r.ready, want)
	}
}

func TestEachConnectionGetsItsOwnReplies(t *testing.T) {
	r := start(t, false)
	a, b := dial(t, r.listen), dial(t, r.listen)
	echo(t, open(t, a))
	echo(t, open(t, b))
	if err := a.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first connection reads %d bytes, %v, want nothing", n, err)
	}
}

func TestFanoutHandsEveryReportToAll(t *testing.T) {
	r := start(t, true)
	a, b := dial(t, r.listen), dial(t, r.listen)
	echo(t, open(t, a)) // both are connected once each has had an answer
	echo(t, open(t, b))
	report := make([]byte, 64)
	if err := a.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Read(report); err != nil || n != 64 {
		t.Errorf("the first connection reads %d bytes, %v, want the second one's reply", n, err)
	}
}

func TestOrders(t *testing.T) {
	r := start(t, false)
	got := r.say(t, "touch on", "touch off", "uv on", "bogus", "touch", "power on", "touch long", "status")
	want := `ok
ok
error: no sensor
error: unknown word "bogus": want clock, export, fault, import, observe, power, quit, restore, sample, snapshot, status, touch or uv
error: want touch on|off|once|long
error: the power is already so
ok
ok power=on connections=0 presence=scripted
`
	if got != want {
		t.Errorf("answers:\n%swant:\n%s", got, want)
	}
	if got, want := r.auth.notes(), "power cycle, touch true, touch false, touch long"; got != want {
		t.Errorf("the key was told %q, want %q", got, want)
	}
	if got := r.say(t, strings.Repeat("x", 10*maxLine)); got != "error: line is too long\n" {
		t.Errorf("a long line is answered by %q", got)
	}
}

func TestTouchOnceFromTheControlSocket(t *testing.T) {
	r := start(t, false)
	c := open(t, dial(t, r.listen))
	asked := make(chan string, 1)
	got, err := c.CBOR(t.Context(), []byte{0x02}, func(status byte) {
		if status != 2 {
			return
		}
		select {
		case asked <- "once":
			if got := r.say(t, "touch once"); got != "ok\n" {
				t.Errorf("touch once: %q", got)
			}
		default:
		}
	})
	if err != nil || !bytes.Equal(got, []byte{0x02}) || len(asked) != 1 {
		t.Errorf("CBOR = %x, %v after %d prompts", got, err, len(asked))
	}
}

func TestPowerOffUnplugs(t *testing.T) {
	r := start(t, false)
	d := dial(t, r.listen)
	c := open(t, d)
	ended := make(chan error, 1)
	blinks := make(chan struct{}, 1)
	go func() {
		_, err := c.CBOR(t.Context(), []byte{0x02}, func(byte) {
			select {
			case blinks <- struct{}{}:
			default:
			}
		})
		ended <- err
	}()
	<-blinks
	if got := r.say(t, "power off", "power off", "status"); got != "ok\nerror: the power is already so\nok power=off presence=scripted\n" {
		t.Errorf("answers %q", got)
	}
	if err := <-ended; err == nil {
		t.Error("an operation survived the loss of power")
	}
	if _, err := os.Lstat(r.listen); err == nil {
		t.Error("the socket is still there without power")
	}
	if got := r.say(t, "power on"); got != "ok\n" {
		t.Errorf("power on: %q", got)
	}
	echo(t, open(t, dial(t, r.listen)))
	if got, want := r.auth.notes(), "power cycle, power cycle"; got != want {
		t.Errorf("the key was told %q, want %q", got, want)
	}
}

func TestQuit(t *testing.T) {
	r := start(t, false)
	open(t, dial(t, r.listen))
	if got := r.say(t, "quit", "status"); got != "ok\n" {
		t.Errorf("quit is answered by %q", got)
	}
	err := <-r.done
	r.done <- err
	if err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestSocketsOfOthersStay(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix", file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("listen on a file: %v", err)
	}
	taken := filepath.Join(dir, "taken")
	l, err := listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix", taken); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("listen on a taken socket: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	again, err := listen("unix", taken)
	if err != nil {
		t.Fatalf("listen on a socket that was left behind: %v", err)
	}
	_ = again.Close()
	if _, err := listen("unix", filepath.Join(dir, strings.Repeat("x", 110))); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("listen on a long path: %v", err)
	}
}

func TestUsageErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(bad, []byte("not hex"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"", "--fanout --uhid", "--listen x extra", "--bogus", "--listen x --presence maybe", "--listen x --uv maybe",
		"--listen x --attestation maybe", "--listen x --presence delay", "--listen x --delay 1s",
		"--listen x --vendor-id 65536", "--listen x --product-id x", "--listen x --log-level loud",
		"--listen x --seed /does/not/exist", "--listen x --profile maybe", "--listen x --ctap1-only --profile minimal",
		"--listen tcp:0.0.0.0:1", "--listen udp:192.0.2.1:1", "--usbip-listen 0.0.0.0:3240", "--usbip-listen udp:127.0.0.1:1", "--fanout --usbip", "--listen x --seed " + bad,
	} {
		cmd := command(io.Discard, io.Discard)
		cmd.SetArgs(strings.Fields(line))
		err := cmd.ExecuteContext(t.Context())
		var failed *runError
		if err == nil || errors.As(err, &failed) {
			t.Errorf("fobkey %s: %v, want an error of usage", line, err)
		}
	}
}
