package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Operation is a row of the table of operations. HTTP, D-Bus, the OpenAPI
// description, the man pages and the audit log all come from it.
type Operation struct {
	Name    string // one of the api.Op constants
	Summary string // one line in the imperative, without a full stop
	Scope   policy.Scope
	// Interactive operations may show prompts.
	Interactive bool
	// Request and Result are zero values of the types that cross the socket.
	Request, Result any

	run func(e *Engine, ctx context.Context, call *call) (any, error)
}

// ErrorOf gives the form in which err crosses the socket. It is nil for nil.
// An [*api.Error] in the chain is taken as it is; the errors of the layers below
// are translated by one table; anything else is [api.CodeInternal].
func ErrorOf(err error) *api.Error { return errorOf(err) }
