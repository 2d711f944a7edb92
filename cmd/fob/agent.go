package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/cmd/internal/notify"
	"github.com/fobd/fobd/cmd/internal/pinentry"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// The waits between attempts to reach a daemon that is not there: doubled from the first to the last.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// agentKind is one way to reach the person.
type agentKind struct {
	name  string
	kinds []api.PromptKind // nil: all
	ui    client.Prompter
	close func()
}

func (a *app) agentCommand() *cobra.Command {
	var tty, desktop bool
	var dialogue, program string
	var kinds []string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Show and answer prompts of all your programs",
		Long: `agent shows what fobd wants of you, whichever program asked: touch the key, enter its PIN,
choose an account, agree. It goes on until Ctrl-C, over restarts of the daemon. Several ways can be
given at once; the daemon's prompts.order says which of them is asked, and --tty, --notify,
--pinentry and --exec go by these names there. Without an agent, programs ask at their own terminal.

--exec runs PROGRAM for each prompt, with the prompt as JSON on its standard input. For a question,
what it prints is the answer: the PIN, the index of a choice from 0, true or false; a status other
than 0 gives up. It gets SIGTERM when the prompt is over.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			only, err := promptKinds(kinds)
			if err != nil {
				return err
			}
			if a.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, a.timeout, errTimeout)
				defer cancel()
			}
			var agents []agentKind
			if tty {
				screen := newScreen(a.err, ttyPINs{})
				agents = append(agents, agentKind{name: "tty", ui: screen, close: screen.close})
			}
			if desktop {
				n, err := notify.Dial(ctx)
				if err != nil {
					return &api.Error{Code: api.CodeUnsupported, Message: err.Error(), Hint: "run it in a desktop session, or use --tty"}
				}
				agents = append(agents, agentKind{name: "notify", kinds: n.Kinds(), ui: n, close: n.Close})
			}
			if dialogue != "" {
				agents = append(agents, agentKind{name: "pinentry", kinds: pinentry.Kinds(), ui: &pinentry.Prompter{Program: dialogue}})
			}
			if program != "" {
				e := &execPrompter{program: program, err: a.err}
				agents = append(agents, agentKind{name: "exec", ui: e, close: e.close})
			}
			if len(agents) == 0 {
				return usagef("say how to reach you: --tty, --notify, --pinentry or --exec")
			}
			return a.serveAgents(ctx, agents, only)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&tty, "tty", false, "show prompts on this terminal")
	f.BoolVar(&desktop, "notify", false, "show prompts as notifications of the desktop")
	f.StringVar(&dialogue, "pinentry", "", "ask for PINs and consent with this pinentry `program`")
	f.Lookup("pinentry").NoOptDefVal = "pinentry"
	f.StringVar(&program, "exec", "", "run this `program` for each prompt")
	f.StringSliceVar(&kinds, "kinds", nil, "take only these `kinds` of prompts: "+strings.Join(kindNames(), ", "))
	return cmd
}

func kindNames() []string {
	var names []string
	for _, kind := range api.PromptKinds() {
		names = append(names, string(kind))
	}
	return names
}

func promptKinds(names []string) (kinds []api.PromptKind, err error) {
	for _, name := range names {
		if !slices.Contains(api.PromptKinds(), api.PromptKind(name)) {
			return nil, usagef("--kinds: there is no kind %q of prompts; there are %s", name, strings.Join(kindNames(), ", "))
		}
		kinds = append(kinds, api.PromptKind(name))
	}
	return kinds, nil
}

// serveAgents runs agents until ctx ends or one of them cannot go on.
func (a *app) serveAgents(ctx context.Context, agents []agentKind, only []api.PromptKind) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := client.New(a.socket)
	defer c.Close()
	var wg sync.WaitGroup
	for _, agent := range agents {
		about := api.Agent{Name: agent.name, Kinds: agent.kinds}
		switch {
		case only != nil && about.Kinds == nil:
			about.Kinds = only
		case only != nil:
			about.Kinds = slices.DeleteFunc(slices.Clone(about.Kinds), func(k api.PromptKind) bool { return !slices.Contains(only, k) })
			if len(about.Kinds) == 0 {
				return usagef("--%s takes none of the kinds in --kinds", agent.name)
			}
		}
		wg.Go(func() {
			if agent.close != nil {
				defer agent.close()
			}
			cancel(a.serveAgent(ctx, c, about, agent.ui))
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// serveAgent follows the prompts of one agent, and tries again when the daemon is away.
func (a *app) serveAgent(ctx context.Context, c *client.Client, about api.Agent, ui client.Prompter) error {
	away, retry := false, firstRetry
	for {
		err := c.Agent(ctx, about, ui, func() {
			away, retry = false, firstRetry
			a.note("the agent %s is ready", about.Name)
		})
		var refused *api.Error
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.As(err, &refused) && refused.Code != api.CodeShuttingDown && refused.Code != api.CodeTooMany {
			return err
		}
		if !away {
			away = true
			a.note("%s; waiting for it", agentAway(err))
		}
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		retry = min(2*retry, lastRetry)
	}
}

func agentAway(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "fobd has stopped"
	}
	return err.Error()
}
