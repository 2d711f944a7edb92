package daemon_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// prompts is an agent of a test, which remembers its lines.
type prompts struct {
	cancel context.CancelFunc
	done   chan error

	mu    sync.Mutex
	lines []api.Line
}

func (l *lab) agent(who policy.Actor, name string, kinds ...api.PromptKind) *prompts {
	ctx, cancel := context.WithCancel(l.ctx)
	a := &prompts{cancel: cancel, done: make(chan error, 1)}
	go func() {
		a.done <- l.engine.Agent(ctx, who, api.Agent{Name: name, Kinds: kinds}, func(line api.Line) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.lines = append(a.lines, line)
			return nil
		})
	}()
	l.settle()
	return a
}

// leave ends the agent and returns why it says it ended.
func (a *prompts) leave() error {
	a.cancel()
	return <-a.done
}

// diary is what the agent saw, in words.
func (a *prompts) diary() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := map[string]string{}
	var words []string
	for _, l := range a.lines {
		switch {
		case l.Prompt != nil:
			names[l.Prompt.ID] = string(l.Prompt.Kind)
			words = append(words, string(l.Prompt.Kind))
		case l.Withdrawn != "":
			words = append(words, "no "+names[l.Withdrawn])
		case l.Ready:
			words = append(words, "ready")
		}
	}
	return strings.Join(words, ", ")
}

// last returns the last prompt of a kind that the agent saw.
func (a *prompts) last(t *testing.T, kind api.PromptKind) api.Prompt {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range slices.Backward(a.lines) {
		if l.Prompt != nil && l.Prompt.Kind == kind {
			return *l.Prompt
		}
	}
	t.Fatalf("the agent saw no %s prompt", kind)
	return api.Prompt{}
}

// confirmed starts an operation that asks somebody whether they agree.
func (l *lab) confirmed(t *testing.T, who policy.Actor, ui daemon.UI) *later {
	t.Helper()
	added := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "e", NoResetWindow: true}, nil)
	ctx, cancel := context.WithCancel(l.ctx)
	r := &later{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.result, r.err = l.engine.Do(ctx, who, api.OpConfigLongTouch, decoder(api.ConfigLongTouchRequest{Key: added.Key.Key}), ui)
	}()
	time.Sleep(time.Second)
	l.settle()
	return r
}

func TestAgentAnswersBeforeTheRequester(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.agent(alice, "tty")
		me := &person{}
		op := l.confirmed(t, alice, me)
		p := a.last(t, api.PromptConfirm)
		if p.Program != alice.Program || p.PID != alice.PID || p.User != alice.User || p.Deadline == "" || p.KeyName == "" {
			t.Errorf("the prompt does not say who asks: %+v", p)
		}
		for _, wrong := range []string{"", "1", "maybe"} {
			if err := l.engine.Answer(alice, p.ID, []byte(wrong), false); !errors.Is(err, &api.Error{Code: api.CodeInvalidRequest}) {
				t.Errorf("answer %q: got %v", wrong, err)
			}
		}
		bob := policy.Actor{UID: 1001, User: "bob"}
		if err := l.engine.Answer(bob, p.ID, []byte("true"), false); !errors.Is(err, &api.Error{Code: api.CodeNotFound}) {
			t.Errorf("another user's answer: got %v", err)
		}
		if err := l.engine.Answer(alice, p.ID, []byte("false"), false); err != nil {
			t.Fatal(err)
		}
		_, err := op.wait()
		wantCode(t, err, api.CodeDenied)
		if len(me.seen) != 0 {
			t.Errorf("the requester was asked too: %+v", me.seen)
		}
		l.settle()
		if got, want := a.diary(), "ready, confirm, no confirm"; got != want {
			t.Errorf("the agent saw %q, want %q", got, want)
		}
		if err := l.engine.Answer(alice, p.ID, []byte("true"), false); !errors.Is(err, &api.Error{Code: api.CodeNotFound}) {
			t.Errorf("an answer after the end: got %v", err)
		}
		if err := a.leave(); !errors.Is(err, context.Canceled) {
			t.Errorf("the agent left with %v", err)
		}
	})
}

func TestAgentIsAskedForAProgramWithoutAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		_, err := l.confirmed(t, alice, nil).wait()
		if e := wantCode(t, err, api.CodeDenied); !strings.Contains(e.Hint, "fob agent") {
			t.Errorf("the hint %q does not name fob agent", e.Hint)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.agent(alice, "notify")
		defer a.cancel()
		op := l.confirmed(t, alice, nil)
		if err := l.engine.Answer(alice, a.last(t, api.PromptConfirm).ID, nil, true); err != nil {
			t.Fatal(err)
		}
		_, err := op.wait()
		wantCode(t, err, api.CodeCancelled)
	})
}

func TestAgentThatLeavesPassesTheQuestionOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		first, second := l.agent(alice, "tty"), l.agent(alice, "exec")
		defer second.cancel()
		me := &person{refuses: true}
		op := l.confirmed(t, alice, me)
		if got := second.diary(); got != "ready" {
			t.Errorf("both are asked: %q", got)
		}
		_ = first.leave()
		l.settle()
		if got := second.diary(); got != "ready, confirm" {
			t.Errorf("the second saw %q", got)
		}
		_ = second.leave()
		_, err := op.wait()
		wantCode(t, err, api.CodeDenied)
		if len(me.seen) != 1 {
			t.Errorf("the requester saw %d prompts, want 1", len(me.seen))
		}
	})
}

func TestAgentsAreAskedInTheOrderOfTheConfiguration(t *testing.T) {
	for _, test := range []struct {
		order []string
		want  string // who is asked
	}{
		{nil, "tty"},
		{[]string{"exec"}, "exec"},
		{[]string{"other", "exec", "tty"}, "exec"},
		{[]string{daemon.Requester, "exec"}, daemon.Requester},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, func(c *daemon.Config) { c.PromptOrder = test.order })
			agents := map[string]*prompts{"tty": l.agent(alice, "tty"), "exec": l.agent(alice, "exec")}
			me := &person{refuses: true}
			op := l.confirmed(t, alice, me)
			for name, a := range agents {
				if asked := a.diary() != "ready"; asked != (name == test.want) {
					t.Errorf("order %v: %s saw %q", test.order, name, a.diary())
				}
			}
			if asked := len(me.seen) > 0; asked != (test.want == daemon.Requester) {
				t.Errorf("order %v: requester asked: %v", test.order, asked)
			}
			op.cancel()
			_, _ = op.wait()
			for _, a := range agents {
				_ = a.leave()
			}
		})
	}
}

func TestAgentServesItsUserAndSession(t *testing.T) {
	in := func(uid uint32, session string) policy.Actor {
		return policy.Actor{UID: uid, User: "u", Session: session}
	}
	for _, test := range []struct {
		agent, asks policy.Actor
		kinds       []api.PromptKind
		want        bool
	}{
		{agent: in(1000, ""), asks: in(1000, "3"), want: true},
		{agent: in(1000, "3"), asks: in(1000, ""), want: true},
		{agent: in(1000, "3"), asks: in(1000, "3"), want: true},
		{agent: in(1000, "3"), asks: in(1000, "4")},
		{agent: in(1000, "3"), asks: in(0, "3"), want: true}, // sudo
		{agent: in(1000, ""), asks: in(0, "")},
		{agent: in(1000, "3"), asks: in(0, "4")},
		{agent: in(1000, "3"), asks: in(1001, "3")},
		{agent: in(0, "3"), asks: in(1000, "3")},
		{agent: in(1000, ""), asks: in(1000, ""), kinds: []api.PromptKind{api.PromptPIN}},
		{agent: in(1000, ""), asks: in(1000, ""), kinds: []api.PromptKind{api.PromptPIN, api.PromptConfirm}, want: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var desk daemon.Desk
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			seen := 0
			go func() {
				done <- desk.Agent(ctx, test.agent, api.Agent{Name: "a", Kinds: test.kinds}, func(l api.Line) error {
					if l.Prompt != nil {
						seen++
					}
					return nil
				})
			}()
			synctest.Wait()
			asked, stop := context.WithCancel(t.Context())
			asking := make(chan error, 1)
			go func() {
				_, err := daemon.Confirm(&desk, asked, test.asks, api.Prompt{Kind: api.PromptConfirm})
				asking <- err
			}()
			synctest.Wait()
			if got := seen == 1; got != test.want {
				t.Errorf("agent %+v, asks %+v, kinds %v: asked %v", test.agent, test.asks, test.kinds, got)
			}
			stop()
			<-asking
			cancel()
			<-done
		})
	}
}

func TestAgentSeesWhatIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "e", Presence: "manual"}, nil)
		early := l.agent(alice, "early")
		op := l.start(api.OpTouch, api.TouchRequest{}, nil)
		time.Sleep(time.Second)
		late := l.agent(alice, "late")
		pins := l.agent(alice, "pins", api.PromptPIN)
		must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
		if _, err := op.wait(); err != nil {
			t.Fatal(err)
		}
		l.settle()
		for a, want := range map[*prompts]string{early: "ready, touch, no touch", late: "touch, ready, no touch", pins: "ready"} {
			if got := a.diary(); got != want {
				t.Errorf("saw %q, want %q", got, want)
			}
			_ = a.leave()
		}
	})
}

func TestAgentThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var desk daemon.Desk
		hold := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- desk.Agent(t.Context(), alice, api.Agent{Name: "a"}, func(api.Line) error {
				<-hold
				return nil
			})
		}()
		synctest.Wait()
		ui := daemon.AgentsOf(&desk, alice)
		for range 1000 {
			ui.Show(api.Prompt{ID: "p", Kind: api.PromptTouch})()
		}
		close(hold)
		if err := <-done; !errors.Is(err, &api.Error{Code: api.CodeTooMany}) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAgentNames(t *testing.T) {
	var desk daemon.Desk
	for _, a := range []api.Agent{{}, {Name: "a b"}, {Name: "ä"}, {Name: strings.Repeat("a", 33)}, {Name: daemon.Requester}, {Name: "a", Kinds: []api.PromptKind{"none"}}} {
		if err := desk.Agent(t.Context(), alice, a, nil); !errors.Is(err, &api.Error{Code: api.CodeInvalidRequest}) {
			t.Errorf("agent %+v: got %v", a, err)
		}
	}
	l := func(api.Line) error { return errors.New("enough") }
	if err := desk.Agent(t.Context(), alice, api.Agent{Name: "a"}, l); err == nil || err.Error() != "enough" {
		t.Errorf("got %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t)
		if err := lab.engine.Agent(lab.ctx, policy.Actor{UID: 7, User: "eve"}, api.Agent{Name: "a"}, l); daemon.ErrorOf(err).Code != api.CodeDenied {
			t.Errorf("a user who may not: got %v", err)
		}
		for range daemon.MaxAgents {
			lab.agent(alice, "many")
		}
		if err := lab.engine.Agent(lab.ctx, alice, api.Agent{Name: "more"}, l); !errors.Is(err, &api.Error{Code: api.CodeTooMany}) {
			t.Errorf("one more than may be: got %v", err)
		}
	})
}
