package httpapi

import (
	"context"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
)

var _ daemon.UI = noUI{}

// noUI is the person behind a request that waits for its result only: nobody.
type noUI struct{}

const streamHint = "send Accept: " + typeNDJSON + " and answer the prompt with POST /v1/prompts/{id}, or start an agent such as fob agent"

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
