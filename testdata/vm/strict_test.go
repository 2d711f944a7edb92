//go:build vm

package vm

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nodeOf waits for the device node of the HID device with a physical path, and for what udev makes of it.
func nodeOf(t *testing.T, phys, owner string) string {
	t.Helper()
	var seen []string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		seen = nil
		devices, _ := filepath.Glob("/sys/class/hidraw/hidraw*")
		for _, d := range devices {
			uevent, _ := os.ReadFile(filepath.Join(d, "device", "uevent"))
			node := "/dev/" + filepath.Base(d)
			out, _ := exec.Command("stat", "-c", "%U:%G %a", node).Output()
			seen = append(seen, node+" "+string(out)+string(uevent))
			if strings.Contains(string(uevent), "HID_PHYS="+phys+"\n") && strings.TrimSpace(string(out)) == owner {
				return node
			}
		}
	}
	t.Fatalf("no node of %s that is %s: %q", phys, owner, seen)
	return ""
}

// as is a command line for another user.
func as(user string, command ...string) []string {
	return append([]string{"--reuid=" + user, "--regid=" + user, "--init-groups", "env", "HOME=/home/" + user}, command...)
}

// Strict mode (udev/71-fobd-strict.rules): keys are the daemon's, who runs as its own user; programs that do
// not know it use the shared key, and what the rules forbid, they cannot do.
func TestStrictMode(t *testing.T) {
	version(t, "libfido2-1", "openssh-client")
	for _, user := range [][]string{{"--system", "--gid", "fobd", "fobd"}, {"-m", "-U", "-G", "fobd", "alice"}, {"-m", "-U", "eve"}} {
		run(t, "", "useradd", user...)
		if name := user[len(user)-1]; name != "fobd" { // whose group other tests use
			t.Cleanup(func() { _ = exec.Command("userdel", "-r", name).Run() })
		}
	}
	const installed = "/run/udev/rules.d/71-fobd-strict.rules"
	run(t, "", "cp", filepath.Join(os.Getenv("FOBD_VM_TESTS"), "../../udev/71-fobd-strict.rules"), installed)
	run(t, "", "udevadm", "control", "--reload")
	t.Cleanup(func() {
		_ = os.Remove(installed)
		_ = exec.Command("udevadm", "control", "--reload").Run()
	})

	k := start(t, nil, bin("fobkey"), "--uhid", "--control", filepath.Join(t.TempDir(), "control"))
	k.line("ready")
	real := nodeOf(t, "fobd/uhid", "fobd:root 600")

	dir, err := os.MkdirTemp("/run", "fobd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "policy.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("fobd.toml", "dbus = \"off\"\n[expose]\nenabled = true\n[policy]\ndir = \""+dir+"/policy.d\"\n")
	write("policy.d/site.cedar", `@id("not-there") @reason("not from this machine")
forbid (principal, action in Action::"use", resource) when { context.rp in RelyingParty::"forbidden.example" };
@id("no-fido2-token-by-carol") forbid (principal == User::"carol", action, resource);
`)
	run(t, "", "chmod", "755", dir)
	if err := os.Mkdir(filepath.Join(dir, "s"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", "chown", "-R", "fobd:fobd", filepath.Join(dir, "s"))
	socket := filepath.Join(dir, "s", "fobd.sock")
	t.Setenv("FOBD_SOCKET", socket)
	// As the system's unit does it.
	daemon := start(t, nil, "setpriv", "--reuid=fobd", "--regid=fobd", "--clear-groups", "--inh-caps=-all,+sys_ptrace", "--ambient-caps=-all,+sys_ptrace",
		"--bounding-set=-all,+sys_ptrace", "--no-new-privs",
		bin("fobd"), "--system", "--config", filepath.Join(dir, "fobd.toml"), "--socket", socket, "--state-dir", filepath.Join(dir, "s"))
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("fobd does not listen:\n%s", daemon.stderr)
		}
	}
	shared := nodeOf(t, "fobd/+shared", "root:fobd 660")
	if status, err := os.ReadFile("/proc/" + strings.TrimSpace(run(t, "", "pgrep", "-o", "-x", "fobd")) + "/status"); err != nil ||
		!strings.Contains(string(status), "CapPrm:\t0000000000000000") || !strings.Contains(string(status), "Seccomp:\t2") {
		t.Errorf("the daemon is not locked in: %v\n%s", err, status)
	}

	// Nobody but the daemon opens the real key.
	for _, user := range []string{"alice", "eve"} {
		for _, command := range [][]string{{"cat", real}, {"sh", "-c", ": >" + real}, {"fido2-token", "-I", real}} {
			if out, errs, err := try(t, "", "setpriv", as(user, command...)...); err == nil {
				t.Errorf("%v by %s: %s%s", command, user, out, errs)
			}
		}
	}
	if _, errs, err := try(t, "", "setpriv", as("eve", "cat", shared)...); err == nil || !strings.Contains(errs, "ermission denied") {
		t.Errorf("eve opens the shared key: %v %s", err, errs)
	}

	// The shared one serves programs that know nothing of it.
	mustMatch(t, "fido2-token -I", run(t, "", "setpriv", as("alice", "fido2-token", "-I", shared)...), "FIDO_2_1")
	for _, kind := range []string{"ecdsa-sk", "ed25519-sk"} {
		path := "/home/alice/id_" + kind
		run(t, "", "setpriv", as("alice", "ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path)...)
		signature := run(t, "the message", "setpriv", as("alice", "ssh-keygen", "-Y", "sign", "-n", "file", "-f", path)...)
		if !strings.Contains(signature, "SSH SIGNATURE") {
			t.Errorf("signature: %s", signature)
		}
	}
	const hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	made := func(rp string) (string, string, error) {
		return try(t, hash+"\n"+rp+"\nalice\nYWxpY2U=\n", "setpriv", as("alice", "fido2-cred", "-M", shared)...)
	}
	if _, errs, err := made("example.org"); err != nil {
		t.Errorf("fido2-cred at example.org: %v %s", err, errs)
	}
	// What policy forbids fails, in the words of the protocol, and stands in the audit log.
	if _, errs, err := made("forbidden.example"); err == nil || !strings.Contains(errs, "FIDO_ERR_") {
		t.Errorf("fido2-cred at forbidden.example: %v %s", err, errs)
	}
	log := run(t, "", bin("fob"), "audit", "export", "--json")
	for _, want := range []string{`"forbidden.example"`, `not-there`, `"alice"`, `/usr/bin/fido2-cred`, `ssh-sk-helper`} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log does not say %s:\n%s", want, log)
		}
	}
}
