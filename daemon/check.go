package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
)

// check is the operation check.
func (c *call) check(ctx context.Context, r *api.CheckRequest) (*api.CheckResult, error) {
	if c.e.cfg.Verifier == nil {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "this daemon has no relying party check"}
	}
	return c.e.cfg.Verifier.Verify(ctx, r)
}
