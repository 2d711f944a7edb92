package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// ocra is a token that answers challenges, which belongs to alice.
func (l *lab) ocra(serial, suite string) *otp.OCRAKey {
	l.t.Helper()
	seed := append([]byte(serial+"-"), secret...)
	if _, err := l.Import(l.t.Context(), []registry.Seed{{Serial: serial, Params: otp.Parameters{Kind: otp.OCRA, Suite: suite}, Secret: seed}}, registry.ImportOptions{}); err != nil {
		l.t.Fatal(err)
	}
	if err := l.Assign(l.t.Context(), serial, "alice"); err != nil {
		l.t.Fatal(err)
	}
	k, err := otp.NewOCRA(suite, seed)
	if err != nil {
		l.t.Fatal(err)
	}
	return k
}

func TestChallenges(t *testing.T) {
	for _, suite := range []string{"OCRA-1:HOTP-SHA1-6:QN08", "OCRA-1:HOTP-SHA512-8:C-QA10", "OCRA-1:HOTP-SHA256-8:QH10-T1M", "OCRA-1:HOTP-SHA256-0:QN08"} {
		t.Run(suite, func(t *testing.T) {
			both(t, func(l *lab) {
				ctx := l.t.Context()
				k := l.ocra("O", suite)
				counter := uint64(0)
				ask := func() (string, string) {
					l.t.Helper()
					q, _, err := l.Challenge(ctx, "O")
					if err != nil {
						l.t.Fatal(err)
					}
					code, err := k.Code(otp.Input{Question: q, Counter: counter, Time: l.now})
					if err != nil {
						l.t.Fatal(err)
					}
					return q, code
				}
				answer := func(code string, want registry.Outcome) {
					l.t.Helper()
					r, err := l.Answer(ctx, "O", code)
					if r.Outcome != want || (err == nil) != (want == registry.Accepted) || err != nil && !errors.Is(err, registry.ErrWrong) {
						l.t.Errorf("got %+v, %v, want %s", r, err, want)
					}
				}
				answer("123456", registry.Wrong) // nothing was asked
				_, code := ask()
				answer("000000", registry.Wrong) // mistyped
				answer(code, registry.Accepted)
				answer(code, registry.Wrong) // once
				if got, _ := l.Token(ctx, "O"); got.State != store.Active {
					l.t.Errorf("it is %s", got.State)
				}
				counter += 3 // pressed without being asked
				_, code = ask()
				answer(code, registry.Accepted)
				_, code = ask()
				counter++
				l.sleep(6 * time.Minute)
				answer(code, registry.Wrong) // too late
				first, _ := ask()
				second, code := ask()
				if first == second {
					l.t.Error("the same question twice")
				}
				answer(code, registry.Accepted)
			})
		})
	}
}

func TestChallengesAreNotForAll(t *testing.T) {
	both(t, func(l *lab) {
		l.ocra("P", "OCRA-1:HOTP-SHA1-6:QN08-PSHA1")
		l.enroll("alice", l.device("H", otp.Parameters{Kind: otp.HOTP}))
		for _, serial := range []string{"P", "H"} {
			if _, _, err := l.Challenge(l.t.Context(), serial); !errors.Is(err, registry.ErrState) {
				l.t.Errorf("%s: %v", serial, err)
			}
		}
		if _, _, err := l.Challenge(l.t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
			l.t.Errorf("a token that is not there: %v", err)
		}
	})
}
