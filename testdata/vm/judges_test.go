//go:build vm

package vm

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// asks is the end of what a program says when it wants a PIN or a password.
var asks = regexp.MustCompile(`(?i)(pin|passphrase)[^\n]*: ?$`)

// converse runs a program on a terminal of its own, types the next of the answers whenever it is asked for
// something, and the last one from then on. It returns what was on the screen.
func converse(t *testing.T, answers []string, name string, args ...string) (screen string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SSH_ASKPASS_REQUIRE=never")
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var said []byte
	answered := 0
	for chunk := make([]byte, 1000); ; {
		n, err := terminal.Read(chunk)
		said = append(said, chunk[:n]...)
		if asks.Match(said[answered:]) {
			answered = len(said)
			fmt.Fprintf(terminal, "%s\n", answers[0])
			if len(answers) > 1 {
				answers = answers[1:]
			}
		}
		if err != nil { // the program has closed its terminal
			break
		}
	}
	return strings.ReplaceAll(string(said), "\r", ""), cmd.Wait()
}

// withPIN is converse with a PIN; failing is fatal.
func withPIN(t *testing.T, pin string, name string, args ...string) string {
	t.Helper()
	screen, err := converse(t, []string{pin}, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, screen)
	}
	return screen
}

// write puts text into a file of a test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustMatch(t *testing.T, what, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s: want %s in\n%s", what, pattern, text)
	}
	return m[len(m)-1]
}

// version logs what a package is that judges us.
func version(t *testing.T, packages ...string) {
	t.Helper()
	for _, name := range packages {
		out, _, err := try(t, "", "dpkg-query", "-W", "-f", "${Package} ${Version}", name)
		if err != nil {
			t.Fatalf("%s is not installed", name)
		}
		t.Log(out)
	}
}

const pin = "135790"

// resident makes a discoverable credential with fido2-cred.
func resident(t *testing.T, k *emulated, rpID, user string, flags ...string) {
	t.Helper()
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	in := write(t, "creation", hash+"\n"+rpID+"\n"+user+"\n"+base64.StdEncoding.EncodeToString([]byte(user))+"\n")
	out := filepath.Join(t.TempDir(), "credential")
	withPIN(t, pin, "fido2-cred", append(append([]string{"-M", "-r", "-v", "-i", in, "-o", out}, flags...), k.node())...)
}

func TestLibfido2ManagesCredentials(t *testing.T) {
	version(t, "fido2-tools", "libfido2-1")
	for _, profile := range []string{"fido2.3", "fido2.1"} {
		t.Run(profile, func(t *testing.T) {
			k := startKey(t, "--profile", profile)
			dev := k.node()
			withPIN(t, pin, "fido2-token", "-S", dev)
			resident(t, k, "example.org", "alice")
			resident(t, k, "example.org", "bob", "-c", "3")
			resident(t, k, "other.example", "alice")
			mustMatch(t, "-I -c", withPIN(t, pin, "fido2-token", "-I", "-c", dev), `existing rk\(s\): 3`)
			rps := withPIN(t, pin, "fido2-token", "-L", "-r", dev)
			mustMatch(t, "-L -r", rps, `(?m)^0\d: \S+ example\.org$`)
			mustMatch(t, "-L -r", rps, `(?m)^0\d: \S+ other\.example$`)
			list := withPIN(t, pin, "fido2-token", "-L", "-k", "example.org", dev)
			id := mustMatch(t, "-L -k", list, `(?m)^0\d: (\S+) \(null\) YWxpY2U= es256 uvopt$`)
			mustMatch(t, "-L -k", list, `(?m)^0\d: \S+ \(null\) Ym9i es256 uvreq$`)
			shown := withPIN(t, pin, "fido2-token", "-I", "-k", "example.org", "-i", id, dev)
			mustMatch(t, "-I -k -i", shown, `BEGIN PUBLIC KEY`)
			user := base64.StdEncoding.EncodeToString([]byte("alice"))
			withPIN(t, pin, "fido2-token", "-S", "-c", "-i", id, "-k", user, "-n", "alison", "-p", "Alison", dev)
			mustMatch(t, "-L -k", withPIN(t, pin, "fido2-token", "-L", "-k", "example.org", dev), `(?m)^0\d: \S+ Alison `)
			withPIN(t, pin, "fido2-token", "-D", "-i", id, dev)
			if list := withPIN(t, pin, "fido2-token", "-L", "-k", "example.org", dev); strings.Contains(list, id) {
				t.Errorf("-D -i leaves the credential:\n%s", list)
			}
			// The PIN can be changed, and the old one is none any more.
			if screen, err := converse(t, []string{pin, "246810", "246810"}, "fido2-token", "-C", dev); err != nil {
				t.Fatalf("-C: %v\n%s", err, screen)
			}
			if screen, err := converse(t, []string{pin}, "fido2-token", "-L", "-r", dev); err == nil {
				t.Errorf("the old PIN works:\n%s", screen)
			}
			mustMatch(t, "-I", run(t, "", "fido2-token", "-I", dev), `pin retries: 7`)
			withPIN(t, "246810", "fido2-token", "-L", "-r", dev)
		})
	}
}

func TestLibfido2KeepsLargeBlobs(t *testing.T) {
	k := startKey(t, "--profile", "fido2.1")
	dev := k.node()
	withPIN(t, pin, "fido2-token", "-S", dev)
	resident(t, k, "example.org", "alice", "-b")
	text := strings.Repeat("a certificate of some kind\n", 20)
	blob := write(t, "blob", text)
	withPIN(t, pin, "fido2-token", "-S", "-b", "-n", "example.org", blob, dev)
	back := filepath.Join(t.TempDir(), "back")
	withPIN(t, pin, "fido2-token", "-G", "-b", "-n", "example.org", back, dev)
	if got, err := os.ReadFile(back); err != nil || string(got) != text {
		t.Errorf("the blob comes back as %q, %v", got, err)
	}
	mustMatch(t, "-L -b", withPIN(t, pin, "fido2-token", "-L", "-b", dev), `(?m)^00: `)
	// What libfido2 wrote, our client reads.
	startDaemon(t)
	if got := pinFD(t, pin+"\n", "blob", "get", "alice"); got != text {
		t.Errorf("fob reads %q", got)
	}
	withPIN(t, pin, "fido2-token", "-D", "-b", "-n", "example.org", dev)
	if screen, err := converse(t, []string{pin}, "fido2-token", "-G", "-b", "-n", "example.org", back+"2", dev); err == nil {
		t.Errorf("-D -b leaves the blob:\n%s", screen)
	}
}

func TestLibfido2EnrolsFingers(t *testing.T) {
	k := startKey(t, "--profile", "fido2.3-bio")
	dev := k.node()
	withPIN(t, pin, "fido2-token", "-S", dev)
	k.must("sample too-fast poor-quality")
	mustMatch(t, "-S -e", withPIN(t, pin, "fido2-token", "-S", "-e", dev), `(?s)Sample too fast.*Poor quality sample.*\(1 sample left\).*Sample ok`)
	finger := mustMatch(t, "-L -e", withPIN(t, pin, "fido2-token", "-L", "-e", dev), `(?m)^0\d: (\S+)`)
	withPIN(t, pin, "fido2-token", "-S", "-e", "-i", finger, "-n", "thumb", dev)
	mustMatch(t, "-L -e", withPIN(t, pin, "fido2-token", "-L", "-e", dev), `(?m)^0\d: \S+ thumb$`)
	// The finger verifies: no PIN is asked for.
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	in := write(t, "creation", hash+"\nexample.org\nalice\nYWxpY2U=\n")
	made := filepath.Join(t.TempDir(), "made")
	run(t, "", "fido2-cred", "-M", "-v", "-i", in, "-o", made, dev)
	id, key, _ := strings.Cut(run(t, "", "fido2-cred", "-V", "-v", "-i", made), "\n")
	got := run(t, hash+"\nexample.org\n"+id+"\n", "fido2-assert", "-G", "-t", "uv=true", dev)
	run(t, got, "fido2-assert", "-V", "-v", write(t, "key.pem", key), "es256")
	withPIN(t, pin, "fido2-token", "-D", "-e", "-i", finger, dev)
	// CTAP 2.3, section 6.7.6: no finger is an error, which libfido2 tells.
	if list, err := converse(t, []string{pin}, "fido2-token", "-L", "-e", dev); err == nil || !strings.Contains(list, "FIDO_ERR_INVALID_OPTION") {
		t.Errorf("-D -e leaves the finger: %v\n%s", err, list)
	}
}

func TestLibfido2Configures(t *testing.T) {
	k := startKey(t)
	dev := k.node()
	withPIN(t, pin, "fido2-token", "-S", dev)
	info := func(pattern string) {
		t.Helper()
		mustMatch(t, "-I", run(t, "", "fido2-token", "-I", dev), pattern)
	}
	info(`noalwaysUv`)
	withPIN(t, pin, "fido2-token", "-S", "-u", dev)
	info(`[ ,]alwaysUv`)
	withPIN(t, pin, "fido2-token", "-D", "-u", dev)
	info(`noalwaysUv`)
	info(`noep`)
	withPIN(t, pin, "fido2-token", "-S", "-a", dev)
	info(`[ ,]ep[,\n]`)
	withPIN(t, pin, "fido2-token", "-S", "-l", "6", dev)
	info(`minpinlen: 6`)
	if screen, err := converse(t, []string{pin}, "fido2-token", "-S", "-l", "5", dev); err == nil {
		t.Errorf("the minimum goes down:\n%s", screen)
	}
	withPIN(t, pin, "fido2-token", "-S", "-f", dev)
	// libfido2 1.12 does not show it; the PIN is good for nothing until it is changed.
	if screen, err := converse(t, []string{pin}, "fido2-token", "-L", "-r", dev); err == nil || !strings.Contains(screen, "FIDO_ERR_PIN_POLICY_VIOLATION") {
		t.Errorf("a PIN that must be changed: %v\n%s", err, screen)
	}
	if screen, err := converse(t, []string{pin, "246810", "246810"}, "fido2-token", "-C", dev); err != nil {
		t.Fatalf("-C: %v\n%s", err, screen)
	}
	withPIN(t, "246810", "fido2-token", "-I", "-c", dev)
}

func TestLibfido2AssertsWithEverything(t *testing.T) {
	k := startKey(t, "--profile", "fido2.1")
	dev := k.node()
	withPIN(t, pin, "fido2-token", "-S", dev)
	resident(t, k, "example.org", "alice", "-b", "-h", "-c", "2")
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	salt := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	in := write(t, "request", hash+"\nexample.org\n"+salt+"\n")
	out := filepath.Join(t.TempDir(), "assertion")
	withPIN(t, pin, "fido2-assert", "-G", "-r", "-v", "-h", "-b", "-i", in, "-o", out, dev)
	got, err := os.ReadFile(out)
	if err != nil || strings.Count(strings.TrimSpace(string(got)), "\n") < 5 {
		t.Errorf("got %q, %v; want hmac-secret and largeBlobKey in it", got, err)
	}
	// Without user verification, what is protected is not found.
	if _, _, err := try(t, hash+"\nexample.org\n", "fido2-assert", "-G", "-r", dev); err == nil {
		t.Error("credProtect 2 is not protected")
	}
}

func TestSSHResidentKeys(t *testing.T) {
	version(t, "openssh-client")
	k := startKey(t)
	withPIN(t, pin, "fido2-token", "-S", k.node())
	dir := t.TempDir()
	key := filepath.Join(dir, "id")
	withPIN(t, pin, "ssh-keygen", "-t", "ed25519-sk", "-O", "resident", "-O", "verify-required", "-O", "application=ssh:fobd", "-N", "", "-C", "alice", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	// ssh-keygen -K brings the same key from the token alone.
	cmd := exec.Command("ssh-keygen", "-K", "-N", "")
	loaded := filepath.Join(dir, "loaded")
	if err := os.Mkdir(loaded, 0o700); err != nil {
		t.Fatal(err)
	}
	screen := withPIN(t, pin, "sh", "-c", "cd "+loaded+" && exec "+strings.Join(cmd.Args[:2], " ")+" -N ''")
	files, _ := filepath.Glob(filepath.Join(loaded, "*.pub"))
	if len(files) != 1 {
		t.Fatalf("ssh-keygen -K wrote %v:\n%s", files, screen)
	}
	again, err := os.ReadFile(files[0])
	if err != nil || strings.Fields(string(again))[1] != strings.Fields(string(public))[1] {
		t.Errorf("ssh-keygen -K brings %s, %v, want %s", again, err, public)
	}
	// Sign with what came from the token, which wants the PIN; verify.
	message := write(t, "message", "hello\n")
	withPIN(t, pin, "ssh-keygen", "-Y", "sign", "-f", strings.TrimSuffix(files[0], ".pub"), "-n", "file", message)
	signers := write(t, "signers", "alice "+string(public))
	run(t, "hello\n", "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "alice", "-n", "file", "-s", message+".sig")
	if _, _, err := try(t, "hullo\n", "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "alice", "-n", "file", "-s", message+".sig"); err == nil {
		t.Error("the signature is good for another message")
	}
}

func TestSSHLogin(t *testing.T) {
	version(t, "openssh-server")
	k := startKey(t)
	withPIN(t, pin, "fido2-token", "-S", k.node())
	dir := t.TempDir()
	host := filepath.Join(dir, "host")
	run(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host)
	authorized := ""
	keys := map[string][]string{"ecdsa": nil, "ed25519": {"-O", "verify-required"}}
	for kind, options := range keys {
		path := filepath.Join(dir, kind)
		withPIN(t, pin, "ssh-keygen", append([]string{"-t", kind + "-sk", "-N", "", "-f", path}, options...)...)
		public, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		authorized += string(public)
	}
	authorizedKeys := filepath.Join(dir, "authorized")
	if err := os.WriteFile(authorizedKeys, []byte(authorized), 0o600); err != nil {
		t.Fatal(err)
	}
	os.MkdirAll("/run/sshd", 0o755)
	sshd := start(t, nil, "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", "2222", "-h", host,
		"-o", "AuthorizedKeysFile="+authorizedKeys, "-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "UsePAM=no",
		"-o", "PasswordAuthentication=no", "-o", "PidFile=none", "-o", "ListenAddress=127.0.0.1")
	until(t, "sshd listens", func() bool { return strings.Contains(sshd.stderr.String(), "Server listening") })
	login := func(kind string) (string, error) {
		return converse(t, []string{pin}, "ssh", "-F", "/dev/null", "-p", "2222", "-i", filepath.Join(dir, kind), "-o", "IdentitiesOnly=yes",
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "root@127.0.0.1", "echo", "logged", "in")
	}
	for kind := range keys {
		if screen, err := login(kind); err != nil || !strings.Contains(screen, "logged in") {
			t.Errorf("%s: %v\n%s\nsshd: %s", kind, err, screen, sshd.stderr)
		}
	}
	// A key that signs wrongly does not log in.
	k.must("fault on wrong-signature")
	if screen, err := login("ecdsa"); err == nil {
		t.Errorf("a wrong signature logs in:\n%s", screen)
	}
}

func TestPAMU2F(t *testing.T) {
	version(t, "libpam-u2f", "pamu2fcfg", "pamtester")
	k := startKey(t)
	mapping := run(t, "", "pamu2fcfg", "-u", "root", "-o", "pam://fobd", "-i", "pam://fobd")
	file := write(t, "mapping", mapping+"\n")
	service := "/etc/pam.d/fobd-test"
	if err := os.WriteFile(service, []byte("auth required pam_u2f.so authfile="+file+" origin=pam://fobd appid=pam://fobd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(service) })
	out := run(t, "", "pamtester", "fobd-test", "root", "authenticate")
	mustMatch(t, "pamtester", out, "successfully authenticated")
	k.must("fault on wrong-signature")
	if out, _, err := try(t, "", "pamtester", "fobd-test", "root", "authenticate"); err == nil {
		t.Errorf("pam_u2f takes a wrong signature: %s", out)
	}
}

// modprobe loads a module of the machine's kernel, which is not in its root.
func modprobe(t *testing.T, names ...string) {
	t.Helper()
	cache := os.Getenv("FOBD_VM_CACHE")
	if cache == "" {
		cache = "/root/.cache/fobd/vm"
	}
	for _, name := range names {
		if _, stderr, err := try(t, "", "modprobe", "-d", filepath.Join(cache, "kernel"), name); err != nil {
			t.Fatalf("no module %s: %v %s", name, err, stderr)
		}
	}
}

func TestSystemdCryptenrollUnlocksAVolume(t *testing.T) {
	version(t, "systemd", "cryptsetup-bin")
	modprobe(t, "loop", "dm-crypt", "xts", "aes_generic", "algif_skcipher", "sha256_generic")
	k := startKey(t)
	dir := t.TempDir()
	image, password := filepath.Join(dir, "volume"), write(t, "password", "a password of the volume")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "", "cryptsetup", "luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", image, password)
	t.Setenv("PASSWORD", "a password of the volume")
	screen, err := converse(t, []string{pin}, "systemd-cryptenroll", "--fido2-device="+k.node(), "--fido2-with-client-pin=no", image)
	if err != nil {
		t.Fatalf("systemd-cryptenroll: %v\n%s", err, screen)
	}
	os.Unsetenv("PASSWORD")
	mustMatch(t, "systemd-cryptenroll", run(t, "", "systemd-cryptenroll", image), `fido2`)
	attach := func() (string, error) {
		return converse(t, []string{pin}, "/lib/systemd/systemd-cryptsetup", "attach", "fobdtest", image, "-", "fido2-device=auto,headless=yes,token-timeout=20s")
	}
	if screen, err := attach(); err != nil {
		t.Fatalf("systemd-cryptsetup: %v\n%s", err, screen)
	}
	run(t, "", "cryptsetup", "status", "fobdtest")
	run(t, "", "cryptsetup", "close", "fobdtest")
	// With another key it stays locked.
	k.must("quit")
	<-k.done
	startKey(t)
	if screen, err := converse(t, []string{"999999"}, "timeout", "40", "/lib/systemd/systemd-cryptsetup", "attach", "fobdtest", image, "-",
		"fido2-device=auto,headless=yes,tries=1,token-timeout=5s"); err == nil {
		run(t, "", "cryptsetup", "close", "fobdtest")
		t.Errorf("another key unlocks it:\n%s", screen)
	}
}

func TestPythonFido2LooksAfterTheKey(t *testing.T) {
	version(t, "python3-fido2")
	for _, profile := range []string{"fido2.1", "fido2.3", "fido2.3-bio"} {
		t.Run(profile, func(t *testing.T) {
			k := startKey(t, "--profile", profile)
			if profile == "fido2.3-bio" {
				k.must("sample too-fast")
			}
			out := run(t, "", "/usr/bin/python3", filepath.Join(os.Getenv("FOBD_VM_TESTS"), "manage.py"), profile)
			if !strings.HasSuffix(out, "all well\n") {
				t.Error(out)
			}
		})
	}
}
