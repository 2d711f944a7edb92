package dbusapi

import (
	"context"
	"slices"
	"sync"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
)

// agent is a program that shows prompts of its user's operations.
type agent struct {
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	prompts map[string]api.PromptKind
}

var agentMethods = []method{
	{
		name: "RegisterAgent", doc: "Get the prompts of the user's operations, of the given kinds or of all, until UnregisterAgent or until the caller leaves the bus. They come as signals, beginning with those that are shown now.",
		in: []arg{{"name", "s"}, {"kinds", "as"}}, run: (*call).registerAgent,
	},
	{
		name: "UnregisterAgent", doc: "Get no more prompts by this name.",
		in: []arg{{"name", "s"}}, run: (*call).unregisterAgent,
	},
	{
		name: "AnswerPrompt", doc: "Answer, as an agent, a prompt of the kind pin or new-pin. The PIN is read from a pipe, a socket or a memfd to its end, at most 255 bytes.",
		in: []arg{{"prompt_id", "s"}, {"pin", "h"}}, run: func(c *call) ([]any, error) { return nil, c.answer(agentsOf(c), nil) },
	},
	{
		name: "ChoosePrompt", doc: "Answer, as an agent, a prompt of the kind choose with the index of a choice, from 0.",
		in: []arg{{"prompt_id", "s"}, {"index", "u"}}, run: func(c *call) ([]any, error) { return nil, c.answer(agentsOf(c), choice) },
	},
	{
		name: "ConfirmPrompt", doc: "Answer, as an agent, a prompt of the kind confirm.",
		in: []arg{{"prompt_id", "s"}, {"yes", "b"}}, run: func(c *call) ([]any, error) { return nil, c.answer(agentsOf(c), consent) },
	},
	{
		name: "GiveUpPrompt", doc: "Say, as an agent, that the person gives up at a prompt.",
		in: []arg{{"prompt_id", "s"}}, run: func(c *call) ([]any, error) { return nil, c.answer(agentsOf(c), resign) },
	},
}

var agentSignals = []signal{
	{"AgentPrompt", "A prompt as JSON, for the agent of that name. To it alone.", []arg{{"name", "s"}, {"prompt", "s"}}},
	{"AgentWithdrawn", "A prompt is over. To the agent alone.", []arg{{"name", "s"}, {"prompt_id", "s"}}},
	{"AgentReady", "What was shown before the agent came has been sent. To it alone.", []arg{{"name", "s"}}},
	{"AgentReleased", "The agent gets no more prompts; the error as JSON. To it alone.", []arg{{"name", "s"}, {"error", "s"}}},
}

// registerAgent answers when the engine has taken the agent, and sends its first prompts after that.
func (c *call) registerAgent() ([]any, error) {
	name, _ := c.msg.Body[0].(string)
	kinds, _ := c.msg.Body[1].([]string)
	about := api.Agent{Name: name}
	for _, kind := range kinds {
		about.Kinds = append(about.Kinds, api.PromptKind(kind))
	}
	who, err := c.from.identify()
	if err != nil {
		return nil, err
	}
	s, from := c.s, c.from
	ctx, cancel := context.WithCancelCause(c.ctx)
	a := &agent{cancel: cancel, prompts: map[string]api.PromptKind{}}
	s.mu.Lock()
	_, taken := from.agents[name]
	closing := s.closing
	if !taken && !closing {
		from.agents[name] = a
		s.running.Add(1)
	}
	s.mu.Unlock()
	switch {
	case closing:
		cancel(nil)
		return nil, errStopping
	case taken:
		cancel(nil)
		return nil, &api.Error{Code: api.CodeConflict, Message: "the program is an agent by this name already"}
	}
	taking := make(chan struct{})  // the engine has the agent
	replied := make(chan struct{}) // prompts may follow
	refused := make(chan error, 1)
	go func() {
		defer s.running.Done()
		defer cancel(nil)
		began := sync.OnceFunc(func() {
			close(taking)
			<-replied
		})
		err := s.engine.Agent(ctx, who, about, func(l api.Line) error {
			began()
			a.send(s, from, name, l)
			return nil
		})
		s.mu.Lock()
		delete(from.agents, name)
		s.mu.Unlock()
		refused <- err
		select {
		case <-taking:
			s.tell(from, Root, ManagerInterface+".AgentReleased", name, encode(daemon.ErrorOf(cause(ctx, err))))
		default:
		}
	}()
	select {
	case <-taking:
		c.reply()
		close(replied)
		return nil, nil
	case err := <-refused:
		return nil, cause(ctx, err)
	}
}

// send gives a line to the agent.
func (a *agent) send(s *Server, from *caller, name string, l api.Line) {
	switch {
	case l.Prompt != nil:
		a.mu.Lock()
		a.prompts[l.Prompt.ID] = l.Prompt.Kind
		a.mu.Unlock()
		s.tell(from, Root, ManagerInterface+".AgentPrompt", name, encode(l.Prompt))
	case l.Withdrawn != "":
		a.mu.Lock()
		delete(a.prompts, l.Withdrawn)
		a.mu.Unlock()
		s.tell(from, Root, ManagerInterface+".AgentWithdrawn", name, l.Withdrawn)
	case l.Ready:
		s.tell(from, Root, ManagerInterface+".AgentReady", name)
	}
}

// errUnregistered is why an agent ends that wants to.
var errUnregistered = &api.Error{Code: api.CodeCancelled, Message: "the agent unregistered"}

func (c *call) unregisterAgent() ([]any, error) {
	name, _ := c.msg.Body[0].(string)
	c.s.mu.Lock()
	a := c.from.agents[name]
	c.s.mu.Unlock()
	if a == nil {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "the program is no agent by this name"}
	}
	a.cancel(errUnregistered)
	return nil, nil
}

// agents are all that one caller is.
type agents []*agent

func agentsOf(c *call) agents {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var all agents
	for _, a := range c.from.agents {
		all = append(all, a)
	}
	return slices.Clip(all)
}

func (all agents) kind(id string) api.PromptKind {
	for _, a := range all {
		a.mu.Lock()
		kind := a.prompts[id]
		a.mu.Unlock()
		if kind != "" {
			return kind
		}
	}
	return ""
}
