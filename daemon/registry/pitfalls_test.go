package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// Mistakes that other validating servers were seen to make. Those of reading codes are in tokens/otp's tests, those of
// files in tokens/seedfile's.
func TestPitfalls(t *testing.T) {
	for _, p := range []struct {
		name string
		test func(l *lab)
	}{
		{"liboath: the length of what is typed decides the number of digits", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			p := d.key.Parameters()
			p.Digits = 8
			long, err := otp.NewKey(p, append([]byte("T-"), secret...))
			if err != nil {
				l.t.Fatal(err)
			}
			step, _ := p.Step(l.now)
			l.refuses("alice", long.Code(step), registry.Wrong)
			l.accepts("alice", d.code(0), "T")
		}},
		{"privacyIDEA: the window lacks its upper edge", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			l.sleep(time.Hour)
			l.accepts("alice", d.code(1), "T")
		}},
		{"privacyIDEA: resynchronisation takes the code that was used last", func(l *lab) {
			d := l.device("H", otp.Parameters{Kind: otp.HOTP})
			l.enroll("alice", d)
			used := d.code(0)
			l.accepts("alice", used, "H")
			if _, err := l.Resync(l.t.Context(), "H", used, d.code(1)); !errors.Is(err, registry.ErrWrong) {
				l.t.Errorf("got %v", err)
			}
		}},
		{"privacyIDEA: resynchronisation burns a good step", func(l *lab) {
			d := l.device("H", otp.Parameters{Kind: otp.HOTP})
			l.enroll("alice", d)
			if _, err := l.Resync(l.t.Context(), "H", d.code(40), d.code(41)); err != nil {
				l.t.Fatal(err)
			}
			if next := l.token("H").Next; next != d.counter+42 {
				l.t.Errorf("goes on with %d, want %d", next, d.counter+42)
			}
			l.accepts("alice", d.code(42), "H")
		}},
		{"privacyIDEA: one far code today and the next one tomorrow resynchronise", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			l.sleep(time.Hour)
			l.refuses("alice", d.code(40), registry.Wrong)
			l.refuses("alice", d.code(41), registry.Wrong)
			l.refuses("alice", d.code(42), registry.Wrong)
			if k := l.token("T"); k.Drift != 0 {
				l.t.Errorf("drift %d", k.Drift)
			}
		}},
		{"LinOTP: resynchronisation has a limit", func(l *lab) {
			d := l.device("H", otp.Parameters{Kind: otp.HOTP})
			l.enroll("alice", d)
			if _, err := l.Resync(l.t.Context(), "H", d.code(5000), d.code(5001)); !errors.Is(err, registry.ErrWrong) {
				l.t.Errorf("got %v", err)
			}
		}},
		{"Vault: a wrong code counts as used", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			l.sleep(time.Hour)
			soon := d.code(2)
			l.refuses("alice", soon, registry.Wrong)
			l.sleep(time.Minute)
			l.accepts("alice", soon, "T")
		}},
		{"Vault: what is typed decides whether a code was used", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			l.sleep(time.Hour)
			code := d.code(0)
			l.accepts("alice", code, "T")
			for _, same := range []string{" " + code, code + "\n", code[:3] + " " + code[3:], code[:3] + "-" + code[3:]} {
				l.refuses("alice", same, registry.Replayed)
			}
		}},
		{"Vault: a restart forgets what was used", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			code := d.code(0)
			l.accepts("alice", code, "T")
			l.restart()
			l.refuses("alice", code, registry.Replayed)
		}},
		{"Vault: nobody slows down who guesses", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			l.sleep(time.Hour)
			for n := range 4 {
				l.refuses("alice", d.code(int64(100+n)), registry.Wrong)
			}
			l.refuses("alice", d.code(0), registry.Throttled)
		}},
		{"RFC 6030, figure 10: the same seed under two serial numbers is told", func(l *lab) {
			seeds := []registry.Seed{
				{Serial: "A", Params: otp.Parameters{Kind: otp.HOTP}.Default(), Secret: secret},
				{Serial: "B", Params: otp.Parameters{Kind: otp.HOTP}.Default(), Secret: secret},
			}
			lines, err := l.Import(l.t.Context(), seeds, registry.ImportOptions{})
			if err != nil || lines[1].SameSeed != "A" {
				l.t.Errorf("%+v, %v", lines, err)
			}
		}},
		{"SafeWord: time does not begin in 1970", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP, Epoch: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()})
			l.enroll("alice", d)
			l.accepts("alice", d.code(0), "T")
		}},
		{"pquerna: before the first step the counter is 2^64-1", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP, Epoch: start.Unix() + 3600})
			if _, err := l.Enroll(l.t.Context(), "alice", "T", d.key.Code(^uint64(0)), d.key.Code(0)); !errors.Is(err, registry.ErrWrong) {
				l.t.Errorf("got %v", err)
			}
			if k := l.token("T"); k.State != store.Imported || k.Next != 0 {
				l.t.Errorf("%+v", k)
			}
		}},
		{"RFC 4226: counters have 64 bits", func(l *lab) {
			first := uint64(1)<<40 + 5
			lines, err := l.Import(l.t.Context(), []registry.Seed{{Serial: "H", Params: otp.Parameters{Kind: otp.HOTP}.Default(), Secret: secret, Counter: first}}, registry.ImportOptions{})
			if err != nil || lines[0].Verdict != registry.Added {
				l.t.Fatalf("%+v, %v", lines, err)
			}
			key, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP}.Default(), secret)
			if err != nil {
				l.t.Fatal(err)
			}
			if _, err := l.Enroll(l.t.Context(), "alice", "H", key.Code(first), key.Code(first+1)); err != nil {
				l.t.Fatal(err)
			}
			l.accepts("alice", key.Code(first+2), "H")
		}},
		{"unknown user and wrong code have one answer", func(l *lab) {
			d := l.device("T", otp.Parameters{Kind: otp.TOTP})
			l.enroll("alice", d)
			_, wrong := l.Verify(l.t.Context(), "alice", "000000")
			_, unknown := l.Verify(l.t.Context(), "mallory", d.code(0))
			if fmt.Sprint(wrong) != fmt.Sprint(unknown) || strings.Contains(fmt.Sprint(unknown), "mallory") {
				l.t.Errorf("%v, %v", wrong, unknown)
			}
		}},
	} {
		t.Run(p.name, func(t *testing.T) { both(t, p.test) })
	}
}
