package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
)

// verify is the operation verify.
func (c *call) verify(ctx context.Context, r *api.VerifyRequest) (*api.VerifyResult, error) {
	if c.e.cfg.Verifier == nil {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "this daemon has no relying party check"}
	}
	return c.e.cfg.Verifier.Verify(ctx, r)
}
