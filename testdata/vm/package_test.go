//go:build vm

package vm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The deb on a machine that systemd runs: installed, started by its socket and by the bus, upgraded, removed and
// purged. FOBD_DEB names it.
func TestPackage(t *testing.T) {
	deb := os.Getenv("FOBD_DEB")
	if _, err := os.Stat("/run/systemd/system"); deb == "" || err != nil {
		t.Skip("needs FOBD_DEB, and systemd as init")
	}
	active := func(unit, want string) {
		t.Helper()
		if out, _, _ := try(t, "", "systemctl", "is-active", unit); strings.TrimSpace(out) != want {
			t.Errorf("%s is %s, want %s", unit, strings.TrimSpace(out), want)
		}
	}
	there := func(path string, want bool) {
		t.Helper()
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	t.Setenv("DEBIAN_FRONTEND", "noninteractive")
	_ = os.Remove("/var/lib/man-db/auto-update") // takes minutes here
	run(t, "", "dpkg", "--force-depends", "-i", deb)
	active("fobd.socket", "active")
	active("fobd.service", "inactive")
	run(t, "", "systemctl", "is-enabled", "fobd.socket")
	mustMatch(t, "the user", run(t, "", "getent", "passwd", "fobd"), `fobd:x:\d+:\d+:Security keys for programs:/var/lib/fobd:`)
	mustMatch(t, "the socket", run(t, "", "stat", "-c", "%U %a", "/run/fobd/fobd.sock"), "root 666")
	for _, path := range []string{
		"/usr/bin/fobkey", "/usr/share/man/man8/fobd.8.gz", "/usr/share/man/man1/fob-touch.1.gz", "/usr/share/bash-completion/completions/fob",
		"/etc/fobd/fobd.toml", "/etc/fobd/policy.d", "/usr/share/fobd/policy/default.cedar", "/usr/share/fobd/udev/71-fobd-strict.rules",
	} {
		there(path, true)
	}
	run(t, "", "bash", "-n", "/usr/share/bash-completion/completions/fob")

	// The first call starts it, as its own user, locked in.
	mustMatch(t, "fob status", run(t, "", "/usr/bin/fob", "status"), `mode +system`)
	active("fobd.service", "active")
	pid := strings.TrimSpace(run(t, "", "systemctl", "show", "-P", "MainPID", "fobd.service"))
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	mustMatch(t, "the daemon", string(status), `(?s)CapPrm:\t0{16}.*CapAmb:\t0{16}.*NoNewPrivs:\t1.*Seccomp:\t2`)
	if out := run(t, "", "stat", "-c", "%U", "/proc/"+pid); strings.TrimSpace(out) != "fobd" && strings.TrimSpace(out) != "root" {
		t.Errorf("it runs as %s", out) // root's when it cannot be traced
	}
	uid := strings.TrimSpace(run(t, "", "id", "-u", "fobd"))
	mustMatch(t, "its user", string(status), `Uid:\t`+uid+"\t")
	exposure := run(t, "", "systemd-analyze", "security", "--no-pager", "fobd.service")
	if m := regexp.MustCompile(`Overall exposure level for fobd.service: (\d\.\d)`).FindStringSubmatch(exposure); m == nil || m[1] > "1.5" {
		t.Errorf("systemd-analyze security: %v", m)
	}

	// A key, whose node udev gives to its group; and one who is in no group and at no seat.
	k := start(t, nil, "/usr/bin/fobkey", "--uhid", "--control", filepath.Join(t.TempDir(), "control"))
	k.line("ready")
	node := nodeOf(t, "fobd/uhid", "root:fobd 660")
	mustMatch(t, "fob touch", run(t, "", "/usr/bin/fob", "touch", "--json"), node)
	run(t, "", "useradd", "-m", "alice")
	if _, errs, err := try(t, "", "setpriv", as("alice", "/usr/bin/fob", "list")...); err == nil || !strings.Contains(errs, "may not") {
		t.Errorf("alice, who may not: %v %s", err, errs)
	}
	run(t, "", "usermod", "-aG", "fobd", "alice")
	mustMatch(t, "fob list by a member of the group", run(t, "", "setpriv", as("alice", "/usr/bin/fob", "list", "--json")...), node)
	// It is named by what it runs, though the daemon sees no other process.
	mustMatch(t, "the audit log", run(t, "", "/usr/bin/fob", "audit", "export", "--json"), `"user":"alice".*"exe":"/usr/bin/fob"|"exe":"/usr/bin/fob".*"user":"alice"`)
	mustMatch(t, "fob audit verify", run(t, "", "/usr/bin/fob", "audit", "verify"), "whole|ok|lines")
	mustMatch(t, "the journal", run(t, "", "journalctl", "--no-pager", "-t", "fobd-audit", "-o", "json", "-n", "1"), `FOBD_OPERATION`)

	// The bus starts it, too, and its rules are read again without a restart.
	call := []string{"call", "org.fobd.Fob1", "/org/fobd/Fob1", "org.fobd.Fob1.Manager", "List", "s", "{}"}
	run(t, "", "systemctl", "stop", "fobd.service")
	mustMatch(t, "busctl", run(t, "", "busctl", call...), regexp.QuoteMeta(node))
	active("fobd.service", "active")
	if err := os.WriteFile("/etc/fobd/policy.d/site.cedar", []byte(`@id("not-alice") forbid (principal == User::"alice", action, resource);`), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "", "systemctl", "reload", "fobd.service")
	for {
		if _, _, err := try(t, "", "setpriv", as("alice", "/usr/bin/fob", "list")...); err != nil {
			break
		}
	}

	// An upgrade starts it anew and keeps what was changed.
	if err := os.WriteFile("/etc/fobd/fobd.toml", []byte("[log]\nlevel = \"debug\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "", "dpkg", "--force-depends", "--force-confold", "-i", deb)
	mustMatch(t, "fob status after an upgrade", run(t, "", "/usr/bin/fob", "status"), `mode +system`)
	if now := strings.TrimSpace(run(t, "", "systemctl", "show", "-P", "MainPID", "fobd.service")); now == pid || now == "0" {
		t.Errorf("the process is %s, and was %s", now, pid)
	}
	mustMatch(t, "the configuration", run(t, "", "cat", "/etc/fobd/fobd.toml"), "debug")

	run(t, "", "dpkg", "--remove", "fobd")
	active("fobd.service", "inactive")
	active("fobd.socket", "inactive")
	there("/run/fobd/fobd.sock", false)
	there("/usr/bin/fobd", false)
	there("/var/lib/fobd/audit", true)
	there("/etc/fobd/fobd.toml", true)
	if err := os.Remove("/etc/fobd/policy.d/site.cedar"); err != nil {
		t.Error(err)
	}
	run(t, "", "dpkg", "--purge", "fobd")
	there("/var/lib/fobd", false)
	there("/etc/fobd", false)
}
