package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/pcsctest"
)

// reader is the other end of a card: what vsmartcard's driver is in pcscd.
type reader struct {
	t *testing.T
	net.Conn
}

// tell sends a message that has no answer.
func (r reader) tell(message ...byte) {
	r.t.Helper()
	if _, err := r.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err != nil {
		r.t.Fatal(err)
	}
}

// ask sends one that has.
func (r reader) ask(message ...byte) []byte {
	r.t.Helper()
	r.tell(message...)
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		r.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head))
	if _, err := io.ReadFull(r, body); err != nil {
		r.t.Fatal(err)
	}
	return body
}

var selectOATH = append([]byte{0, 0xA4, 4, 0, 7}, oath.AID()...)

// The card goes into the reader as soon as there is one, again when that has gone, and out of it with the power.
func TestCardFindsItsReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	dir := shortDir(t)
	ready := wholeLine(t, dir, "--vpcd", at)
	if !strings.Contains(ready, " vpcd="+at) {
		t.Errorf("ready line %q", ready)
	}
	control := &running{control: filepath.Join(dir, "ctl")}
	if got := control.say(t, "status"); !strings.HasSuffix(got, " oath=yubikey accounts=0 reader=false\n") {
		t.Errorf("status %q", got)
	}
	if l, err = net.Listen("tcp", at); err != nil { // the key has been trying
		t.Fatal(err)
	}
	defer l.Close()
	accept := func() reader {
		t.Helper()
		_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		return reader{t, conn}
	}
	for range 2 {
		r := accept()
		r.tell(1)
		if atr := r.ask(4); !bytes.Contains(atr, []byte("YubiKey")) {
			t.Errorf("ATR %q", atr)
		}
		if got := r.ask(selectOATH...); !bytes.HasPrefix(got, []byte{0x79, 3, 5, 4, 3}) || !bytes.HasSuffix(got, []byte{0x90, 0}) {
			t.Errorf("SELECT gives %x", got)
		}
		r.Close()
	}
	r := accept()
	r.tell(1)
	r.ask(4)
	if got := control.say(t, "power off"); got != "ok\n" {
		t.Errorf("power off: %q", got)
	}
	if n, err := r.Read(make([]byte, 1)); err == nil {
		t.Errorf("the reader reads %d bytes of a card that is not there", n)
	}
	if got := control.say(t, "power on"); got != "ok\n" {
		t.Errorf("power on: %q", got)
	}
	accept()
}

// A Nitrokey's application is behind its FIDO interface, and in the reader.
func TestNitrokeyOverReports(t *testing.T) {
	dir := shortDir(t)
	state := filepath.Join(dir, "state")
	for n, code := range []string{"755224", "287082"} {
		stop := whole(t, dir, "--oath", "nitrokey", "--serial", "4711", "--state", state)
		c, _ := client(t, dir)
		s, err := oath.Select(t.Context(), oath.NewCTAPHID(c.Vendor), oath.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i := s.Info(); i.Model != oath.ModelNitrokey || i.Serial != "00001267" {
			t.Errorf("%+v", i)
		}
		h := oath.Credential{ID: "h", Kind: oath.HOTP}
		if n == 0 {
			if h, err = s.Put(t.Context(), oath.Account{Account: "h", Params: otp.Parameters{Kind: otp.HOTP}}, []byte("12345678901234567890")); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Calculate(t.Context(), h, time.Now()); err != nil || got.Value != code {
			t.Errorf("run %d: %s, %v, want %s", n, got.Value, err, code)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	// Others have no such command.
	other := shortDir(t)
	whole(t, other, "--oath", "neo")
	c, _ := client(t, other)
	if _, err := oath.Select(t.Context(), oath.NewCTAPHID(c.Vendor), oath.Options{}); err == nil {
		t.Error("a NEO answers a Nitrokey's command")
	}
	if got := (&running{control: filepath.Join(other, "ctl")}).say(t, "status"); !strings.HasSuffix(got, " oath=neo accounts=0\n") {
		t.Errorf("status %q", got)
	}
}

func TestOffersThatDoNotGoTogether(t *testing.T) {
	for line, want := range map[string]string{
		"--listen x --oath abacus":                "--oath is one of",
		"--listen x --slots":                      "--slots goes with --uhid or --usbip",
		"--uhid --slots --oath neo":               "--slots needs --oath yubikey",
		"--vpcd 127.0.0.1:1 --oath none":          "--vpcd needs an --oath",
		"--vpcd localhost":                        "--vpcd wants an address and a port",
		"--listen x --vpcd 127.0.0.1:1 --state /": "/",
	} {
		var errs bytes.Buffer
		cmd := command(io.Discard, &errs)
		cmd.SetArgs(strings.Fields(line))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fobkey %s: %v, want %q", line, err, want)
		}
	}
}

// Yubico's own program and the real pcscd, with the key as people start it: what it learns outlives it, and it is touched by order.
func TestYkmanWithFobkey(t *testing.T) {
	if _, err := exec.LookPath("ykman"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	stack := pcsctest.Start(t)
	dir, home := shortDir(t), t.TempDir()
	control := &running{control: filepath.Join(dir, "ctl")}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	begin := func() (end func()) {
		t.Helper()
		cmd := stack.Command(ctx, os.Args[0], "--vpcd", "127.0.0.1:35963", "--serial", "12345678", "--state", filepath.Join(dir, "state"), "--control", control.control, "--presence", "manual")
		cmd.Env = append(os.Environ(), asProgram+"=1", noSleep)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 256)
		if n, err := out.Read(line); err != nil || !bytes.HasPrefix(line[:n], []byte("ready ")) {
			t.Fatalf("ready line %q, %v", line, err)
		}
		return func() {
			t.Helper()
			control.say(t, "quit")
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
	card := func(want bool) {
		t.Helper()
		for readers, err := range stack.Client().Watch(ctx, pcsc.WatchConfig{}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range readers {
				if r.Name == pcsctest.Reader && r.Card() == want {
					return
				}
			}
		}
		t.Fatalf("the card is not in the reader: want %t, %v", want, ctx.Err())
	}
	ykman := func(pattern string, args ...string) {
		t.Helper()
		cmd := stack.Command(ctx, "ykman", append([]string{"--reader", pcsctest.Reader, "oath"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "LC_ALL=C.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil || !regexp.MustCompile(pattern).Match(out) {
			t.Fatalf("ykman oath %s: %v, want %q:\n%s", strings.Join(args, " "), err, pattern, out)
		}
	}
	end := begin()
	card(true)
	ykman(`OATH version:\s+5\.4\.3`, "info")
	ykman(``, "accounts", "add", "--oath-type", "HOTP", "--counter", "0", "counter", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	ykman(`^755224\n$`, "accounts", "code", "--single", "counter")
	ykman(``, "accounts", "add", "--touch", "touched", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	if got := control.say(t, "touch once"); got != "ok\n" {
		t.Errorf("touch once: %q", got)
	}
	ykman(`\d{6}\n$`, "accounts", "code", "--single", "touched")
	if got := control.say(t, "status"); !strings.Contains(got, " accounts=2 reader=true") {
		t.Errorf("status %q", got)
	}
	if got := control.say(t, "power off"); got != "ok\n" {
		t.Errorf("power off: %q", got)
	}
	card(false)
	if got := control.say(t, "power on"); got != "ok\n" {
		t.Errorf("power on: %q", got)
	}
	card(true)
	ykman(`(?s)counter.*touched`, "accounts", "list")
	end()
	card(false)
	end = begin()
	card(true)
	ykman(`^287082\n$`, "accounts", "code", "--single", "counter")
	end()
	for _, name := range []string{"state", "state.oath", "state.slots"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
