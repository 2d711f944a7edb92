package softkey_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
)

func TestLookingAtAKeyThatBlinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newKey(t, softkey.Config{Presence: softkey.PresenceManual})
		done := make(chan error)
		go func() { done <- c.Selection(t.Context()) }()
		synctest.Wait()
		if p := a.Waiting(); p == nil || p.Command != ctap2.CmdSelection {
			t.Errorf("the key waits for %+v, want selection", p)
		}
		began := time.Now()
		if a.Info() == nil || a.Credentials() != nil || a.CredentialCount() != 0 || len(a.AttestationCA()) == 0 {
			t.Error("the key can't be looked at")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v while the key blinks, want no time", took)
		}
		a.Touch()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPullingTheKeyOutEndsTheBlinking(t *testing.T) {
	for name, pull := range map[string]func(a *softkey.Authenticator){
		"power cycle": (*softkey.Authenticator).PowerCycle,
		"close":       func(a *softkey.Authenticator) { _ = a.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			a, c := newKey(t, softkey.Config{Presence: softkey.PresenceManual})
			done := make(chan error)
			for range 3 { // one blinks, the others wait for their turn
				go func() { done <- c.Selection(t.Context()) }()
			}
			synctest.Wait()
			began := time.Now()
			pull(a)
			for range 3 {
				wantStatus(t, <-done, ctap2.ErrKeepaliveCancel)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%s: it took %v", name, took)
			}
			go func() { done <- c.Selection(t.Context()) }()
			synctest.Wait()
			a.Touch()
			if err := <-done; err != nil {
				t.Errorf("%s: the key does not work afterwards: %v", name, err)
			}
		})
	}
}

func TestTokenOfBeforeAPowerCycleDuringATouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := pinKey(t, softkey.Config{})
		id := credentialID(t, register(t, c, nil))
		token := pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
		if err := a.SetPresence(softkey.PresenceManual, 0); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- assertWith(t, c, token, id, rpID) }()
		synctest.Wait()
		a.PowerCycle()
		wantStatus(t, <-done, ctap2.ErrKeepaliveCancel)
		wantStatus(t, assertWith(t, c, token, id, rpID), ctap2.ErrPINAuthInvalid)
	})
}

// prompts collects what OnPrompt gets.
type prompts struct {
	mu   sync.Mutex
	seen []string
}

func (p *prompts) add(prompt *softkey.Prompt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if prompt == nil {
		p.seen = append(p.seen, "end")
		return
	}
	p.seen = append(p.seen, fmt.Sprintf("%d %s", prompt.Command, prompt.RPID))
}

func (p *prompts) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func TestU2FPromptsBeginAndEnd(t *testing.T) {
	command := u2f.RegisterRequest{}.Command()
	request, err := command.Extended()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		presence softkey.Presence
		after    func(a *softkey.Authenticator) // two polls
		want     []string
	}{
		"granted at once": {softkey.PresenceGrant, func(*softkey.Authenticator) {}, []string{"0 ", "end", "0 ", "end"}},
		"denied":          {softkey.PresenceDeny, func(*softkey.Authenticator) { time.Sleep(5 * time.Second) }, nil},
		"touched": {softkey.PresenceManual, func(a *softkey.Authenticator) {
			a.Touch()
			_, _ = a.MSG(context.Background(), request, nil)
			time.Sleep(5 * time.Second)
		}, []string{"0 ", "end"}},
		"given up":   {softkey.PresenceManual, func(*softkey.Authenticator) { time.Sleep(5 * time.Second) }, []string{"0 ", "end"}},
		"pulled out": {softkey.PresenceManual, (*softkey.Authenticator).PowerCycle, []string{"0 ", "end"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p prompts
				a, _ := newKey(t, softkey.Config{Presence: test.presence, OnPrompt: p.add})
				for range 2 {
					if _, err := a.MSG(t.Context(), request, nil); err != nil {
						t.Fatal(err)
					}
					time.Sleep(600 * time.Millisecond) // patient enough
				}
				test.after(a)
				synctest.Wait()
				if got := p.take(); !slices.Equal(got, test.want) {
					t.Errorf("the prompts are %q, want %q", got, test.want)
				}
				if a.Waiting() != nil {
					t.Error("the key still blinks")
				}
			})
		})
	}
}

// TestPromptMayLook calls back from OnPrompt, which must not deadlock.
func TestPromptMayLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a *softkey.Authenticator
		prompted := 0
		cfg := softkey.Config{Presence: softkey.PresenceManual, OnPrompt: func(p *softkey.Prompt) {
			if p != nil {
				prompted++
				a.Info()
				a.Credentials()
				a.Touch()
			}
		}}
		var c *ctap2.Client
		a, c = newKey(t, cfg)
		register(t, c, resident)
		if prompted != 1 {
			t.Errorf("%d prompts, want 1", prompted)
		}
	})
}

func TestCommandsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p prompts
		_, c := newKey(t, softkey.Config{Presence: softkey.PresenceDelay, Delay: time.Second, OnPrompt: p.add})
		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _ = c.Selection(t.Context()) })
		}
		// One that is cancelled while it waits for its turn does not take one.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait()
		wantStatus(t, c.Selection(ctx), ctap2.ErrKeepaliveCancel)
		all.Wait()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("three touches of a second took %v", took)
		}
		if got := p.take(); !slices.Equal(got, []string{"11 ", "end", "11 ", "end", "11 ", "end"}) {
			t.Errorf("the prompts are %q", got)
		}
	})
}

func TestWinkIsSeen(t *testing.T) {
	a, _ := newKey(t, softkey.Config{})
	a.Wink()
	a.Wink() // nobody looks: no blocking
	select {
	case <-a.Winked():
	default:
		t.Error("a wink was not seen")
	}
}
