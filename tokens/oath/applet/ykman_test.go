package applet_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/pcsctest"
)

// judge runs vendors' and others' programs against an emulated device behind the real pcscd.
type judge struct {
	t     *testing.T
	stack *pcsctest.Stack
	home  string
}

func newJudge(t *testing.T, card *applet.Applet, programs ...string) *judge {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	j := &judge{t, pcsctest.Start(t), t.TempDir()}
	j.stack.Insert(card.Slot())
	return j
}

// run gives what a program prints, and whether it says that it succeeded.
func (j *judge) run(input, name string, args ...string) (string, bool) {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(j.t.Context(), 60*time.Second)
	defer cancel()
	cmd := j.stack.Command(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+j.home, "XDG_CONFIG_HOME="+j.home, "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// ykman runs ykman oath, which must succeed and print what the pattern says.
func (j *judge) ykman(pattern string, args ...string) string {
	j.t.Helper()
	out, ok := j.run("", "ykman", append([]string{"--reader", pcsctest.Reader, "oath"}, args...)...)
	if !ok || !regexp.MustCompile(pattern).MatchString(out) {
		j.t.Errorf("ykman oath %s: want %q:\n%s", strings.Join(args, " "), pattern, out)
	}
	return out
}

// refused runs ykman oath, which must fail with words of the pattern.
func (j *judge) refused(pattern string, args ...string) {
	j.t.Helper()
	out, ok := j.run("", "ykman", append([]string{"--reader", pcsctest.Reader, "oath"}, args...)...)
	if ok || !regexp.MustCompile(pattern).MatchString(out) {
		j.t.Errorf("ykman oath %s: want to be refused with %q:\n%s", strings.Join(args, " "), pattern, out)
	}
}

const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// All commands of Yubico's own program, against the emulated YubiKey.
func TestYkman(t *testing.T) {
	card, err := applet.New(applet.Config{Serial: 12345678, Capacity: 6})
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, card, "ykman")
	j.ykman(`OATH version:\s+5\.4\.3\s+Password protection:\s+disabled`, "info")
	j.ykman(``, "accounts", "uri", "otpauth://totp/Example:alice?secret="+seed+"&issuer=Example")
	j.ykman(``, "accounts", "add", "--oath-type", "HOTP", "--counter", "0", "counter", seed)
	j.ykman(``, "accounts", "add", "--algorithm", "SHA512", "--digits", "8", "--period", "60", "--issuer", "Big", "bob", strings.Repeat(seed, 3))
	j.ykman(``, "accounts", "add", "--touch", "touched", seed)
	j.ykman(``, "accounts", "add", "Steam:gamer", seed)
	j.ykman(`(?s)Big:bob.*counter.*Example:alice.*Steam:gamer.*touched`, "accounts", "list")
	j.ykman(`Example:alice, TOTP`, "accounts", "list", "--oath-type")
	j.ykman(`60`, "accounts", "list", "--period")
	// RFC 4226, appendix D.
	j.ykman(`^755224\n$`, "accounts", "code", "--single", "counter")
	j.ykman(`^287082\n$`, "accounts", "code", "--single", "counter")
	j.ykman(`^[2-9BCDFGHJKMNPQRTVWXY]{5}\n$`, "accounts", "code", "--single", "Steam")
	j.ykman(`^\d{8}\n$`, "accounts", "code", "--single", "bob")
	j.ykman(`(?s)\d{6}\n$`, "accounts", "code", "--single", "touched")
	all := j.ykman(`(?s)Big:bob\s+\d{8}.*counter\s+\[HOTP Account\].*Example:alice\s+\d{6}.*Steam:gamer\s+\w{5}.*touched\s+\[Requires Touch\]`, "accounts", "code")
	// Our client reads the same codes over the same way.
	reads := j.readings()
	for name, code := range reads {
		if !strings.Contains(all, code) && !strings.Contains(j.ykman(``, "accounts", "code"), code) {
			t.Errorf("we read %s for %s, ykman:\n%s", code, name, all)
		}
	}
	if len(reads) != 3 {
		t.Errorf("we read %d codes, want 3", len(reads))
	}

	j.ykman(``, "accounts", "rename", "--force", "Example:alice", "Elsewhere:alice")
	j.ykman(`Elsewhere:alice`, "accounts", "list")
	j.ykman(``, "accounts", "delete", "--force", "Elsewhere:alice")
	j.ykman(`No matches`, "accounts", "delete", "--force", "Elsewhere:alice")

	// The access code, remembered and forgotten.
	j.ykman(``, "access", "change", "--new-password", "sesame")
	j.ykman(`Password protection:\s+enabled`, "info")
	j.refused(`(?i)password|authentication`, "accounts", "list", "--password", "wrong")
	j.ykman(`counter`, "accounts", "list", "--password", "sesame")
	j.ykman(``, "access", "remember", "--password", "sesame")
	j.ykman(`counter`, "accounts", "list")
	j.ykman(``, "access", "forget")
	j.ykman(``, "access", "change", "--password", "sesame", "--clear")
	j.ykman(`Password protection:\s+disabled`, "info")

	// It is full when a YubiKey is.
	for n := range 6 - 4 {
		j.ykman(``, "accounts", "add", fmt.Sprintf("more%02d", n), seed)
	}
	j.refused(`(?i)no (more )?space|full`, "accounts", "add", "toomuch", seed)
	j.ykman(``, "reset", "--force")
	if out := j.ykman(``, "accounts", "list"); strings.TrimSpace(out) != "" {
		t.Errorf("after a reset: %s", out)
	}
	if out, ok := j.run("", "ykman", "--reader", pcsctest.Reader, "info"); !ok || !strings.Contains(out, "12345678") || !strings.Contains(out, "5.4.3") {
		t.Errorf("ykman info:\n%s", out)
	}
}

// readings are the codes that this project's own client reads.
func (j *judge) readings() map[string]string {
	j.t.Helper()
	card, err := j.stack.Client().Connect(j.t.Context(), pcsctest.Reader, pcsc.ConnectOptions{})
	if err != nil {
		j.t.Fatal(err)
	}
	defer card.Close()
	codes := map[string]string{}
	err = card.Transaction(j.t.Context(), func(ctx context.Context) error {
		s, err := oath.Select(ctx, card, oath.Options{})
		if err != nil {
			return err
		}
		list, err := s.CalculateAll(ctx, time.Now())
		for _, r := range list {
			if r.Code.Value != "" {
				codes[r.Name()] = r.Code.Value
			}
		}
		return err
	})
	if err != nil {
		j.t.Fatal(err)
	}
	return codes
}

// pcsc_scan sees a card, and knows what its answer to reset means.
func TestPCSCScan(t *testing.T) {
	card, err := applet.New(applet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, card, "pcsc_scan")
	out, _ := j.run("", "timeout", "3", "pcsc_scan", "-n")
	if !strings.Contains(out, "Virtual PCD 00 00") || !strings.Contains(out, "Card inserted") || !strings.Contains(out, "ATR:") {
		t.Errorf("pcsc_scan:\n%s", out)
	}
}
