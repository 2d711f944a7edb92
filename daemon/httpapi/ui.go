package httpapi

import (
	"context"
	"sync"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

var _, _ daemon.UI = noUI{}, (*streamUI)(nil)

// noUI is the person behind a request that waits for its result only: nobody.
type noUI struct{}

const streamHint = "send Accept: " + typeNDJSON + " and answer the prompt with POST /v1/prompts/{id}"

// Interactive tells the engine not to wait for a key that nobody can be asked to put in.
func (noUI) Interactive() bool { return false }

func (noUI) Show(api.Prompt) func() { return func() {} }

func (noUI) PIN(_ context.Context, p api.Prompt) (api.Secret, error) {
	return api.Secret{}, &api.Error{
		Code: api.CodePINRequired, Message: "a PIN is needed and nobody can be asked for it",
		Hint: streamHint, Key: p.Key, Retries: p.Retries,
	}
}

func (noUI) Choose(_ context.Context, p api.Prompt) (int, error) {
	return 0, &api.Error{
		Code: api.CodeInvalidRequest, Message: "there is a choice and nobody can be asked",
		Hint: streamHint, Key: p.Key,
	}
}

func (noUI) Confirm(_ context.Context, p api.Prompt) (bool, error) {
	return false, &api.Error{
		Code: api.CodeDenied, Message: "a person must agree and nobody can be asked",
		Hint: streamHint, Key: p.Key,
	}
}

// streamUI is the person at the other end of a stream.
type streamUI struct {
	stream  *stream
	prompts *registry
	who     policy.Actor

	mu   sync.Mutex // guards open
	open []*prompt  // to be forgotten with the operation
}

// Show implements [daemon.UI].
func (u *streamUI) Show(p api.Prompt) func() {
	if p.ID == "" {
		p.ID = newID()
	}
	u.stream.line(api.Line{Prompt: &p})
	return sync.OnceFunc(func() { u.stream.line(api.Line{Withdrawn: p.ID}) })
}

// PIN implements [daemon.UI].
func (u *streamUI) PIN(ctx context.Context, p api.Prompt) (api.Secret, error) {
	a, err := u.ask(ctx, p)
	return api.NewSecret(a.pin), err
}

// Choose implements [daemon.UI].
func (u *streamUI) Choose(ctx context.Context, p api.Prompt) (int, error) {
	a, err := u.ask(ctx, p)
	return a.index, err
}

// Confirm implements [daemon.UI].
func (u *streamUI) Confirm(ctx context.Context, p api.Prompt) (bool, error) {
	a, err := u.ask(ctx, p)
	return a.yes, err
}

// ask waits for the answer to a prompt, the end of the operation, or the person giving up.
func (u *streamUI) ask(ctx context.Context, p api.Prompt) (answer, error) {
	open := u.prompts.add(&p, u.who)
	u.mu.Lock()
	u.open = append(u.open, open)
	u.mu.Unlock()
	u.stream.line(api.Line{Prompt: &p})
	defer u.stream.line(api.Line{Withdrawn: p.ID})
	select {
	case a := <-open.answered:
		if a.gaveUp {
			return answer{}, &api.Error{Code: api.CodeCancelled, Message: "the person gave up", Key: p.Key}
		}
		return a, nil
	case <-ctx.Done():
		if a, late := open.settle(); late {
			clear(a.pin)
		}
		return answer{}, context.Cause(ctx)
	}
}

// close forgets the prompts of an operation that has ended.
func (u *streamUI) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.prompts.remove(u.open)
	u.open = nil
}
