package process

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestUnits(t *testing.T) {
	for cgroups, want := range map[string]string{
		"0::/system.slice/ssh.service\n":                                                        "ssh.service",
		"0::/system.slice/system-getty.slice/getty@tty1.service\n":                              "getty@tty1.service",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                                      "session-3.scope",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-7.scope\n":      "user/app-firefox-7.scope",
		"0::/user.slice/user-1000.slice/user@1000.service/init.scope\n":                         "user/init.scope",
		"12:pids:/x.service\n1:name=systemd:/system.slice/cron.service\n0::/\n":                 "cron.service",
		"0::/system.slice/docker.service/inner.service\n":                                       "inner.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/sshd.service/ssh.service\n": "user/ssh.service", // a user cannot be the system's
		"0::/user.slice\n": "",
		"":                 "",
	} {
		if got := unitOf(cgroups); got != want {
			t.Errorf("%q: got %q, want %q", cgroups, got, want)
		}
	}
}

func TestSandboxes(t *testing.T) {
	for info, want := range map[string]string{
		"[Application]\nname=org.mozilla.firefox\n[Instance]\nname=x\n": "org.mozilla.firefox",
		"[Runtime]\nname=org.gnome.Sdk\n":                               "org.gnome.Sdk",
		"[Instance]\nname=org.mozilla.firefox\n":                        "",
		"name=org.mozilla.firefox\n":                                    "",
		"":                                                              "",
	} {
		if got := flatpakOf(info); got != want {
			t.Errorf("flatpak %q: got %q, want %q", info, got, want)
		}
	}
	for label, want := range map[string]string{
		"snap.firefox.firefox (enforce)\n": "firefox",
		"snap.firefox\n":                   "",
		"/usr/bin/snap.firefox.x\n":        "",
		"unconfined\n":                     "",
		"":                                 "",
	} {
		if got := snapOf(label); got != want {
			t.Errorf("snap %q: got %q, want %q", label, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for stat, want := range map[string]uint64{
		"7 (cat) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1":         4242,
		"7 (a) S 1 1 (b) R 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4343 1 1": 4343, // a name that looks like the rest
		"7 (\n) 9) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4444 1 1":       4444,
		"7 (cat) S 1":       0,
		"7 cat S 1 2 3 4 5": 0,
		"":                  0,
	} {
		if got := startOf(stat); got != want {
			t.Errorf("%q: got %d, want %d", stat, got, want)
		}
	}
	real, uid, gid, ok := idsOf("Name:\tssh\nUid:\t1000\t1001\t1000\t1000\nGid:\t7\t8\t7\t7\nGroups:\t1 2 3\n")
	if !ok || real != 1000 || uid != 1001 || gid != 8 {
		t.Errorf("got %d, %d, %d, %v", real, uid, gid, ok)
	}
	for _, broken := range []string{"", "Uid:\t1\t1\n", "Uid:\t1\t1\t1\nGid:\t1\tx\t1\n", "Uid:\t1\nGid:\t1\n"} {
		if _, _, _, ok := idsOf(broken); ok {
			t.Errorf("%q is taken", broken)
		}
	}
	if got := groupsOf("Groups:\t4 24 x 4294967296 1000 \n"); fmt.Sprint(got) != "[4 24 1000]" {
		t.Errorf("groups: got %v", got)
	}
}

// fake is a process in a /proc of the test's: this one, but for files.
func fake(t *testing.T, files map[string]string) (proc string, dir string) {
	t.Helper()
	proc = t.TempDir()
	dir = filepath.Join(proc, "7")
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"comm": "cat\n", "status": "Uid:\t1 1 1 1\nGid:\t1 1 1 1\n"}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	// In a chroot, the root itself is not in it.
	all["mountinfo"] = string(mountinfo) + "1 1 8:1 / / rw - ext4 x rw\n"
	if first, err := os.ReadFile("/proc/1/mountinfo"); err == nil { // for a test in a chroot
		all["../1/mountinfo"] = string(first)
		if err := os.Mkdir(filepath.Join(proc, "1"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc, dir
}

const flatpakInfo = "[Application]\nname=org.example.App\n"

func TestReadsAProcess(t *testing.T) {
	proc, dir := fake(t, map[string]string{"root/.flatpak-info": flatpakInfo})
	if err := os.Symlink("/bin/sh", filepath.Join(dir, "exe")); err != nil {
		t.Fatal(err)
	}
	p := read(proc, 7)
	if !p.Known || p.Program != "cat" || p.App.Flatpak != "org.example.App" || p.App.Exe != "/bin/sh" {
		t.Errorf("got %+v", p)
	}
	if p := read(proc, 8); p.Known {
		t.Errorf("no process: got %+v", p)
	}
}

// What a program can put where flatpak puts its file is not waited for, and not followed.
func TestRootsThatLieInWait(t *testing.T) {
	for name, lay := range map[string]func(t *testing.T, dir string){
		"a pipe": func(t *testing.T, dir string) {
			if err := unix.Mkfifo(filepath.Join(dir, "root/.flatpak-info"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a link": func(t *testing.T, dir string) {
			target := filepath.Join(dir, "info")
			if err := os.WriteFile(target, []byte(flatpakInfo), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, "root/.flatpak-info")); err != nil {
				t.Fatal(err)
			}
		},
		"a folder": func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "root/.flatpak-info"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a socket": func(t *testing.T, dir string) {
			t.Chdir(filepath.Join(dir, "root")) // its name is short
			l, err := net.Listen("unix", ".flatpak-info")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			proc, dir := fake(t, nil)
			lay(t, dir)
			if p := read(proc, 7); p.App.Flatpak != "" || !p.Known {
				t.Errorf("got %+v", p)
			}
		})
	}
	for name, mountinfo := range map[string]string{
		"a root that a program serves": "20 1 0:40 / / rw - fuse.x x rw\n",
		"a file that a program serves": "20 1 8:1 / / rw - ext4 x rw\n21 20 0:40 / /.flatpak-info ro - fuse x rw\n",
		"two roots":                    "20 1 8:1 / / rw - ext4 x rw\n21 20 0:40 / / rw - fuse x rw\n",
		"no root":                      "20 1 8:1 / /home rw - ext4 x rw\nbroken\n - \n x x x x x - ext4\n",
		"nothing":                      "",
	} {
		t.Run(name, func(t *testing.T) {
			proc, dir := fake(t, map[string]string{"root/.flatpak-info": flatpakInfo, "mountinfo": mountinfo})
			_ = os.RemoveAll(filepath.Join(proc, "1"))
			if err := os.Symlink("/bin/sh", filepath.Join(dir, "exe")); err != nil {
				t.Fatal(err)
			}
			if p := read(proc, 7); p.App.Flatpak != "" || p.App.Exe != "" || !p.Known {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// child starts a program that waits, and returns what is known of it when it runs.
func child(t *testing.T, want string, name string, args ...string) Process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	// cat says that it runs.
	if _, err := io.WriteString(in, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	return Look(cmd.Process.Pid)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o700); err != nil {
		t.Fatal(err)
	}
}

// An executable counts when its path shows us the same file.
func TestExecutables(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip(err)
	}
	if cat, err = filepath.EvalSymlinks(cat); err != nil {
		t.Fatal(err)
	}
	if p := child(t, "as it is", cat); p.App.Exe != cat {
		t.Errorf("as it is: got %+v", p.App)
	}
	t.Run("deleted", func(t *testing.T) {
		mine := filepath.Join(t.TempDir(), "cat")
		copyFile(t, cat, mine)
		cmd := exec.CommandContext(t.Context(), mine)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { in.Close(); _ = cmd.Wait() }()
		if p := Look(cmd.Process.Pid); p.App.Exe != mine {
			t.Errorf("before: got %+v", p.App)
		}
		if err := os.Remove(mine); err != nil {
			t.Fatal(err)
		}
		if p := Look(cmd.Process.Pid); p.App.Exe != "" {
			t.Errorf("deleted: got %+v", p.App)
		}
		copyFile(t, cat, mine+" (deleted)") // by the name that the kernel shows now
		copyFile(t, cat, mine)
		if p := Look(cmd.Process.Pid); p.App.Exe != "" {
			t.Errorf("replaced: got %+v", p.App)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		// Its own mounts show it as another program.
		unshare, err := exec.LookPath("unshare")
		if err != nil || exec.CommandContext(t.Context(), unshare, "--mount", "true").Run() != nil {
			t.Skip("no mount namespace of one's own")
		}
		famous := filepath.Join(t.TempDir(), "firefox")
		evil := filepath.Join(t.TempDir(), "evil")
		copyFile(t, cat, famous)
		copyFile(t, cat, evil)
		p := child(t, "elsewhere", unshare, "--mount", "sh", "-c", `mount --bind "$1" "$2" && exec "$2"`, "sh", evil, famous)
		if p.App.Exe != "" || !p.Known {
			t.Errorf("got %+v", p.App)
		}
	})
}

// pair connects a helper with who serves it, by packets.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return ends[0], ends[1]
}

func TestHelper(t *testing.T) {
	client, server := pair(t)
	served := make(chan error, 1)
	go func() { served <- Serve(server) }()
	h := NewHelper(client)
	ran := make(chan error, 1)
	go func() { ran <- h.Run() }()
	Use(h)
	defer Use(nil)
	me := read("/proc", os.Getpid())
	done := make(chan Process)
	for range 50 {
		go func() { done <- Look(os.Getpid()) }()
	}
	for range 50 {
		if p := <-done; fmt.Sprint(p) != fmt.Sprint(me) {
			t.Errorf("got %+v, want %+v", p, me)
		}
	}
	if p := Look(1 << 22); p.Known {
		t.Errorf("no process: got %+v", p)
	}
	if name := h.Name(os.Getpid()); name != me.Program {
		t.Errorf("name %q", name)
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if o := h.Openers("/dev/null"); o != nil {
		t.Errorf("it tells who has what is no key: %v", o)
	}
	h.Close()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if p := Look(os.Getpid()); p.Known {
		t.Errorf("after the end: got %+v", p)
	}
}

func TestHelperEnds(t *testing.T) {
	client, server := pair(t)
	h := NewHelper(client)
	server.Close()
	if err := h.Run(); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("got %v", err)
	}
}

// A process whose files keep the helper waiting is not known; others are.
func TestHelperThatIsKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		h := NewHelper(client)
		go func() { _ = h.Run() }()
		defer h.Close()
		go func() { // a helper that never comes back
			buf := make([]byte, 4096)
			for {
				if _, err := server.Read(buf); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		if p := h.Look(7); p.Known || time.Since(began) != patience {
			t.Errorf("got %+v after %v", p, time.Since(began))
		}
		if len(h.waiting) != 0 {
			t.Errorf("%d still wait", len(h.waiting))
		}
	})
}

func TestServeTakesQuestionsOnly(t *testing.T) {
	client, server := pair(t)
	defer client.Close()
	if _, err := io.WriteString(client, "{"); err != nil {
		t.Fatal(err)
	}
	if err := Serve(server); err == nil {
		t.Error("it went on")
	}
}

func BenchmarkLook(b *testing.B) {
	pid := os.Getpid()
	b.Run("itself", func(b *testing.B) {
		for b.Loop() {
			Look(pid)
		}
	})
}
