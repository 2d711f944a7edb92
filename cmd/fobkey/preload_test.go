package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// library builds the library to be preloaded; target is "" or "sanitized".
func library(t *testing.T, target string) string {
	t.Helper()
	for _, tool := range []string{"make", "cc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no C compiler: %v", err)
		}
	}
	out := filepath.Join(t.TempDir(), preloadName)
	args := []string{"-s", "-C", "preload", "OUT=" + out}
	if target != "" {
		args = append(args, target)
	}
	if said, err := exec.CommandContext(t.Context(), "make", args...).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, said)
	}
	return out
}

// foreign runs programs of others with the library.
type foreign struct {
	t   *testing.T
	env []string
}

func preloaded(t *testing.T, library, sockets string) foreign {
	t.Helper()
	return foreign{t, append(os.Environ(), "LD_PRELOAD="+library, "FOBKEY_SOCKET="+sockets, "HOME="+t.TempDir())}
}

// try runs a program; one that is not installed skips the test.
func (c foreign) try(stdin, name string, args ...string) (stdout, stderr string, err error) {
	c.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		c.t.Skipf("%s is not installed", name)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env, strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (c foreign) run(stdin, name string, args ...string) string {
	c.t.Helper()
	stdout, stderr, err := c.try(stdin, name, args...)
	if err != nil {
		c.t.Fatalf("%s %q: %v\n%s%s", name, args, err, stdout, stderr)
	}
	return stdout
}

func TestPreloadPrintsAScript(t *testing.T) {
	dir := t.TempDir()
	printed := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		cmd := command(&out, io.Discard)
		cmd.SetArgs(append([]string{"--preload"}, args...))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, want := range []string{"fobkey --listen /tmp/fobkey.sock &", "FOBKEY_SOCKET=/tmp/fobkey.sock ", "make preload", "LD_PRELOAD=/path/to/"} {
		if got := printed(); !strings.Contains(got, want) {
			t.Errorf("fobkey --preload prints %q, want %q in it", got, want)
		}
	}
	got := printed("--listen", "tcp:127.0.0.1:0", "--listen", "unixpacket:/run/my key")
	for _, want := range []string{"fobkey --listen 'unixpacket:/run/my key' &", "FOBKEY_SOCKET='/run/my key' "} {
		if !strings.Contains(got, want) {
			t.Errorf("fobkey --preload --listen prints %q, want %q in it", got, want)
		}
	}
	// What it prints runs, once the library is beside the program.
	program := filepath.Join(dir, "bin", "fobkey")
	if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(dir, "bin", preloadName)
	if err := os.WriteFile(beside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printPreload(&out, program, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "LD_PRELOAD="+beside+"\n") || strings.Contains(out.String(), "make preload") {
		t.Errorf("with the library beside the program: %q", &out)
	}
}

// The flags of the build have done something, and nothing but the two functions is exported.
func TestPreloadIsHardened(t *testing.T) {
	f, err := elf.Open(library(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	relro := false
	for _, p := range f.Progs {
		switch {
		case p.Type == elf.PT_GNU_RELRO:
			relro = true
		case p.Type == elf.PT_GNU_STACK && p.Flags&elf.PF_X != 0:
			t.Error("the stack can be executed")
		case p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && p.Flags&elf.PF_W != 0:
			t.Error("code can be written")
		}
	}
	flags, err := f.DynValue(elf.DT_FLAGS)
	if err != nil || !relro || len(flags) != 1 || elf.DynFlag(flags[0])&elf.DF_BIND_NOW == 0 {
		t.Errorf("relocations stay writable: RELRO %t, flags %v, %v", relro, flags, err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	canary := false
	for _, s := range symbols {
		canary = canary || s.Name == "__stack_chk_fail"
		if s.Section != elf.SHN_UNDEF {
			exported = append(exported, s.Name)
		}
	}
	slices.Sort(exported)
	if want := []string{"fido_dev_info_manifest", "fido_dev_open"}; !slices.Equal(exported, want) {
		t.Errorf("exported are %v, want %v", exported, want)
	}
	if !canary {
		t.Error("no function has a stack protector")
	}
}

// The tools of libfido2, unchanged, over each kind of Unix socket; the library is the one that
// people get, and then the one with the sanitizers of the compiler.
func TestPreloadLibfido2(t *testing.T) {
	for _, c := range []struct{ target, kind string }{{"", "unix"}, {"", "unixpacket"}, {"sanitized", "unix"}} {
		t.Run(strings.TrimPrefix(c.target+"-"+c.kind, "-"), func(t *testing.T) {
			built := library(t, c.target)
			dir := shortDir(t)
			at := filepath.Join(dir, "k")
			whole(t, dir, "--listen", c.kind+":"+at)
			f := preloaded(t, built, "/does/not/exist::"+at)
			if c.target != "" {
				f = sanitized(t, f, built)
			}
			if out := f.run("", "fido2-token", "-L"); !strings.HasPrefix(out, at+": ") || strings.Count(out, "\n") != 1 {
				t.Errorf("fido2-token -L says %q, want %s alone", out, at)
			}
			if out := f.run("", "fido2-token", "-I", at); !strings.Contains(out, "FIDO_2_1") {
				t.Errorf("fido2-token -I says %s", out)
			}
			if _, stderr, err := f.try("", "fido2-token", "-I", "/dev/null"); err == nil {
				t.Errorf("a device that is no socket of ours is opened: %s", stderr)
			}
			hash := func(text string) string {
				sum := sha256.Sum256([]byte(text))
				return base64.StdEncoding.EncodeToString(sum[:])
			}
			made := f.run(hash("create")+"\nexample.org\nalice\nYWxpY2U=\n", "fido2-cred", "-M", at)
			id, key, _ := strings.Cut(f.run(made, "fido2-cred", "-V"), "\n")
			pem := filepath.Join(dir, "key.pem")
			if err := os.WriteFile(pem, []byte(key), 0o600); err != nil {
				t.Fatal(err)
			}
			got := f.run(hash("get")+"\nexample.org\n"+id+"\n", "fido2-assert", "-G", at)
			f.run(got, "fido2-assert", "-V", pem, "es256")
		})
	}
}

// sanitized puts the runtime of the sanitizers in front of the library.
func sanitized(t *testing.T, c foreign, library string) foreign {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "cc", "-print-file-name=libasan.so").Output()
	runtime := strings.TrimSpace(string(out))
	if err != nil || !filepath.IsAbs(runtime) {
		t.Skipf("the compiler has no libasan: %q, %v", out, err)
	}
	// The programs' own leaks are not ours to judge; what the library does wrong ends them.
	c.env = append(c.env, "LD_PRELOAD="+runtime+":"+library, "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1")
	return c
}

func TestPreloadOpenSSH(t *testing.T) {
	built := library(t, "")
	dir := shortDir(t)
	whole(t, dir)
	c := preloaded(t, built, filepath.Join(dir, "key"))
	for _, kind := range []string{"ecdsa-sk", "ed25519-sk"} {
		id := filepath.Join(dir, kind)
		c.run("", "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "alice", "-f", id)
		public, err := os.ReadFile(id + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		allowed, signature := id+".allowed", id+".sig"
		if err := os.WriteFile(allowed, append([]byte("alice "), public...), 0o600); err != nil {
			t.Fatal(err)
		}
		signed := c.run("the message", "ssh-keygen", "-Y", "sign", "-n", "file", "-f", id)
		if err := os.WriteFile(signature, []byte(signed), 0o600); err != nil {
			t.Fatal(err)
		}
		verify := []string{"-Y", "verify", "-f", allowed, "-I", "alice", "-n", "file", "-s", signature}
		c.run("the message", "ssh-keygen", verify...)
		if out, _, err := c.try("another", "ssh-keygen", verify...); err == nil {
			t.Errorf("%s: a signature over another message is good: %s", kind, out)
		}
	}
}

func TestPreloadPAMU2FConfig(t *testing.T) {
	built := library(t, "")
	dir := shortDir(t)
	whole(t, dir)
	c := preloaded(t, built, filepath.Join(dir, "key"))
	if out := c.run("", "pamu2fcfg", "--username", "alice"); !strings.HasPrefix(out, "alice:") || !strings.Contains(out, ",es256,+presence") {
		t.Errorf("pamu2fcfg says %q", out)
	}
}

// Without the variable, the library changes nothing.
func TestPreloadWithoutSocket(t *testing.T) {
	c := foreign{t, append(os.Environ(), "LD_PRELOAD="+library(t, ""))}
	plain := foreign{t, os.Environ()}
	if got, want := c.run("", "fido2-token", "-L"), plain.run("", "fido2-token", "-L"); got != want {
		t.Errorf("fido2-token -L says %q with the library and %q without", got, want)
	}
	if got := c.run("", "sh", "-c", "echo ok"); got != "ok\n" {
		t.Errorf("a program that knows nothing of libfido2 says %q", got)
	}
}

// What a hostile key does to the library under the sanitizers: it hangs up, sends halves, sends
// rubbish, or nothing.
func TestPreloadWithHostileKeys(t *testing.T) {
	built := library(t, "sanitized")
	for name, answer := range map[string]func(conn net.Conn){
		"hangs up at once":   func(net.Conn) {},
		"half a report":      func(conn net.Conn) { _, _ = conn.Write(make([]byte, 31)) },
		"rubbish":            func(conn net.Conn) { _, _ = conn.Write(bytes.Repeat([]byte{0xA5}, 64*100)) },
		"an odd number":      func(conn net.Conn) { _, _ = conn.Write(make([]byte, 64*3+1)) },
		"hangs up after one": func(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, 64)) },
		"byte by byte": func(conn net.Conn) {
			report := make([]byte, 64)
			_, _ = io.ReadFull(conn, report)
			for i := range 128 {
				_, _ = conn.Write([]byte{byte(i)})
			}
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			at := filepath.Join(shortDir(t), "key")
			l, err := net.Listen("unix", at)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					answer(conn)
					_ = conn.Close()
				}
			}()
			c := sanitized(t, preloaded(t, built, at), built)
			_, stderr, err := c.try("", "fido2-token", "-I", at)
			if err == nil || strings.Contains(stderr, "Sanitizer") || strings.Contains(stderr, "runtime error") {
				t.Errorf("fido2-token -I: %v, %s; want an ordinary failure", err, stderr)
			}
		})
	}
	t.Run("a-path-that-is-too-long", func(t *testing.T) {
		long := "/" + strings.Repeat("x", 200)
		c := sanitized(t, preloaded(t, built, fmt.Sprintf("%s:%s", long, strings.Repeat("y", 5000))), built)
		if _, stderr, err := c.try("", "fido2-token", "-I", long); err == nil || strings.Contains(stderr, "Sanitizer") {
			t.Errorf("fido2-token -I: %v, %s", err, stderr)
		}
	})
}
