package daemon_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens/softkey"
)

const keep = 5 * time.Minute

// process is a program of alice's, in a session.
func process(pid int) policy.Actor {
	return policy.Actor{UID: alice.UID, PID: pid, Start: 7, User: "alice", Program: "manager", Session: "3"}
}

// asks runs an operation of who, and says how often it took a PIN.
func (l *lab) asks(who policy.Actor, op string, request any) int {
	l.t.Helper()
	p := always()
	if _, err := l.engine.Do(l.ctx, who, op, decoder(request), p); err != nil {
		l.t.Fatalf("%s: %s", op, describeError(err))
	}
	n := 0
	for _, kind := range p.kinds() {
		if kind == api.PromptPIN {
			n++
		}
	}
	return n
}

func keeping(t *testing.T, cfg softkey.Config) *lab {
	l := newLab(t, func(c *daemon.Config) { c.KeepTokens = keep })
	l.protected(cfg)
	return l
}

// A person gives the PIN once to a program that manages a key, not once for each thing it does.
func TestTokensAreKeptForTheProcess(t *testing.T) {
	for _, profile := range managing {
		t.Run(string(profile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := keeping(t, softkey.Config{Profile: profile})
				me := process(10)
				list := func(who policy.Actor) int { return l.asks(who, api.OpCredentialList, api.CredentialListRequest{}) }
				if n := list(me); n != 1 {
					t.Fatalf("the first time: %d PINs", n)
				}
				for range 3 {
					if n := list(me); n != 0 {
						t.Errorf("again: %d PINs", n)
					}
				}
				// Others have nothing of it, and it is not for something else.
				other, reused, foreign := process(11), process(10), process(10)
				reused.Start = 8
				foreign.UID = 0
				for name, who := range map[string]policy.Actor{"another process": other, "one with its number": reused, "root": foreign} {
					if n := list(who); n != 1 {
						t.Errorf("%s: %d PINs", name, n)
					}
				}
				unknown := policy.Actor{UID: alice.UID, User: "alice"}
				for range 2 {
					if list(unknown) != 1 {
						t.Error("a process that nobody knows has a token")
					}
				}
			})
		})
	}
}

func TestTokensAreForOnePurpose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := keeping(t, softkey.Config{Profile: softkey.ProfileFIDO21})
		me := process(10)
		l.registers(creation("alice", `"residentKey":"required"`, ``), always())
		l.asks(me, api.OpCredentialList, api.CredentialListRequest{})
		if n := l.asks(me, api.OpAssert, api.AssertRequest{Origin: origin, Options: request("required")}); n != 1 {
			t.Errorf("a signature: %d PINs", n)
		}
		// And the key has given another token by that.
		if n := l.asks(me, api.OpCredentialList, api.CredentialListRequest{}); n != 1 {
			t.Errorf("after another token: %d PINs", n)
		}
	})
}

// What ends a token.
func TestTokensEnd(t *testing.T) {
	for name, end := range map[string]func(l *lab){
		"its time":        func(*lab) { time.Sleep(keep + time.Second); synctest.Wait() },
		"lock":            func(l *lab) { l.engine.SessionLocked("3") },
		"sleep":           func(l *lab) { l.engine.SessionLocked("") },
		"another PIN":     func(l *lab) { l.asks(process(12), api.OpPINChange, api.PINChangeRequest{}) },
		"another process": func(l *lab) { l.asks(process(12), api.OpCredentialList, api.CredentialListRequest{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := keeping(t, softkey.Config{Profile: softkey.ProfileFIDO21})
				me := process(10)
				l.asks(me, api.OpCredentialList, api.CredentialListRequest{})
				if n := l.engine.Kept(); n != 1 {
					t.Fatalf("%d tokens are kept", n)
				}
				end(l)
				if n := l.engine.Kept(); name != "another process" && n != 0 {
					t.Errorf("%d tokens are left", n)
				}
				if n := l.asks(me, api.OpCredentialList, api.CredentialListRequest{}); n != 1 {
					t.Errorf("afterwards: %d PINs", n)
				}
			})
		})
	}
	t.Run("unplug", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := keeping(t, softkey.Config{Profile: softkey.ProfileFIDO21})
			l.asks(process(10), api.OpCredentialList, api.CredentialListRequest{})
			l.bus.Detach("k1")
			synctest.Wait()
			if n := l.engine.Kept(); n != 0 {
				t.Errorf("%d tokens are left", n)
			}
		})
	})
	t.Run("another session's lock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := keeping(t, softkey.Config{Profile: softkey.ProfileFIDO21})
			l.asks(process(10), api.OpCredentialList, api.CredentialListRequest{})
			l.engine.SessionLocked("4")
			if n := l.asks(process(10), api.OpCredentialList, api.CredentialListRequest{}); n != 0 {
				t.Errorf("%d PINs", n)
			}
		})
	})
}

// A key that has let go of the token itself is asked anew: no error, and no retry, is spent on that.
func TestTokenThatTheKeyHasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := keeping(t, softkey.Config{Profile: softkey.ProfileFIDO21})
		me := process(10)
		l.asks(me, api.OpCredentialList, api.CredentialListRequest{})
		// Around the daemon's book-keeping: as another program on the key would.
		l.engine.StaleTokens()
		p := &person{pins: slices.Repeat([]string{testPIN}, 2)}
		if _, err := l.engine.Do(l.ctx, me, api.OpCredentialList, decoder(api.CredentialListRequest{}), p); err != nil {
			t.Fatal(describeError(err))
		}
		if len(p.pins) != 1 {
			t.Errorf("%d PINs of 2 are left", len(p.pins))
		}
		if s := must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, nil); *s.Retries != 8 {
			t.Errorf("%d retries are left", *s.Retries)
		}
	})
}

func TestTokensAreKeptForFingerprints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := keeping(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio})
		me := process(10)
		for i, want := range []int{1, 0, 0} {
			if n := l.asks(me, api.OpFingerprintList, api.FingerprintListRequest{}); n != want {
				t.Errorf("time %d: %d PINs, want %d", i, n, want)
			}
		}
		if n := l.asks(me, api.OpCredentialList, api.CredentialListRequest{}); n != 1 {
			t.Errorf("credentials with it: %d PINs", n)
		}
	})
}
