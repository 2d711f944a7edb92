package softcodes_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/slots"
	"github.com/fobd/fobd/tokens/softcodes"
	"github.com/fobd/fobd/tokens/softkey"
)

var seed = []byte("12345678901234567890")

func files(base string) func(string) (softkey.Store, error) {
	return func(suffix string) (softkey.Store, error) { return softkey.OpenFile(base + suffix) }
}

func open(t *testing.T, cfg softcodes.Config) *softcodes.Codes {
	t.Helper()
	c, err := softcodes.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func choose(t *testing.T, c *softcodes.Codes) *oath.Session {
	t.Helper()
	s, err := oath.Select(t.Context(), c.Applet, oath.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hotp reads the next code of the only account.
func hotp(t *testing.T, c *softcodes.Codes) string {
	t.Helper()
	code, err := choose(t, c).Calculate(t.Context(), oath.Credential{ID: "h", Kind: oath.HOTP}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code.Value
}

// answers is what slot 2 says to a challenge, nil when nobody touches.
func answers(t *testing.T, c *softcodes.Codes) []byte {
	t.Helper()
	s, err := slots.Open(t.Context(), c.Slots, slots.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Respond(t.Context(), slots.Slot2, []byte("challenge"))
	if err != nil && !errors.Is(err, slots.ErrTouch) {
		t.Fatal(err)
	}
	return b
}

// Accounts, counters and slots are there again after the key was away, and not in the name of another one.
func TestCodesLast(t *testing.T) {
	base := filepath.Join(t.TempDir(), "key")
	c := open(t, softcodes.Config{Open: files(base)})
	if _, err := choose(t, c).Put(t.Context(), oath.Account{Account: "h", Params: otp.Parameters{Kind: otp.HOTP}}, seed); err != nil {
		t.Fatal(err)
	}
	s, err := slots.Open(t.Context(), c.Slots, slots.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetChallengeResponse(t.Context(), slots.Slot2, seed, false, slots.Change{}); err != nil {
		t.Fatal(err)
	}
	first := answers(t, c)
	if got := hotp(t, c); got != "755224" || c.Accounts() != 1 || c.Kind() != applet.YubiKey {
		t.Errorf("got %s of %d", got, c.Accounts())
	}
	// Another program cannot have the files.
	if _, err := softcodes.New(softcodes.Config{Open: files(base)}); !errors.Is(err, softkey.ErrStateLocked) {
		t.Errorf("got %v", err)
	}
	clone, err := c.Clone(func(context.Context) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if got := hotp(t, clone); got != "287082" {
		t.Errorf("the clone counts %s", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, softcodes.Config{Open: files(base)})
	if got := hotp(t, c); got != "287082" {
		t.Errorf("got %s", got)
	}
	if got := answers(t, c); !slices.Equal(got, first) || len(got) != 20 {
		t.Errorf("got %x, want %x", got, first)
	}
	c.Close()
	if _, err := softcodes.New(softcodes.Config{Kind: applet.NEO, Open: files(base)}); !errors.Is(err, softcodes.ErrState) {
		t.Errorf("a NEO takes a YubiKey's accounts: %v", err)
	}
}

// What is no state is refused, and stays as it is; the files that were opened are closed.
func TestBadStates(t *testing.T) {
	for suffix, records := range map[string]map[string]string{
		softcodes.AccountsSuffix: {"no JSON": "{", "another's": `{"personality":"neo","salt":"AAAAAAAAAAA="}`, "no salt": `{"personality":"yubikey"}`},
		softcodes.SlotsSuffix:    {"no JSON": "{", "a short slot": `{"slots":["AAAA",null]}`},
	} {
		for name, record := range records {
			base := filepath.Join(t.TempDir(), "key")
			store, err := softkey.OpenFile(base + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Append([]byte(record)); err != nil {
				t.Fatal(err)
			}
			store.Close()
			before, err := os.ReadFile(base + suffix)
			if err != nil {
				t.Fatal(err)
			}
			_, err = softcodes.New(softcodes.Config{Open: files(base)})
			if !errors.Is(err, softcodes.ErrState) {
				t.Errorf("%s, %s: %v", suffix, name, err)
			}
			if after, err := os.ReadFile(base + suffix); err != nil || !slices.Equal(before, after) {
				t.Errorf("%s, %s: the file was changed: %v", suffix, name, err)
			}
			if store, err = softkey.OpenFile(base + softcodes.AccountsSuffix); err != nil {
				t.Errorf("%s, %s: %v", suffix, name, err)
				continue
			}
			store.Close()
		}
	}
	refused := errors.New("no such folder")
	if _, err := softcodes.New(softcodes.Config{Open: func(string) (softkey.Store, error) { return nil, refused }}); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if _, err := softcodes.New(softcodes.Config{Kind: "abacus"}); err == nil || errors.Is(err, softcodes.ErrState) {
		t.Errorf("got %v", err)
	}
}

// A key without is a nil one.
func TestWithout(t *testing.T) {
	var c *softcodes.Codes
	c.Power(true)
	if clone, err := c.Clone(nil); err != nil || clone != nil || c.Close() != nil || c.Kind() != "" || c.Accounts() != 0 || c.OverCTAPHID() {
		t.Error("nil is a key")
	}
	for _, c := range []*softcodes.Codes{nil, open(t, softcodes.Config{})} {
		if _, err := c.Vendor(t.Context(), oath.CmdSecrets, []byte{0, 0xA1, 0, 0}, nil); !errors.Is(err, ctaphid.ErrInvalidCmd) {
			t.Errorf("got %v", err)
		}
	}
	n := open(t, softcodes.Config{Kind: applet.Nitrokey})
	if n.Slots != nil || !n.OverCTAPHID() {
		t.Error("a Nitrokey has a YubiKey's slots")
	}
	if _, err := n.Vendor(t.Context(), 0x41, nil, nil); !errors.Is(err, ctaphid.ErrInvalidCmd) {
		t.Errorf("got %v", err)
	}
	if _, err := n.Vendor(t.Context(), oath.CmdSecrets, []byte{1}, nil); !errors.Is(err, ctaphid.ErrInvalidLen) {
		t.Errorf("got %v", err)
	}
	if b, err := n.Vendor(t.Context(), oath.CmdSecrets, []byte{0, 0xA1, 0, 0}, nil); err != nil || len(b) < 2 {
		t.Errorf("%x, %v", b, err)
	}
}
