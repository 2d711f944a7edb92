package daemon_test

import (
	"crypto/rand"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Who may answer a prompt is the user and the session that was asked; to a question for consent, the agent itself.
func TestPromptsAreNotAnsweredByOthers(t *testing.T) {
	hers := policy.Actor{UID: 1000, PID: 10, Start: 5, User: "alice", Session: "3", Program: "agent"}
	but := func(change func(*policy.Actor)) policy.Actor {
		who := hers
		change(&who)
		return who
	}
	others := map[string]struct {
		who             policy.Actor
		plain, consents bool
	}{
		"the agent":                  {hers, true, true},
		"root":                       {policy.Actor{UID: 0, Session: "9"}, true, true},
		"another user":               {but(func(a *policy.Actor) { a.UID = 1001 }), false, false},
		"another session of hers":    {but(func(a *policy.Actor) { a.Session = "4" }), false, false},
		"a service of hers":          {but(func(a *policy.Actor) { a.Session, a.PID = "", 11 }), true, false},
		"another program of hers":    {but(func(a *policy.Actor) { a.PID = 11 }), true, false},
		"one with a used pid":        {but(func(a *policy.Actor) { a.Start = 6 }), true, false},
		"another one on the bus":     {but(func(a *policy.Actor) { a.BusName = ":1.7" }), true, false},
		"root's service, by its uid": {but(func(a *policy.Actor) { a.UID, a.PID, a.Start = 0, 1, 1 }), true, true},
	}
	for name, c := range others {
		for kind, want := range map[api.PromptKind]bool{api.PromptChoose: c.plain, api.PromptConsent: c.consents} {
			t.Run(name+", "+string(kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var desk daemon.Desk
					asked := make(chan api.Prompt, 1)
					go func() {
						_ = desk.Agent(t.Context(), hers, api.Agent{Name: "a"}, func(l api.Line) error {
							if l.Prompt != nil {
								asked <- *l.Prompt
							}
							return nil
						})
					}()
					synctest.Wait()
					program := but(func(a *policy.Actor) { a.PID, a.Program = 20, "app" })
					chosen := make(chan int, 1)
					go func() {
						i, err := daemon.AgentsOf(&desk, program).Choose(t.Context(), api.Prompt{Kind: kind, Choices: make([]api.Choice, 2)})
						if err == nil {
							chosen <- i
						}
					}()
					p := <-asked
					err := desk.Answer(c.who, p.ID, []byte("1"), false)
					synctest.Wait()
					if want != (err == nil) || want != (len(chosen) == 1) {
						t.Errorf("got %v, and %d answers", err, len(chosen))
					}
					if err != nil {
						wantCode(t, err, api.CodeNotFound) // it does not say that there is one
						if err := desk.Answer(hers, p.ID, []byte("0"), false); err != nil {
							t.Errorf("the agent, later: %v", err)
						}
					}
				})
			})
		}
	}
}

// The program that asks cannot answer, by whatever way it has learnt the name of the prompt.
func TestConsentIsNotGivenByTheOneWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ruled(t, "")
		l.plugSoftkey("k1")
		who, agent := member("mail"), member("agent")
		agent.PID, agent.Session = 4712, ""
		prompts := make(chan string, 4)
		go func() {
			_ = l.engine.Agent(l.ctx, agent, api.Agent{Name: "desk"}, func(line api.Line) error {
				if line.Prompt != nil {
					prompts <- line.Prompt.ID
				}
				return nil
			})
		}()
		l.settle()
		done := make(chan error, 1)
		go func() { done <- l.as(who, api.OpRegister, registration()) }()
		id := <-prompts
		child := who
		child.PID, child.Start = 5000, 9
		for _, a := range []policy.Actor{who, child} {
			for _, guess := range []string{id, "", rand.Text(), "1"} {
				wantCode(t, l.engine.Answer(a, guess, []byte("0"), false), api.CodeNotFound)
				wantCode(t, l.engine.Answer(a, guess, nil, true), api.CodeNotFound)
			}
		}
		if err := l.engine.Answer(agent, id, []byte("4"), false); err != nil {
			t.Fatal(err)
		}
		wantCode(t, <-done, api.CodeDenied)
	})
}

// A grant holds for the program, the user, the session and the site that it was given for, and not for who
// has the number of a process that has ended.
func TestGrantsAreNotTakenOver(t *testing.T) {
	unknown := member("mail") // whose executable cannot be known
	unknown.App = policy.App{}
	for name, c := range map[string]struct {
		given  policy.Actor
		change func(*policy.Actor)
		ok     bool
	}{
		"the program again":                {member("mail"), func(a *policy.Actor) { a.PID, a.Start = 9, 9 }, true},
		"another executable":               {member("mail"), func(a *policy.Actor) { a.App.Exe = "/home/alice/mail" }, false},
		"the same one in a sandbox":        {member("mail"), func(a *policy.Actor) { a.App.Flatpak = "org.example.Mail" }, false},
		"another session":                  {member("mail"), func(a *policy.Actor) { a.Session = "4" }, false},
		"the process that was not known":   {unknown, func(*policy.Actor) {}, true},
		"another one with its number":      {unknown, func(a *policy.Actor) { a.Start++ }, false},
		"one whose start cannot be known":  {unknown, func(a *policy.Actor) { a.Start = 0 }, false},
		"one that was never known, so far": {unknown, func(a *policy.Actor) { a.PID = 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := ruled(t, "")
				l.plugSoftkey("k1")
				var seen []api.Prompt
				l.consents(1, &seen) // for 15 minutes
				if err := l.as(c.given, api.OpRegister, registration()); err != nil {
					t.Fatal(describeError(err))
				}
				again := c.given
				c.change(&again)
				_ = l.as(again, api.OpRegister, registration())
				synctest.Wait()
				if c.ok != (len(seen) == 1) {
					t.Errorf("the person was asked %d times", len(seen))
				}
			})
		})
	}
}
