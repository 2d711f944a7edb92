package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
)

// UI is the person behind a request, as a front end can reach them. It comes down
// with the request; what the person says comes back as return values. The engine
// fills every member of a prompt but its ID, which is the front end's.
//
// Methods may be called from several goroutines at once (two keys can blink).
type UI interface {
	// Show tells the person something and returns at once. The engine calls
	// withdraw when it is over (the touch is done, the key is free).
	Show(p api.Prompt) (withdraw func())
	// PIN asks for a PIN, a new one, or a one-time code, by p.Kind. The caller wipes it. An
	// [*api.Error] with [api.CodePINRequired] says that nobody can be asked,
	// one with [api.CodeCancelled] that the person gave up.
	PIN(ctx context.Context, p api.Prompt) (api.Secret, error)
	// Choose asks which of p.Choices is meant and returns its index.
	Choose(ctx context.Context, p api.Prompt) (int, error)
	// Confirm asks a yes-or-no question.
	Confirm(ctx context.Context, p api.Prompt) (bool, error)
}
