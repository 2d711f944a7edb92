package dbusapi_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
)

// shown waits for a prompt that an agent gets.
func (p *program) shown(name string, kind api.PromptKind) api.Prompt {
	p.t.Helper()
	for {
		s := p.hears("AgentPrompt", dbusapi.Root)
		var got api.Prompt
		text, _ := s.Body[1].(string)
		if s.Body[0] != name || json.Unmarshal([]byte(text), &got) != nil {
			p.t.Fatalf("got %q", s.Body)
		}
		if got.Kind == kind {
			return got
		}
	}
}

func TestAgent(t *testing.T) {
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a"})
	agent, other := l.program(), l.program()
	register := func(p *program, name string, kinds ...string) error {
		return p.root.Call(dbusapi.ManagerInterface+".RegisterAgent", 0, name, kinds).Err
	}
	if err := register(agent, "desk"); err != nil {
		t.Fatal(err)
	}
	if s := agent.hears("AgentReady", dbusapi.Root); s.Body[0] != "desk" {
		t.Errorf("got %v", s.Body)
	}
	if got := errorName(register(agent, "desk")); got != dbusapi.ErrorPrefix+"Conflict" {
		t.Errorf("the same name again: got %s", got)
	}
	if got := errorName(register(other, "x", "no-such-kind")); got != dbusapi.ErrorPrefix+"InvalidRequest" {
		t.Errorf("a kind that there is not: got %s", got)
	}

	// A program without a person behind it, such as one on the socket.
	ended := make(chan error, 1)
	go func() {
		_, err := l.engine.Do(context.Background(), self(), api.OpPINSet, decoder(api.PINSetRequest{}), nil)
		ended <- err
	}()
	prompt := agent.shown("desk", api.PromptNewPIN)
	answer := func(p *program, pin string) error {
		return p.root.Call(dbusapi.ManagerInterface+".AnswerPrompt", 0, prompt.ID, pipe(t, pin)).Err
	}
	if got := errorName(answer(other, "654321")); got != dbusapi.ErrorPrefix+"NotFound" {
		t.Errorf("a program that is no agent answers: got %s", got)
	}
	if err := answer(agent, "123456"); err != nil {
		t.Fatal(err)
	}
	if s := agent.hears("AgentWithdrawn", dbusapi.Root); s.Body[1] != prompt.ID {
		t.Errorf("got %v, want %s withdrawn", s.Body, prompt.ID)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	if err := agent.root.Call(dbusapi.ManagerInterface+".UnregisterAgent", 0, "desk").Err; err != nil {
		t.Fatal(err)
	}
	if s := agent.hears("AgentReleased", dbusapi.Root); s.Body[0] != "desk" {
		t.Errorf("got %v", s.Body)
	}
	if got := errorName(agent.root.Call(dbusapi.ManagerInterface+".UnregisterAgent", 0, "desk").Err); got != dbusapi.ErrorPrefix+"NotFound" {
		t.Errorf("unregistered twice: got %s", got)
	}
	_, err := l.engine.Do(t.Context(), self(), api.OpPINChange, decoder(api.PINChangeRequest{}), nil)
	if e := daemon.ErrorOf(err); e.Code != api.CodePINRequired {
		t.Errorf("without agents: got %v", err)
	}
}
