//go:build vm

package vm

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// startSharing starts a daemon that shows the shared key to everyone; its own key is in its memory.
func startSharing(t *testing.T, presence string) *daemon {
	t.Helper()
	file := write(t, "fobd.toml", fmt.Sprintf("hid = true\n[expose]\nenabled = true\n[[emulate]]\nname = \"real\"\npresence = %q\n", presence))
	return startDaemon(t, "--config", file)
}

// busy keeps clients of the socket touching the key until the function it returns is called.
func busy(t *testing.T, clients int) (stop func() (touches int)) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	touches, stopped := 0, false
	for range clients {
		wg.Go(func() {
			for {
				if out, err := exec.Command(bin("fob"), "touch", "--json").CombinedOutput(); err != nil {
					t.Errorf("fob touch beside others: %v\n%s", err, out)
					return
				}
				mu.Lock()
				touches++
				over := stopped
				mu.Unlock()
				if over {
					return
				}
			}
		})
	}
	stop = func() int {
		mu.Lock()
		stopped = true
		mu.Unlock()
		wg.Wait()
		return touches
	}
	t.Cleanup(func() { stop() })
	return stop
}

// libfido2 and OpenSSH use the shared key while clients of the socket use the same real one.
func TestSharedKeyServesProgramsThatKnowKeysOnly(t *testing.T) {
	version(t, "libfido2-1", "openssh-client")
	startSharing(t, "grant")
	node := keyNode(t)
	if got := run(t, "", "fido2-token", "-L"); !strings.Contains(got, node+": vendor=0x1209, product=0xf0bd") {
		t.Errorf("fido2-token -L says %q", got)
	}
	mustMatch(t, "fido2-token -I", run(t, "", "fido2-token", "-I", node), "FIDO_2_1")
	stop := busy(t, 3)
	libfido2At(t, node)
	libfido2At(t, node, "-u")
	sshSigns(t, "ecdsa-sk")
	sshSigns(t, "ed25519-sk")
	if n := stop(); n < 3 {
		t.Errorf("%d touches in all", n)
	}
	if got := run(t, "", bin("fob"), "list", "--json"); strings.Count(got, `"id"`) != 1 {
		t.Errorf("the daemon takes the shared key for a real one: %s", got)
	}
}

// A PIN goes through the shared key as it is: what libfido2 sets, fob uses.
func TestSharedKeyPassesThePINThrough(t *testing.T) {
	startSharing(t, "grant")
	node := keyNode(t)
	answer(t, "2468", "fido2-token", "-S", node)
	stop := busy(t, 1)
	got := withPIN(t, "2468", "fido2-token", "-I", "-c", node)
	stop()
	mustMatch(t, "fido2-token -I -c", got, "existing rk.*: 0")
	if got := run(t, "", bin("fob"), "pin", "status", "--json"); !strings.Contains(got, `"set":true`) {
		t.Errorf("fob pin status says %s", got)
	}
	pinFD(t, "2468\n", "credential", "list")
}

// The daemon's prompts name the program behind the shared key.
func TestSharedKeyNamesTheProgram(t *testing.T) {
	startSharing(t, "manual")
	keyNode(t)
	e := events(t)
	path := filepath.Join(t.TempDir(), "id")
	ssh := start(t, nil, "ssh-keygen", "-q", "-t", "ecdsa-sk", "-N", "", "-C", "alice", "-f", path)
	prompt := e.line(`"touch"`)
	if !strings.Contains(prompt, `"program":"ssh-sk-helper"`) || !strings.Contains(prompt, `"rpId":"ssh:"`) {
		t.Errorf("the prompt is %s", prompt)
	}
	touch := start(t, nil, bin("fob"), "touch", "--json", "--purpose", "after ssh")
	waiting := e.line(`"wait"`)
	if !strings.Contains(waiting, "ssh-sk-helper") {
		t.Errorf("the one who waits hears %s", waiting)
	}
	run(t, "", bin("fob"), "emulate", "touch")
	if _, err := ssh.wait(); err != nil {
		t.Errorf("ssh-keygen: %v\n%s", err, ssh.stderr)
	}
	e.line(`"touch"`)
	run(t, "", bin("fob"), "emulate", "touch")
	if out, err := touch.wait(); err != nil {
		t.Errorf("fob touch: %v\n%s%s", err, out, touch.stderr)
	}
}
