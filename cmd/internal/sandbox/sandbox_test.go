package sandbox

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain makes this binary the prisoner when a test starts it as one.
func TestMain(m *testing.M) {
	switch os.Getenv("SANDBOX_TEST") {
	case "daemon", "reader":
		prisoner(os.Getenv("SANDBOX_TEST"), os.Args[1])
		return
	}
	os.Exit(m.Run())
}

// attempts are what a prisoner tries in a folder that has read, write and secret.
func attempts(dir string) map[string]func() error {
	in := func(elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	open := func(path string, flag int) func() error {
		return func() error {
			f, err := os.OpenFile(path, flag, 0o600)
			if err == nil {
				f.Close()
			}
			return err
		}
	}
	socket := func(family, kind int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	return map[string]func() error{
		"read what it may":         open(in("read", "file"), os.O_RDONLY),
		"write what it may read":   open(in("read", "file"), os.O_RDWR),
		"make what it may read":    open(in("read", "new"), os.O_RDWR|os.O_CREATE),
		"make what it may":         open(in("write", "new"), os.O_RDWR|os.O_CREATE),
		"rename what it may":       func() error { return os.Rename(in("write", "file"), in("write", "file2")) },
		"take out what it may":     func() error { return os.Rename(in("write", "file3"), in("secret", "file3")) },
		"read a secret":            open(in("secret", "file"), os.O_RDONLY),
		"list secrets":             func() error { _, err := os.ReadDir(in("secret")); return err },
		"read by another way":      open(in("read", "..", "secret", "file"), os.O_RDONLY),
		"make a socket":            func() error { return listen(in("sockets", "s")) },
		"make a socket elsewhere":  func() error { return listen(in("read", "s")) },
		"make a file for a socket": open(in("sockets", "file"), os.O_RDWR|os.O_CREATE),
		"use a device":             open("/dev/null", os.O_RDWR),
		"use another device":       open("/dev/zero", os.O_RDWR),
		"unix":                     socket(unix.AF_UNIX, unix.SOCK_STREAM),
		"netlink":                  socket(unix.AF_NETLINK, unix.SOCK_RAW),
		"internet":                 socket(unix.AF_INET, unix.SOCK_STREAM),
		"internet 6":               socket(unix.AF_INET6, unix.SOCK_DGRAM),
		"packets":                  socket(unix.AF_PACKET, unix.SOCK_RAW),
		"run a program":            func() error { return exec.Command("/proc/self/exe").Run() },
		"become a program":         func() error { return unix.Exec("/bin/true", []string{"true"}, nil) },
		"signal its parent":        func() error { return unix.Kill(os.Getppid(), 0) },
		"trace its parent":         func() error { return unix.PtraceAttach(os.Getppid()) },
		"see its parent's files":   func() error { _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", os.Getppid())); return err },
		"mount":                    func() error { return unix.Mount("x", in("write"), "tmpfs", 0, "") },
		"own namespaces":           func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"keys of the kernel":       func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); return err },
		"programs for the kernel":  func() error { return bpf() },
		"limits of others":         func() error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_CORE, nil, &unix.Rlimit{}) },
		"threads":                  threadsWork,
	}
}

func listen(path string) error {
	l, err := net.Listen("unix", path)
	if err == nil {
		l.Close()
	}
	return err
}

func bpf() error {
	if _, _, errno := unix.Syscall(unix.SYS_BPF, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// threadsWork makes the runtime start some.
func threadsWork() error {
	done := make(chan bool)
	for range 20 {
		go func() {
			runtime.LockOSThread() // the thread ends with it
			done <- true
		}()
	}
	for range 20 {
		<-done
	}
	return nil
}

func prisoner(kind, dir string) {
	var a Applied
	var err error
	if kind == "reader" {
		a, err = EnterReader()
	} else {
		a, err = Enter(Rules{
			Read:    []string{filepath.Join(dir, "read"), "/proc", filepath.Join(dir, "missing")},
			Write:   []string{filepath.Join(dir, "write"), filepath.Join(dir, "missing")},
			Sockets: []string{filepath.Join(dir, "sockets")}, Devices: []string{"/dev/null", "/dev/missing"},
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	results := map[string]string{"landlock": fmt.Sprint(a.Landlock > 0), "seccomp": fmt.Sprint(a.Seccomp)}
	all := attempts(dir)
	for name, attempt := range all {
		results[name] = "yes"
		if err := attempt(); err != nil {
			results[name] = "no"
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(results)
}

func imprison(t *testing.T, kind string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"read", "write", "secret", "sockets"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"file", "file3"} {
			if err := os.WriteFile(filepath.Join(dir, d, name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], dir)
	cmd.Env = append(os.Environ(), "SANDBOX_TEST="+kind)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var results map[string]string
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return results
}

func check(t *testing.T, got map[string]string, allowed, needsLandlock string) {
	t.Helper()
	if got["seccomp"] != "true" {
		t.Skip("no seccomp here")
	}
	names := strings.Split(allowed, ", ")
	for name, result := range got {
		want := "no"
		for _, n := range names {
			if n == name {
				want = "yes"
			}
		}
		if name == "landlock" || name == "seccomp" || got["landlock"] != "true" && strings.Contains(needsLandlock, name) {
			continue
		}
		if result != want {
			t.Errorf("%s: got %s, want %s", name, result, want)
		}
	}
	for _, n := range names {
		if _, ok := got[n]; !ok {
			t.Errorf("nobody tries to %s", n)
		}
	}
}

func TestDaemon(t *testing.T) {
	got := imprison(t, "daemon")
	if got["landlock"] != "true" {
		t.Log("no Landlock here: files are not tried")
	}
	check(t, got, "read what it may, make what it may, rename what it may, make a socket, use a device, unix, netlink, threads",
		"write what it may read, make what it may read, take out what it may, read a secret, list secrets, read by another way, "+
			"make a socket elsewhere, make a file for a socket, use another device, see its parent's files")
}

func TestReader(t *testing.T) {
	// Files are those that it may open by itself: all, here.
	check(t, imprison(t, "reader"), "read what it may, read a secret, list secrets, read by another way, "+
		"see its parent's files, threads", "")
}
