package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/fobd/fobd/daemon/api"
)

// Prompter is the person behind a program.
//
// Show and Withdraw are called in the order of the stream, one at a time, and must
// return soon. PIN, Choose and Confirm run in goroutines of their own and several may
// wait at once; their context ends when the prompt is withdrawn, and they must then
// return. A prompt that wants an answer is not also shown through Show.
type Prompter interface {
	// Show tells the person something, until Withdraw is called with its ID.
	Show(api.Prompt)
	// Withdraw says that a shown prompt is over.
	Withdraw(id string)
	// PIN asks for a PIN, or for a new one, by the prompt's kind. The client wipes it.
	// An error means that the person gave up or cannot be asked.
	PIN(context.Context, api.Prompt) (api.Secret, error)
	// Choose asks for one of the prompt's choices and returns its index.
	Choose(context.Context, api.Prompt) (int, error)
	// Confirm asks a yes-or-no question.
	Confirm(context.Context, api.Prompt) (bool, error)
}

// prompts are the open prompts of one operation.
type prompts struct {
	ctx    context.Context
	client *Client
	ui     Prompter

	wg     sync.WaitGroup
	mu     sync.Mutex // guards the following
	cancel map[string]context.CancelFunc
	failed error // the first error of ui, but for a withdrawn prompt
}

func newPrompts(ctx context.Context, c *Client, ui Prompter) *prompts {
	return &prompts{ctx: ctx, client: c, ui: ui, cancel: map[string]context.CancelFunc{}}
}

func (p *prompts) open(prompt api.Prompt) {
	if !prompt.Kind.Answerable() {
		p.ui.Show(prompt)
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.mu.Lock()
	p.cancel[prompt.ID] = cancel
	p.mu.Unlock()
	p.wg.Go(func() {
		defer cancel()
		err := p.answer(ctx, prompt)
		if err == nil || ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		if p.failed == nil {
			p.failed = err
		}
		p.mu.Unlock()
		// Whether the daemon still knows the prompt no longer matters.
		_ = p.client.GiveUp(p.ctx, prompt.ID)
	})
}

// answer asks the person and carries what they say to the daemon.
func (p *prompts) answer(ctx context.Context, prompt api.Prompt) error {
	switch prompt.Kind {
	case api.PromptChoose, api.PromptConsent:
		i, err := p.ui.Choose(ctx, prompt)
		if err != nil {
			return err
		}
		return p.client.Answer(ctx, prompt.ID, []byte(strconv.Itoa(i)))
	case api.PromptConfirm:
		yes, err := p.ui.Confirm(ctx, prompt)
		if err != nil {
			return err
		}
		return p.client.Answer(ctx, prompt.ID, strconv.AppendBool(nil, yes))
	}
	pin, err := p.ui.PIN(ctx, prompt)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	return p.client.Answer(ctx, prompt.ID, pin.Bytes())
}

func (p *prompts) withdraw(id string) {
	p.mu.Lock()
	cancel, asked := p.cancel[id]
	delete(p.cancel, id)
	p.mu.Unlock()
	if asked {
		cancel()
		return
	}
	p.ui.Withdraw(id)
}

// judge picks the error to report: when the operation was cancelled because ui could
// not ask the person, that reason.
func (p *prompts) judge(e *api.Error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Code != api.CodeCancelled || p.failed == nil {
		return e
	}
	var known *api.Error
	if errors.As(p.failed, &known) {
		return p.failed
	}
	return fmt.Errorf("client: prompt: %w", p.failed)
}

// close ends every open prompt and waits for its goroutine.
func (p *prompts) close() {
	p.mu.Lock()
	for _, cancel := range p.cancel {
		cancel()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Answer answers the prompt id of any operation of the same user: with the PIN
// itself, with the index of a choice or with true or false in decimal or JSON form. It is
// for prompt agents that follow [Client.Events]; [Client.Do] calls it by itself. The
// caller keeps body and wipes it.
func (c *Client) Answer(ctx context.Context, id string, body []byte) error {
	return c.prompt(ctx, http.MethodPost, id, body)
}

// GiveUp says that the person does not want to answer the prompt id.
func (c *Client) GiveUp(ctx context.Context, id string) error {
	return c.prompt(ctx, http.MethodDelete, id, nil)
}

func (c *Client) prompt(ctx context.Context, method, id string, body []byte) error {
	resp, err := c.send(ctx, method, "/v1/prompts/"+url.PathEscape(id), exchange{typeJSON, typeRaw, body})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = wholeAnswer(resp)
	return err
}
