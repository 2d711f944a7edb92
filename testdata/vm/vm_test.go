//go:build vm

// Package vm tests the binaries against a real kernel and programs that are not ours:
// libfido2's tools and OpenSSH. It runs as root in the virtual machine of run.sh;
// test.sh builds and starts it.
package vm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// limit bounds every program that a test starts. The machine is slow.
const limit = 60 * time.Second

// bin returns the path of one of our binaries.
func bin(name string) string { return filepath.Join(os.Getenv("FOBD_BIN"), name) }

// process is a program in the background.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // stdout, a line each
	stderr *buffer
	done   chan struct{}
	err    error
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts a program; the end of the test ends it.
func start(t *testing.T, stdin io.Reader, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), lines: make(chan string, 1000), stderr: new(buffer), done: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	p.cmd.Stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			p.cmd.Process.Kill()
			t.Errorf("%s does not end", filepath.Base(name))
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.stderr)
		}
	})
	return p
}

// line waits for a line of stdout that contains text.
func (p *process) line(text string) string {
	p.t.Helper()
	for deadline := time.After(limit); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("%v ended without %q; stderr:\n%s", p.cmd.Args, text, p.stderr)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			p.t.Fatalf("%v did not print %q; stderr:\n%s", p.cmd.Args, text, p.stderr)
		}
	}
}

// wait waits for the end and returns what was left of stdout.
func (p *process) wait() (stdout string, err error) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%v does not end; stderr:\n%s", p.cmd.Args, p.stderr)
	}
	var b strings.Builder
	for line := range p.lines {
		fmt.Fprintln(&b, line)
	}
	return b.String(), p.err
}

// run runs a program to its end and returns stdout; failing is fatal.
func run(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := try(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\nstdout: %s\nstderr: %s", filepath.Base(name), args, err, stdout, stderr)
	}
	return stdout
}

func try(t *testing.T, stdin string, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// emulated is a fobkey behind /dev/uhid.
type emulated struct {
	*process
	control string
}

func startKey(t *testing.T, args ...string) *emulated {
	t.Helper()
	control := filepath.Join(t.TempDir(), "control")
	k := &emulated{control: control}
	k.process = start(t, nil, bin("fobkey"), append([]string{"--uhid", "--control", control}, args...)...)
	k.line("ready")
	k.node()
	return k
}

// say sends a line to the control socket and returns the answer.
func (k *emulated) say(line string) string {
	k.t.Helper()
	c, err := net.Dial("unix", k.control)
	if err != nil {
		k.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	fmt.Fprintln(c, line)
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		k.t.Fatalf("%s: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

// must is say for what has to be answered with ok.
func (k *emulated) must(line string) {
	k.t.Helper()
	if got := k.say(line); !strings.HasPrefix(got, "ok") {
		k.t.Fatalf("fobkey answers %q with %q, want ok", line, got)
	}
}

// node waits for the kernel's device node, which udev gives to group fobd, and returns its path.
func (k *emulated) node() string {
	k.t.Helper()
	return keyNode(k.t)
}

func keyNode(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		nodes, _ := filepath.Glob("/dev/hidraw*")
		if len(nodes) == 0 {
			continue
		}
		if info, err := os.Stat(nodes[0]); err == nil && info.Mode().Perm() == 0o660 {
			return nodes[0]
		}
	}
	t.Fatal("no /dev/hidraw node with mode 0660")
	return ""
}

// daemon is a fobd and how to reach it.
type daemon struct {
	*process
	socket string
}

func startDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{socket: filepath.Join(dir, "fobd.sock")}
	t.Setenv("FOBD_SOCKET", d.socket)
	d.process = start(t, nil, bin("fobd"), append([]string{"--socket", d.socket, "--state-dir", dir}, args...)...)
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", d.socket); err == nil {
			c.Close()
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("fobd does not listen:\n%s", d.stderr)
		}
	}
}

// events subscribes to the daemon's events, as JSON lines.
func events(t *testing.T) *process {
	t.Helper()
	p := start(t, nil, bin("fob"), "watch", "--json")
	p.line(`"ready"`)
	return p
}

// pinFD runs fob with a PIN on a file descriptor: never in arguments or environment.
func pinFD(t *testing.T, pins string, args ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.WriteString(w, pins); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, bin("fob"), append(args, "--pin-fd", "3")...)
	cmd.ExtraFiles = []*os.File{r}
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("fob %q: %v\nstdout: %s\nstderr: %s", args, err, &out, &errs)
	}
	return out.String()
}

func jsonOf(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return v
}

func TestKernelKeyArrivesByHotPlugAndLeaves(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startKey(t)
	attached := e.line(`"attached"`)
	if !strings.Contains(attached, "/dev/hidraw") {
		t.Errorf("the event is %s, want a hidraw path in it", attached)
	}
	if out := run(t, "", bin("fob"), "list", "--json"); !strings.Contains(out, "/dev/hidraw") {
		t.Errorf("fob list says %s, want the kernel's key", out)
	}
	k.must("power off")
	e.line(`"detached"`)
	k.must("power on")
	e.line(`"attached"`)
}

func TestNodeBelongsToGroupFobd(t *testing.T) {
	k := startKey(t)
	out := strings.TrimSpace(run(t, "", "stat", "-c", "%G %a", k.node()))
	if out != "fobd 660" {
		t.Errorf("the node is %q, want fobd 660", out)
	}
}

// registerAndAssert drives the daemon's relying party over a key; pin may be empty.
func registerAndAssert(t *testing.T, pin string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	uv := "discouraged"
	use := func(args ...string) string { return run(t, "", bin("fob"), args...) }
	if pin != "" {
		uv = "required"
		use = func(args ...string) string { return pinFD(t, pin+"\n", args...) }
	}
	creation := write("creation.json", fmt.Sprintf(`{"rp":{"id":"example.org","name":"Example"},
		"user":{"id":"YWxpY2U","name":"alice","displayName":"Alice"},"challenge":"%s",
		"pubKeyCredParams":[{"type":"public-key","alg":-7}],"attestation":"direct",
		"authenticatorSelection":{"userVerification":"%s"}}`, base64.RawURLEncoding.EncodeToString(make([]byte, 32)), uv))
	registration := write("registration.json", use("register", "--origin", "https://example.org", creation))
	kept := filepath.Join(dir, "kept.json")
	verified := jsonOf(t, run(t, "", bin("fob"), "check", "--json", "--options", creation, "--save", kept, registration))
	if got := verified["userVerified"]; got != (pin != "") {
		t.Errorf("userVerified is %v with PIN %q", got, pin)
	}
	id := verified["registered"].(map[string]any)["credentialId"]
	request := write("request.json", fmt.Sprintf(`{"challenge":"%s","rpId":"example.org","userVerification":"%s",
		"allowCredentials":[{"type":"public-key","id":%q}]}`, base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)), uv, id))
	assertion := write("assertion.json", use("assert", "--origin", "https://example.org", request))
	run(t, "", bin("fob"), "check", "--options", request, "--registered", kept, assertion)
}

func TestRegisterAndAssertThroughTheSocket(t *testing.T) {
	startDaemon(t)
	e := events(t)
	startKey(t)
	e.line(`"attached"`)
	registerAndAssert(t, "")
}

func TestRegisterAndAssertWithPINThroughTheSocket(t *testing.T) {
	startDaemon(t)
	e := events(t)
	startKey(t)
	e.line(`"attached"`)
	pinFD(t, "1234\n1234\n", "pin", "set")
	registerAndAssert(t, "1234")
}

func TestRegisterAndAssertWithU2FKeyThroughTheSocket(t *testing.T) {
	startDaemon(t)
	e := events(t)
	startKey(t, "--ctap1-only")
	e.line(`"attached"`)
	registerAndAssert(t, "")
}

func TestFido2TokenListsAndDescribesTheKey(t *testing.T) {
	k := startKey(t)
	if out := run(t, "", "fido2-token", "-L"); !strings.Contains(out, k.node()) {
		t.Errorf("fido2-token -L says %q, want %s", out, k.node())
	}
	out := run(t, "", "fido2-token", "-I", k.node())
	for _, want := range []string{"FIDO_2_1", "aaguid: ", "pin protocols: 2, 1|pin protocols: 1, 2", "credProtect", "hmac-secret"} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("fido2-token -I lacks %q:\n%s", want, out)
		}
	}
}

// libfido2 makes and verifies a credential and an assertion with libfido2's tools.
func libfido2(t *testing.T, k *emulated, flags ...string) {
	t.Helper()
	libfido2At(t, k.node(), flags...)
}

func libfido2At(t *testing.T, node string, flags ...string) {
	t.Helper()
	dir := t.TempDir()
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	user := base64.StdEncoding.EncodeToString([]byte("alice"))
	made := run(t, hash("create")+"\nexample.org\nalice\n"+user+"\n", "fido2-cred", append(append([]string{"-M"}, flags...), node)...)
	verified := run(t, made, "fido2-cred", "-V")
	id, key, _ := strings.Cut(verified, "\n")
	keyPath := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(keyPath, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, hash("get")+"\nexample.org\n"+id+"\n", "fido2-assert", append(append([]string{"-G"}, flags...), node)...)
	run(t, got, "fido2-assert", "-V", keyPath, "es256")
	tampered := strings.Replace(got, hash("get"), hash("other"), 1)
	if stdout, _, err := try(t, tampered, "fido2-assert", "-V", keyPath, "es256"); err == nil {
		t.Errorf("fido2-assert -V accepts an assertion over other client data: %s", stdout)
	}
}

func TestLibfido2MakesAndVerifiesCTAP2Credentials(t *testing.T) { libfido2(t, startKey(t)) }

func TestLibfido2MakesAndVerifiesU2FCredentials(t *testing.T) { libfido2(t, startKey(t), "-u") }

func TestLibfido2WithU2FOnlyKey(t *testing.T) { libfido2(t, startKey(t, "--ctap1-only"), "-u") }

// answer runs a program on a terminal of its own and types the answer whenever it asks for a PIN.
func answer(t *testing.T, pin string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var said strings.Builder
	seen := 0
	for chunk := make([]byte, 1000); ; {
		n, err := terminal.Read(chunk)
		said.Write(chunk[:n])
		// "Enter PIN for /dev/hidraw0: ", "Enter new PIN …", "Enter the same PIN again: "
		if asked := strings.Count(said.String(), ": "); asked > seen {
			seen = asked
			fmt.Fprintf(terminal, "%s\n", pin)
		}
		if err != nil { // the program has closed its terminal
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, &said)
	}
}

func TestLibfido2WithPINResidentKeyAndHMACSecret(t *testing.T) {
	k := startKey(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	user := base64.StdEncoding.EncodeToString([]byte("alice"))
	answer(t, "1234", "fido2-token", "-S", k.node())
	if out := run(t, "", "fido2-token", "-I", k.node()); !strings.Contains(out, "pin retries: 8") {
		t.Errorf("fido2-token -I says %s, want 8 PIN retries", out)
	}
	made := file("made", "")
	answer(t, "1234", "fido2-cred", "-M", "-r", "-h", "-v", "-i", file("creation", hash+"\nexample.org\nalice\n"+user+"\n"), "-o", made, k.node())
	verified := run(t, "", "fido2-cred", "-V", "-v", "-h", "-i", made)
	_, key, _ := strings.Cut(verified, "\n")
	secret := func(salt byte) string {
		got := file("got", "")
		os.Remove(got)
		salts := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{salt}, 32))
		answer(t, "1234", "fido2-assert", "-G", "-r", "-h", "-v", "-i", file("request", hash+"\nexample.org\n"+salts+"\n"), "-o", got, k.node())
		run(t, "", "fido2-assert", "-V", "-h", "-v", "-i", got, file("key.pem", key), "es256")
		contents, err := os.ReadFile(got)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(contents)), "\n")
		return lines[len(lines)-1]
	}
	first, other := secret(1), secret(2)
	if again := secret(1); first != again || first == other {
		t.Errorf("hmac-secret gives %s, %s for another salt, and %s again", first, other, again)
	}
}

func TestPythonFido2IsClientAndRelyingParty(t *testing.T) {
	startKey(t)
	out := run(t, "", "/usr/bin/python3", filepath.Join(os.Getenv("FOBD_VM_TESTS"), "client.py"))
	if !strings.HasSuffix(out, "all well\n") {
		t.Error(out)
	}
}

// sshKey makes a key pair with ssh-keygen and returns its path.
func sshKey(t *testing.T, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	run(t, "", "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "alice", "-f", path)
	return path
}

func TestSSHKeygenSignsAndVerifies(t *testing.T) {
	for _, kind := range []string{"ecdsa-sk", "ed25519-sk"} {
		t.Run(kind, func(t *testing.T) {
			startKey(t)
			sshSigns(t, kind)
		})
	}
}

// sshSigns has ssh-keygen make a key, sign with it and verify that.
func sshSigns(t *testing.T, kind string) {
	t.Helper()
	path := sshKey(t, kind)
	dir := filepath.Dir(path)
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(dir, "allowed")
	if err := os.WriteFile(allowed, append([]byte("alice "), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	signature := run(t, "the message", "ssh-keygen", "-Y", "sign", "-n", "file", "-f", path)
	signed := filepath.Join(dir, "signature")
	if err := os.WriteFile(signed, []byte(signature), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "the message", "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "alice", "-n", "file", "-s", signed)
	if _, _, err := try(t, "another", "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "alice", "-n", "file", "-s", signed); err == nil {
		t.Error("ssh-keygen verifies a signature over another message")
	}
}

func TestRequestWaitsForSSHKeygenAndNamesIt(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startKey(t)
	e.line(`"attached"`)
	k.must("touch off")
	path := filepath.Join(t.TempDir(), "id")
	ssh := start(t, nil, "ssh-keygen", "-q", "-t", "ecdsa-sk", "-N", "", "-C", "alice", "-f", path)
	k.blinks()
	touch := start(t, nil, bin("fob"), "touch", "--json", "--purpose", "after ssh")
	waiting := e.line(`"wait"`)
	if !strings.Contains(waiting, "ssh-sk-helper") && !strings.Contains(waiting, "ssh-keygen") {
		t.Errorf("the prompt is %s, want the holder's name in it", waiting)
	}
	k.must("touch on")
	if _, err := ssh.wait(); err != nil {
		t.Errorf("ssh-keygen: %v\n%s", err, ssh.stderr)
	}
	if out, err := touch.wait(); err != nil {
		t.Errorf("fob touch: %v\n%s%s", err, out, touch.stderr)
	}
}

func TestSSHKeygenWaitsForTheDaemon(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startKey(t)
	e.line(`"attached"`)
	k.must("touch off")
	touch := start(t, nil, bin("fob"), "touch", "--json", "--purpose", "before ssh")
	e.line(`"kind":"touch","operation":"touch"`)
	path := filepath.Join(t.TempDir(), "id")
	ssh := start(t, nil, "ssh-keygen", "-q", "-t", "ecdsa-sk", "-N", "", "-C", "alice", "-f", path)
	// libfido2 tries for 21 s; that it has not failed after a while shows that it waits.
	select {
	case <-ssh.done:
		t.Fatalf("ssh-keygen ended while the daemon held the key: %v\n%s", ssh.err, ssh.stderr)
	case <-time.After(3 * time.Second):
	}
	k.must("touch once")
	if out, err := touch.wait(); err != nil {
		t.Fatalf("fob touch: %v\n%s%s", err, out, touch.stderr)
	}
	k.must("touch on")
	if _, err := ssh.wait(); err != nil {
		t.Errorf("ssh-keygen: %v\n%s", err, ssh.stderr)
	}
}

// blinks waits until the key waits for a touch.
func (k *emulated) blinks() {
	k.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if strings.Contains(k.say("status"), "blinks=true") {
			return
		}
	}
	k.t.Fatal("the key does not blink")
}

func TestUnplugInMidOperationAndBack(t *testing.T) {
	startDaemon(t)
	e := events(t)
	k := startKey(t, "--state", filepath.Join(t.TempDir(), "state"))
	e.line(`"attached"`)
	registerAndAssert(t, "")
	k.must("touch off")
	touch := start(t, nil, bin("fob"), "touch", "--json")
	e.line(`"kind":"touch","operation":"touch"`)
	k.must("power off")
	if _, err := touch.wait(); err == nil {
		t.Error("fob touch succeeds though the key was pulled out")
	}
	if said := touch.stderr.String(); !strings.Contains(said, "hint:") {
		t.Errorf("fob says %q, want a hint", said)
	}
	e.line(`"detached"`)
	k.must("power on")
	k.must("touch on")
	e.line(`"attached"`)
	registerAndAssert(t, "")
}

func TestEmulatedKeyOfTheDaemonIsAKernelDevice(t *testing.T) {
	startDaemon(t)
	e := events(t)
	run(t, "", bin("fob"), "emulate", "add", "--uhid", "shown")
	attached := e.line(`"attached"`)
	if !strings.Contains(attached, "/dev/hidraw") {
		t.Fatalf("the event is %s, want a hidraw path in it", attached)
	}
	node := (&emulated{process: e}).node()
	if out := run(t, "", "fido2-token", "-I", node); !strings.Contains(out, "FIDO_2_1") {
		t.Errorf("fido2-token -I says %s", out)
	}
	run(t, "", bin("fob"), "touch", "--json")
	registerAndAssert(t, "")
	run(t, "", bin("fob"), "emulate", "remove", "shown")
	e.line(`"detached"`)
}

// The rule in udev/ is what lets the daemon's own user open keys: no root, no capabilities.
func TestDaemonWithoutPrivilegesUsesTheKey(t *testing.T) {
	k := startKey(t)
	dir, err := os.MkdirTemp("/run", "fobd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "fobd.sock")
	run(t, "", "chown", "nobody:fobd", dir)
	t.Setenv("FOBD_SOCKET", socket)
	t.Setenv("XDG_CONFIG_HOME", dir)
	unprivileged := []string{"--reuid=nobody", "--regid=fobd", "--clear-groups", "--bounding-set=-all", "--no-new-privs"}
	start(t, nil, "setpriv", append(unprivileged, bin("fobd"), "--user", "--socket", socket, "--state-dir", dir, "--config", "/dev/null")...)
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("fobd does not listen")
		}
	}
	if out := run(t, "", bin("fob"), "touch", "--json"); !strings.Contains(out, k.node()) {
		t.Errorf("fob touch says %s, want %s", out, k.node())
	}
	// Another user, who is in no group, can neither open the key nor use the daemon.
	other := []string{"--reuid=daemon", "--regid=daemon", "--clear-groups"}
	for _, command := range [][]string{{"cat", k.node()}, {bin("fob"), "touch"}} {
		if stdout, stderr, err := try(t, "", "setpriv", append(other, command...)...); err == nil || !strings.Contains(stderr, "ermission denied") {
			t.Errorf("%v as another user: %v, %s%s; want permission denied", command, err, stdout, stderr)
		}
	}
}
