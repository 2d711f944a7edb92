package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// MaxAgents is how many agents a user can have.
const MaxAgents = maxAgents

// AgentsOf are those behind an operation of who that came without a person.
func AgentsOf(d *Desk, who policy.Actor) UI { return people{d, who, nobody{}} }

// Confirm asks them.
func Confirm(d *Desk, ctx context.Context, who policy.Actor, p api.Prompt) (bool, error) {
	return AgentsOf(d, who).Confirm(ctx, p)
}
