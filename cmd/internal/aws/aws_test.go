package aws_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/cmd/internal/aws"
	"github.com/fobd/fobd/cmd/internal/aws/ststest"
)

const serial = "arn:aws:iam::123456789012:mfa/alice"

// files puts the two files of a configuration into place, with a stand-in for STS.
func files(t *testing.T, config, credentials string) *ststest.Server {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"config": config, "credentials": credentials} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := ststest.Start(t, &ststest.Server{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "long/term+secret", Serial: serial, Valid: func(code string) bool { return strings.HasPrefix(code, "12345") }})
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"), "AWS_ENDPOINT_URL_STS": s.URL,
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "HOME": dir,
	} {
		t.Setenv(name, value)
	}
	return s
}

const keys = "[base]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = long/term+secret\n"

func TestSessions(t *testing.T) {
	s := files(t, `
[profile base]
region = eu-central-1
mfa_serial = `+serial+`
[profile admin]
role_arn = arn:aws:iam::123456789012:role/Admin
source_profile = base
mfa_serial = `+serial+`
external_id = ext
role_session_name = me
duration_seconds = 900
`, keys)
	p, err := aws.Load(t.Context(), "base", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if user, account := p.User(); user != "alice" || account != "123456789012" || p.Region != "eu-central-1" {
		t.Errorf("%s, %s, %s", user, account, p.Region)
	}
	got, err := p.Get(t.Context(), "123450")
	if err != nil || got.AccessKeyID != "ASIAEXAMPLE1" || got.Token != "token of GetSessionToken" || time.Until(got.Expires) < 11*time.Hour {
		t.Fatalf("%v, %v", got, err)
	}
	admin, err := aws.Load(t.Context(), "admin", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err = admin.Get(t.Context(), "123451")
	if err != nil || got.Token != "token of AssumeRole" || time.Until(got.Expires) > 16*time.Minute {
		t.Fatalf("%v, %v", got, err)
	}
	r := s.Requests()[1]
	for name, want := range map[string]string{"RoleArn": "arn:aws:iam::123456789012:role/Admin", "RoleSessionName": "me", "ExternalId": "ext", "DurationSeconds": "900", "SerialNumber": serial} {
		if r.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, r.Get(name), want)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", got, got, *got, *got); strings.Contains(text, "session secret") || strings.Contains(text, "token of") {
		t.Errorf("it prints %s", text)
	}
	if p.ID() == admin.ID() {
		t.Error("two profiles have the same name in the cache")
	}
	// Refusals are STS's own words, and told once: a code is not tried again.
	if _, err := p.Get(t.Context(), "123450"); err == nil || !strings.Contains(err.Error(), "invalid MFA one time pass code") || len(s.Requests()) != 2 {
		t.Errorf("a code that was used: %v", err)
	}
	other, err := aws.Load(t.Context(), "base", "GAHT12345678", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(t.Context(), "123452"); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("another device: %v", err)
	}
	if user, _ := other.User(); user != "" {
		t.Errorf("a serial number belongs to %s", user)
	}
}

func TestWrongSecret(t *testing.T) {
	files(t, "[profile base]\nmfa_serial = "+serial+"\n", strings.Replace(keys, "long/", "wrong/", 1))
	p, err := aws.Load(t.Context(), "base", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(t.Context(), "123450"); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestProfilesThatLackSomething(t *testing.T) {
	files(t, `
[profile none]
region = x
[profile nokeys]
mfa_serial = s
[profile role]
role_arn = arn:aws:iam::1:role/R
source_profile = nowhere
mfa_serial = s
[profile session]
mfa_serial = s
`, "[session]\naws_access_key_id = A\naws_secret_access_key = B\naws_session_token = C\n")
	for name, want := range map[string]string{
		"none": "no mfa_serial", "nokeys": "no aws_access_key_id", "role": "nowhere", "session": "a session already", "missing": "missing",
	} {
		if _, err := aws.Load(t.Context(), name, "", 0); !errors.Is(err, aws.ErrProfile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCache(t *testing.T) {
	dir, run := t.TempDir(), t.TempDir()
	open := func() *aws.Cache {
		t.Helper()
		c, err := aws.OpenCache(filepath.Join(dir, "c"), filepath.Join(run, "k", "key"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	now := time.Now()
	s := &aws.Session{AccessKeyID: "ASIA", SecretAccessKey: "hush", Token: "t", Expires: now.Add(time.Hour)}
	if err := c.Save("one", s); err != nil {
		t.Fatal(err)
	}
	if got := open().Load("one", now); got == nil || got.SecretAccessKey != "hush" {
		t.Errorf("got %v", got)
	}
	if got := c.Load("one", now.Add(56*time.Minute)); got != nil {
		t.Error("a session is given that ends in a moment")
	}
	if got := c.Load("two", now); got != nil {
		t.Error("something of nothing")
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "c", "one.session"))
	if err != nil || strings.Contains(string(sealed), "hush") {
		t.Errorf("not sealed: %v", err)
	}
	// Not under another name, not changed, not cut off.
	for name, data := range map[string][]byte{"two": sealed, "one": append([]byte{sealed[0] ^ 1}, sealed[1:]...), "three": sealed[:20]} {
		if err := os.WriteFile(filepath.Join(dir, "c", name+".session"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.Load(name, now) != nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, path := range []string{filepath.Join(dir, "c", "one.session"), filepath.Join(run, "k", "key")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	// A new login has another key.
	if err := os.Remove(filepath.Join(run, "k", "key")); err != nil {
		t.Fatal(err)
	}
	if err := c.Save("one", s); err != nil {
		t.Fatal(err)
	}
	if open().Load("one", now) != nil {
		t.Error("a session outlives its key")
	}
	if !c.Used("a").IsZero() {
		t.Error("used before")
	}
	if ok, err := c.Spend(t.Context(), "a", now); err != nil || !ok || !c.Used("a").Equal(now.Truncate(time.Second)) {
		t.Errorf("%t, %v, %v", ok, err, c.Used("a"))
	}
	if err := os.WriteFile(filepath.Join(run, "k", "key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := aws.OpenCache(dir, filepath.Join(run, "k", "key")); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a short key: %v", err)
	}
}

// Of many that want the same session one gets it, and the others what it got.
func TestOneAsks(t *testing.T) {
	c, err := aws.OpenCache(t.TempDir(), filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := c.Lock(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Lock(ctx, "id"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var second atomic.Bool
	done := make(chan error)
	go func() {
		unlock, err := c.Lock(t.Context(), "id")
		second.Store(true)
		if err == nil {
			unlock()
		}
		done <- err
	}()
	if second.Load() {
		t.Error("two have the lock")
	}
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A code is spent once, by however many profiles at the same time.
func TestCodesAreSpentOnce(t *testing.T) {
	dir, key := t.TempDir(), filepath.Join(t.TempDir(), "key")
	now := time.Now().Truncate(time.Second)
	for step := range 5 {
		var wg sync.WaitGroup
		var spent atomic.Int32
		for range 16 {
			wg.Go(func() {
				c, err := aws.OpenCache(dir, key)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				ok, err := c.Spend(t.Context(), "alice", now.Add(time.Duration(step)*time.Second))
				if err != nil {
					t.Error(err)
				}
				if ok {
					spent.Add(1)
				}
			})
		}
		wg.Wait()
		if n := spent.Load(); n != 1 {
			t.Errorf("step %d: spent %d times", step, n)
		}
	}
}
