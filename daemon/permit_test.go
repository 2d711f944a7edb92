package daemon_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/softkey"
)

// ruled makes an engine whose rules are the built-in ones and more.
func ruled(t testing.TB, more string, change ...func(*daemon.Config)) *lab {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "test.cedar"), []byte(more), 0o644); err != nil {
		t.Fatal(err)
	}
	rules, err := policy.New(policy.Config{Actions: daemon.Actions(), Owner: uint32(os.Getuid()), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return newLab(t, append([]func(*daemon.Config){func(c *daemon.Config) { c.Rules = rules }}, change...)...)
}

// member is a user of the group fobd, who runs a program.
func member(program string) policy.Actor {
	return policy.Actor{
		UID: 1000, PID: 4711, Start: 1, User: "alice", Groups: ",fobd,", Program: program,
		App: policy.App{Exe: "/opt/" + program}, Session: "3", Via: "socket",
	}
}

func (l *lab) plugSoftkey(id string) {
	l.t.Helper()
	auth, err := softkey.New(softkey.Config{Seed: []byte(id)})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { auth.Close() })
	l.plug(id, auth, ctaphid.ServerConfig{Capabilities: ctaphid.CapCBOR})
}

func (l *lab) as(who policy.Actor, op string, request any) error {
	_, err := l.engine.Do(l.ctx, who, op, decoder(request), nil)
	return err
}

func registration() api.RegisterRequest {
	return api.RegisterRequest{Origin: origin, Options: creation("alice", `"userVerification":"discouraged"`, "")}
}

// A key that a rule forbids is not asked to blink, and another one serves.
func TestForbiddenKeyIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ruled(t, `@id("backup") @reason("the backup key stays in the safe") forbid (principal, action in Action::"use", resource == Key::"serial-k1");`)
		k1, k2 := newToy(), newToy()
		l.plug("k1", k1, toyServer)
		l.plug("k2", k2, toyServer)
		k2.touches <- struct{}{}
		if err := l.as(member("a"), api.OpTouch, api.TouchRequest{}); err != nil {
			t.Error(describeError(err))
		}
		if k1.blinks != 0 || k2.blinks != 1 {
			t.Errorf("the keys blinked %d and %d times", k1.blinks, k2.blinks)
		}
		e := wantCode(t, l.as(member("a"), api.OpTouch, api.TouchRequest{Key: "k1"}), api.CodeDenied)
		if !strings.Contains(e.Message, "the backup key stays in the safe") {
			t.Errorf("got %+v", e)
		}
		l.bus.Detach("k2")
		l.settle()
		wantCode(t, l.as(member("a"), api.OpTouch, api.TouchRequest{}), api.CodeDenied)
	})
}

func TestUsersOfTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ruled(t, "")
		k := newToy()
		l.plug("k1", k, toyServer)
		k.touches <- struct{}{}
		if err := l.as(member("a"), api.OpTouch, api.TouchRequest{}); err != nil {
			t.Error(describeError(err))
		}
		wantCode(t, l.as(member("a"), api.OpReset, api.ResetRequest{Key: "k1"}), api.CodeDenied)
		stranger := member("a")
		stranger.Groups = ",users,"
		wantCode(t, l.as(stranger, api.OpList, api.ListRequest{}), api.CodeDenied)
	})
}

// consents is an agent of alice that answers each question for consent with a choice.
func (l *lab) consents(choice int, seen *[]api.Prompt) {
	l.t.Helper()
	who := member("agent")
	who.PID, who.Session = 4712, "" // a service of hers, for all her sessions
	go func() {
		_ = l.engine.Agent(l.ctx, who, api.Agent{Name: "desk", Kinds: []api.PromptKind{api.PromptConsent}}, func(line api.Line) error {
			if line.Prompt != nil {
				*seen = append(*seen, *line.Prompt)
				return l.engine.Answer(who, line.Prompt.ID, []byte(strconv.Itoa(choice)), false)
			}
			return nil
		})
	}()
	l.settle()
}

func TestOriginNeedsConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ruled(t, "")
		l.plugSoftkey("k1")
		e := wantCode(t, l.as(member("mail"), api.OpRegister, registration()), api.CodeDenied)
		if !strings.Contains(e.Message, "no agent can ask") || !strings.Contains(e.Hint, "fob agent") {
			t.Errorf("without an agent: got %+v", e)
		}
		// A program that would agree for the person to what it wants itself.
		_, err := l.engine.Do(l.ctx, member("mail"), api.OpRegister, decoder(registration()), &person{})
		wantCode(t, err, api.CodeDenied)

		browser := member("firefox")
		browser.App.Exe = "/usr/lib/firefox/firefox"
		if err := l.as(browser, api.OpRegister, registration()); err != nil {
			t.Errorf("a browser: %s", describeError(err))
		}

		var seen []api.Prompt
		l.consents(4, &seen) // no
		wantCode(t, l.as(member("mail"), api.OpRegister, registration()), api.CodeDenied)
		if len(seen) != 1 || seen[0].Origin != origin || seen[0].RPID != "example.org" || seen[0].Program != "mail" || len(seen[0].Choices) != 5 ||
			seen[0].Message != "Let mail (/opt/mail) register a key for you as https://login.example.org? It is no browser that fobd knows" {
			t.Errorf("got %+v", seen)
		}
	})
}

// Of what a person agrees to for longer, the program has no more to ask; others still do.
func TestGrants(t *testing.T) {
	for choice, test := range []struct {
		span string
		ends func(l *lab)
	}{
		{"once", nil},
		{"15m", func(*lab) { time.Sleep(15 * time.Minute) }},
		{"lock", func(l *lab) { l.engine.SessionLocked("3") }},
		{"unplug", func(l *lab) { l.bus.Detach("k1"); l.settle(); l.plugSoftkey("k1") }},
	} {
		t.Run(test.span, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := ruled(t, "")
				l.plugSoftkey("k1")
				var seen []api.Prompt
				l.consents(choice, &seen)
				ask := func(who policy.Actor, want int) {
					t.Helper()
					if err := l.as(who, api.OpRegister, registration()); err != nil {
						t.Fatal(describeError(err))
					}
					l.settle()
					if len(seen) != want {
						t.Fatalf("the person was asked %d times, want %d", len(seen), want)
					}
				}
				ask(member("mail"), 1)
				if test.span == "once" {
					ask(member("mail"), 2)
					return
				}
				ask(member("mail"), 1)
				other := member("news")
				ask(other, 2)
				elsewhere := member("mail")
				elsewhere.Session = "4"
				ask(elsewhere, 3)
				l.engine.SessionLocked("5") // another one
				ask(member("mail"), 3)
				v, err := l.engine.Do(l.ctx, member("fob"), api.OpGrantList, decoder(api.GrantListRequest{}), nil)
				if err != nil {
					t.Fatal(err)
				}
				list := v.(*api.GrantListResult)
				if len(list.Grants) != 3 || list.Grants[0].RPID != "example.org" || list.Grants[0].Program != "mail" || list.Grants[0].Until == "" {
					t.Errorf("got %+v", list)
				}
				test.ends(l)
				ask(member("mail"), 4)
			})
		})
	}
}

func TestGrantsAreRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ruled(t, "")
		l.plugSoftkey("k1")
		var seen []api.Prompt
		l.consents(2, &seen)
		if err := l.as(member("mail"), api.OpRegister, registration()); err != nil {
			t.Fatal(err)
		}
		v, err := l.engine.Do(l.ctx, member("fob"), api.OpGrantList, decoder(api.GrantListRequest{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		list := v.(*api.GrantListResult).Grants
		bob := member("fob")
		bob.UID, bob.User = 1001, "bob"
		v, err = l.engine.Do(l.ctx, bob, api.OpGrantList, decoder(api.GrantListRequest{}), nil)
		if err != nil || len(v.(*api.GrantListResult).Grants) != 0 {
			t.Errorf("another user sees %+v, %v", v, err)
		}
		wantCode(t, l.as(bob, api.OpGrantRevoke, api.GrantRevokeRequest{Grant: list[0].ID}), api.CodeNotFound)
		if err := l.as(member("fob"), api.OpGrantRevoke, api.GrantRevokeRequest{Grant: list[0].ID}); err != nil {
			t.Error(describeError(err))
		}
		wantCode(t, l.as(member("fob"), api.OpGrantRevoke, api.GrantRevokeRequest{Grant: list[0].ID}), api.CodeNotFound)
		if err := l.as(member("mail"), api.OpRegister, registration()); err != nil || len(seen) != 2 {
			t.Errorf("asked %d times, %v", len(seen), err)
		}
	})
}

// Polkit is asked only where its word could change the answer.
func TestVouching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		var answer error
		l := ruled(t, "", func(c *daemon.Config) {
			c.Vouch = func(_ context.Context, who policy.Actor, what policy.Action, interactive bool) error {
				asked = append(asked, fmt.Sprint(who.User, " ", what.Operation, " ", interactive))
				return answer
			}
		})
		want := func(n int, last string) {
			t.Helper()
			if len(asked) != n || n > 0 && asked[n-1] != last {
				t.Errorf("polkit was asked %q, want %d, the last %s", asked, n, last)
			}
		}
		if err := l.as(member("a"), api.OpEmulateAdd, api.EmulateAddRequest{Name: "x"}); err != nil {
			t.Error(describeError(err))
		}
		want(1, "alice emulate-add false")
		answer = &api.Error{Code: api.CodeDenied, Message: "no"}
		wantCode(t, l.as(member("a"), api.OpEmulateRemove, api.EmulateNameRequest{Name: "x"}), api.CodeDenied)
		want(2, "alice emulate-remove false")
		interactive := member("a")
		interactive.Interactive = true
		wantCode(t, l.as(interactive, api.OpEmulateRemove, api.EmulateNameRequest{Name: "x"}), api.CodeDenied)
		want(3, "alice emulate-remove true")
		stranger := member("a")
		stranger.Groups = ""
		wantCode(t, l.as(stranger, api.OpTouch, api.TouchRequest{}), api.CodeDenied)
		want(3, "alice emulate-remove true")
		admin := member("a")
		admin.Groups = ",fobd-admin,"
		if err := l.as(admin, api.OpEmulateRemove, api.EmulateNameRequest{Name: "x"}); err != nil {
			t.Error(describeError(err))
		}
		want(3, "alice emulate-remove true")
	})
}
