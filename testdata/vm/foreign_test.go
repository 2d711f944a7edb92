//go:build vm

package vm

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fobd/fobd/hid/ctaphid"
)

// foreignDaemon is a daemon with the socket of yubikey-touch-detector, and a client there.
func foreignDaemon(t *testing.T) (d *daemon, detector net.Conn) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "touch.socket")
	config := filepath.Join(dir, "fobd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "touch-detector-socket = %q\n", socket), 0o600); err != nil {
		t.Fatal(err)
	}
	d = startDaemon(t, "--config", config)
	var err error
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if detector, err = net.Dial("unix", socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no touch detector socket: %v\n%s", err, d.stderr)
		}
	}
	t.Cleanup(func() { detector.Close() })
	return d, detector
}

// detects reads what the touch detector's socket is to say next.
func detects(t *testing.T, detector net.Conn, want string) {
	t.Helper()
	detector.SetReadDeadline(time.Now().Add(limit))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(detector, got); err != nil || string(got) != want {
		t.Errorf("the touch detector's socket says %q, %v; want %q", got[:n], err, want)
	}
}

// holderOf is the holder in an event of fob watch --json.
func holderOf(t *testing.T, event string) map[string]any {
	t.Helper()
	h, ok := jsonOf(t, event)["holder"].(map[string]any)
	if !ok {
		t.Fatalf("no holder in %s", event)
	}
	return h
}

// libfido2 waits for a touch of a kernel's key while fobd runs.
func testForeign(t *testing.T, keyFlags, credFlags []string) {
	_, detector := foreignDaemon(t)
	e := events(t)
	k := startKey(t, append([]string{"--presence", "manual"}, keyFlags...)...)
	e.line(`"attached"`)
	challenge := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	user := base64.StdEncoding.EncodeToString([]byte("alice"))
	input := strings.NewReader(challenge + "\nexample.org\nalice\n" + user + "\n")
	cred := start(t, input, "fido2-cred", append(append([]string{"-M"}, credFlags...), k.node())...)
	event := e.line(`"foreign"`)
	h := holderOf(t, event)
	if h["program"] != "fido2-cred" || h["pid"] != float64(cred.cmd.Process.Pid) || h["outside"] != true || h["user"] != "root" {
		t.Errorf("the holder is %v, want fido2-cred of root, pid %d, outside", h, cred.cmd.Process.Pid)
	}
	detects(t, detector, "U2F_1")
	if out := run(t, "", bin("fob"), "watch", "--count", "2"); !strings.Contains(out, "fido2-cred[") || !strings.Contains(out, "waits for a touch, not through fobd") {
		t.Errorf("fob watch, begun later, says %s", out)
	}
	// Who wants the key through the daemon hears who has it.
	_, stderr, err := try(t, "", bin("fob"), "touch", "--timeout", "2s")
	if err == nil || !strings.Contains(stderr, "fido2-cred") || !strings.Contains(stderr, "of root") {
		t.Errorf("fob touch meanwhile: %v, %s; want that fido2-cred of root has the key", err, stderr)
	}
	k.must("touch once")
	if out, err := cred.wait(); err != nil || !strings.Contains(out, "example.org") {
		t.Errorf("fido2-cred: %v, %s", err, out)
	}
	e.line(`"foreign-over"`)
	detects(t, detector, "U2F_0")
}

func TestForeignTouchOfLibfido2IsTold(t *testing.T) { testForeign(t, nil, nil) }

func TestForeignU2FTouchOfLibfido2IsTold(t *testing.T) {
	testForeign(t, []string{"--ctap1-only"}, []string{"-u"})
}

// The daemon's own touches are on the touch detector's socket, and are not foreign.
func TestOwnTouchIsNotForeign(t *testing.T) {
	_, detector := foreignDaemon(t)
	e := events(t)
	k := startKey(t, "--presence", "manual")
	e.line(`"attached"`)
	touch := start(t, nil, bin("fob"), "touch")
	e.line(`"prompt"`)
	detects(t, detector, "U2F_1")
	time.Sleep(time.Second) // several keepalives
	k.must("touch once")
	if _, err := touch.wait(); err != nil {
		t.Errorf("fob touch: %v", err)
	}
	detects(t, detector, "U2F_0")
	for {
		line := e.line(`"type"`)
		if strings.Contains(line, `"foreign`) {
			t.Errorf("the daemon's own touch: %s", line)
		}
		if strings.Contains(line, `"finished"`) {
			break
		}
	}
}

// A program that takes no lock, like a browser, is found as the one who has the node open.
func TestForeignTouchWithoutALockIsTold(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startKey(t, "--presence", "manual")
	e.line(`"attached"`)
	file, err := os.OpenFile(k.node(), os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	dev := rawNode{file}
	ch, err := ctaphid.Open(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ch.CBOR(t.Context(), []byte{0x0B}, nil) // CTAP 2.2, section 6.9
		done <- err
	}()
	if h := holderOf(t, e.line(`"foreign"`)); h["pid"] != float64(os.Getpid()) {
		t.Errorf("the holder is %v, want pid %d", h, os.Getpid())
	}
	k.must("touch once")
	if err := <-done; err != nil {
		t.Error(err)
	}
	e.line(`"foreign-over"`)
	file.Close()
}

// rawNode is a hidraw node that nobody locks.
type rawNode struct{ *os.File }

func (d rawNode) Write(report []byte) (int, error) {
	n, err := d.File.Write(append([]byte{0}, report...))
	return max(n-1, 0), err
}

func (rawNode) ReportSizes() (input, output int) { return 64, 64 }

// An idle daemon sleeps, whatever keys it listens to: the kernel has not switched to it in
// five seconds.
func TestListeningCostsNothingWhileNothingHappens(t *testing.T) {
	d, _ := foreignDaemon(t)
	e := events(t)
	startKey(t)
	e.line(`"attached"`)
	wakeups := func() string {
		out, err := exec.Command("sh", "-c", fmt.Sprintf("cat /proc/%d/task/*/status | grep -h ctxt_switches", d.cmd.Process.Pid)).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	// The start has its own wake-ups, the last of them those of the garbage collector.
	before := wakeups()
	for deadline := time.Now().Add(limit); ; {
		time.Sleep(5 * time.Second)
		now := wakeups()
		if now == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the idle daemon wakes up: context switches of its threads\n%s, 5 seconds later\n%s", before, now)
		}
		before = now
	}
}
