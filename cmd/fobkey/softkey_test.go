package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/u2f"
)

// whole runs the whole command line and waits until it is ready; the result says how
// it ended.
func whole(t *testing.T, dir string, args ...string) (stop func() error) {
	t.Helper()
	_, stop = wholeProgram(t, dir, args...)
	return stop
}

// wholeLine is whole, for the ready line.
func wholeLine(t *testing.T, dir string, args ...string) (ready string) {
	t.Helper()
	ready, _ = wholeProgram(t, dir, args...)
	return ready
}

func wholeProgram(t *testing.T, dir string, args ...string) (ready string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, w := io.Pipe()
	var errs bytes.Buffer
	cmd := command(w, &errs)
	cmd.SetArgs(append([]string{"--listen", filepath.Join(dir, "key"), "--control", filepath.Join(dir, "ctl")}, args...))
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		_ = w.Close()
		done <- err
	}()
	stop = func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { _ = stop() })
	ready, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(ready, "ready ") {
		t.Fatalf("ready line %q, %v: %v", ready, err, stop())
	}
	return ready, stop
}

func client(t *testing.T, dir string) (*ctaphid.Channel, *ctap2.Client) {
	t.Helper()
	c := open(t, dial(t, filepath.Join(dir, "key")))
	return c, ctap2.NewClient(c, nil)
}

func makeRequest(algorithm cose.Algorithm, discoverable bool) *ctap2.MakeCredentialRequest {
	r := &ctap2.MakeCredentialRequest{
		ClientDataHash:   bytes.Repeat([]byte{7}, 32),
		RP:               ctap2.RP{ID: "example.org"},
		User:             ctap2.User{ID: []byte{1}, Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameter{{Type: ctap2.TypePublicKey, Alg: algorithm}},
	}
	if discoverable {
		r.Options = &ctap2.Options{RK: &discoverable}
	}
	return r
}

func TestCredentialsOutliveThePowerAndTheProgram(t *testing.T) {
	dir := shortDir(t)
	state := filepath.Join(dir, "state")
	stop := whole(t, dir, "--state", state)
	_, c := client(t, dir)
	made, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, true))
	if err != nil {
		t.Fatal(err)
	}
	data, err := ctap2.ParseAuthData(made.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	hash := bytes.Repeat([]byte{9}, 32)
	assert := func(when string) {
		t.Helper()
		_, c := client(t, dir)
		got, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{RPID: "example.org", ClientDataHash: hash})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if err := data.PublicKey.Verify(append(bytes.Clone(got.AuthData), hash...), got.Signature); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	assert("at once")
	r := &running{control: filepath.Join(dir, "ctl")}
	if got := r.say(t, "power off", "power on"); got != "ok\nok\n" {
		t.Fatalf("power off and on: %q", got)
	}
	assert("after a power cycle")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	whole(t, dir, "--state", state)
	assert("in another run")
}

func TestOrdersReachTheKey(t *testing.T) {
	dir := shortDir(t)
	whole(t, dir, "--presence", "delay", "--delay", "1ms", "--uv", "grant", "--attestation", "none", "--algorithms", "EdDSA", "--log-level", "debug")
	r := &running{control: filepath.Join(dir, "ctl")}
	if got, want := r.say(t, "status"), "ok power=on connections=0 presence=delay uv=grant blinks=false delay=1ms\n"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	_, c := client(t, dir)
	if err := c.Selection(t.Context()); err != nil {
		t.Errorf("selection after a delay: %v", err)
	}
	if _, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, false)); !errors.Is(err, ctap2.ErrUnsupportedAlgorithm) {
		t.Errorf("ES256 at a key for EdDSA: %v", err)
	}
	made, err := c.MakeCredential(t.Context(), makeRequest(cose.EdDSA, false))
	if err != nil || made.Fmt != "none" {
		t.Errorf("EdDSA: %+v, %v, want attestation none", made, err)
	}

	if got := r.say(t, "touch off", "uv off"); got != "ok\nok\n" {
		t.Errorf("touch off, uv off: %q", got)
	}
	blinking := make(chan struct{}, 1)
	waiting := open(t, dial(t, filepath.Join(dir, "key")))
	ended := make(chan error, 1)
	go func() {
		ended <- ctap2.NewClient(waiting, func(status byte) {
			if status != ctap2.KeepaliveUPNeeded {
				return
			}
			select {
			case blinking <- struct{}{}:
			default:
			}
		}).Selection(t.Context())
	}()
	<-blinking
	if got, want := r.say(t, "status", "touch once"), "ok power=on connections=2 presence=manual uv=deny blinks=true\nok\n"; got != want {
		t.Errorf("answers %q, want %q", got, want)
	}
	if err := <-ended; err != nil {
		t.Errorf("selection that was touched once: %v", err)
	}
	if got := r.say(t, "touch on", "status"); !strings.Contains(got, "presence=delay") {
		t.Errorf("touch on gives %q, want what the flags say", got)
	}
}

func TestKindsOfKeys(t *testing.T) {
	t.Run("ctap1-only", func(t *testing.T) {
		dir := shortDir(t)
		whole(t, dir, "--ctap1-only")
		channel, c := client(t, dir)
		if channel.Init().Capabilities.Has(ctaphid.CapCBOR) {
			t.Error("a U2F key says that it speaks CTAP2")
		}
		if _, err := c.GetInfo(t.Context()); err == nil {
			t.Error("a U2F key answers getInfo")
		}
		version, err := (&u2f.Client{Transport: channel}).Version(t.Context())
		if err != nil || version != "U2F_V2" {
			t.Errorf("version %q, %v", version, err)
		}
	})
	t.Run("profile", func(t *testing.T) {
		for profile, want := range map[string]string{"fido2.0": "FIDO_2_0", "minimal": "FIDO_2_0", "fido2.1": "FIDO_2_1", "fido2.3": "FIDO_2_3", "fido2.3-bio": "FIDO_2_3"} {
			dir := shortDir(t)
			whole(t, dir, "--profile", profile)
			_, c := client(t, dir)
			info, err := c.GetInfo(t.Context())
			if err != nil || !slices.Contains(info.Versions, want) {
				t.Errorf("profile %s: versions %v, %v, want %s", profile, info, err, want)
				continue
			}
			if _, sensor := info.Options[ctap2.OptionBioEnroll]; sensor != (profile == "fido2.3-bio") {
				t.Errorf("profile %s: options %v", profile, info.Options)
			}
		}
		dir := shortDir(t)
		whole(t, dir, "--profile", "u2f")
		if channel, _ := client(t, dir); channel.Init().Capabilities.Has(ctaphid.CapCBOR) {
			t.Error("profile u2f says that it speaks CTAP2")
		}
	})
	t.Run("switches", func(t *testing.T) {
		dir := shortDir(t)
		whole(t, dir, "--always-uv", "--post-quantum", "--large-blob-array", "--uv", "grant")
		_, c := client(t, dir)
		info, err := c.GetInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !info.Options[ctap2.OptionAlwaysUV] || !info.Options[ctap2.OptionLargeBlobs] {
			t.Errorf("options %v", info.Options)
		}
		if _, err := c.MakeCredential(t.Context(), makeRequest(cose.MLDSA44, false)); err != nil {
			t.Errorf("ML-DSA-44: %v", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		dir := shortDir(t)
		whole(t, dir, "--no-reset-window", "--presence", "deny")
		_, c := client(t, dir)
		if err := c.Reset(t.Context()); !errors.Is(err, ctap2.ErrOperationDenied) {
			t.Errorf("reset at a key whose person refuses: %v", err)
		}
	})
	t.Run("seed", func(t *testing.T) {
		var keys [2][32]byte
		for i := range keys {
			dir := shortDir(t)
			seed := filepath.Join(dir, "seed")
			if err := os.WriteFile(seed, []byte("00112233\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			whole(t, dir, "--seed", seed)
			_, c := client(t, dir)
			made, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, false))
			if err != nil {
				t.Fatal(err)
			}
			data, err := ctap2.ParseAuthData(made.AuthData)
			if err != nil {
				t.Fatal(err)
			}
			keys[i] = sha256.Sum256(data.PublicKeyRaw)
		}
		if keys[0] != keys[1] {
			t.Error("two keys of the same seed differ")
		}
	})
	t.Run("usbip", func(t *testing.T) {
		if _, err := os.Stat("/sys/devices/platform/vhci_hcd.0"); err == nil {
			t.Skip("the kernel's device is tested in the virtual machine")
		}
		cmd := command(io.Discard, io.Discard)
		cmd.SetArgs([]string{"--usbip", "--serial", "x"})
		var failed *runError
		if err := cmd.ExecuteContext(t.Context()); !errors.As(err, &failed) || !strings.Contains(err.Error(), "vhci_hcd loaded?") {
			t.Errorf("without vhci_hcd: %v, want that it is not loaded", err)
		}
	})
	t.Run("sensor", func(t *testing.T) {
		dir := shortDir(t)
		whole(t, dir, "--profile", "fido2.3-bio")
		r := &running{control: filepath.Join(dir, "ctl")}
		if got, want := r.say(t, "sample good too-fast", "sample bogus"), "ok\nerror: unknown sample \"bogus\"\n"; got != want {
			t.Errorf("answers %q, want %q", got, want)
		}
	})
	t.Run("uhid", func(t *testing.T) {
		if _, err := os.Stat("/dev/uhid"); err == nil {
			t.Skip("the kernel's device is tested in the virtual machine")
		}
		cmd := command(io.Discard, io.Discard)
		cmd.SetArgs([]string{"--uhid", "--name", "x", "--vendor-id", "0x1209", "--product-id", "1"})
		var failed *runError
		if err := cmd.ExecuteContext(t.Context()); !errors.As(err, &failed) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without /dev/uhid: %v, want that it does not exist", err)
		}
	})
}

func TestBadState(t *testing.T) {
	dir := shortDir(t)
	state := filepath.Join(dir, "state")
	if err := os.WriteFile(state, bytes.Repeat([]byte("junk"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(io.Discard, io.Discard)
	cmd.SetArgs([]string{"--listen", filepath.Join(dir, "key"), "--state", state})
	err := cmd.ExecuteContext(t.Context())
	var failed *runError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), state) {
		t.Errorf("a damaged state file: %v, want an error that names it", err)
	}
}

// TestSignals runs main itself in a process of its own.
func TestSignals(t *testing.T) {
	dir := shortDir(t)
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := process(t, "--listen", filepath.Join(dir, "key"), "--control", filepath.Join(dir, "ctl"))
		info, err := os.Lstat(filepath.Join(dir, "key"))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("socket %v, %v, want it for its owner only", info, err)
		}
		client(t, dir)
		if err := p.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
		for _, name := range []string{"key", "ctl"} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				t.Errorf("%v leaves %s behind", signal, name)
			}
		}
	}
	p := process(t, "--listen", filepath.Join(dir, "key"), "--control", filepath.Join(dir, "ctl"))
	r := &running{control: filepath.Join(dir, "ctl")}
	began := time.Now()
	if got := r.say(t, "quit"); got != "ok\n" {
		t.Errorf("quit: %q", got)
	}
	if err := p.Wait(); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("quit: %v after %v", err, time.Since(began))
	}
}
