package daemon

import (
	"context"

	"github.com/fobd/fobd/daemon/policy"
)

// LeaseSend sends a CTAP2 request on a lease, whosever it is, as who.
func LeaseSend(ctx context.Context, e *Engine, id string, who policy.Actor, request []byte) ([]byte, error) {
	e.leases.mu.Lock()
	l := e.leases.byID[id]
	e.leases.mu.Unlock()
	return l.send(ctx, leaseMessage{who: who, body: request})
}

// Disown makes the policy say no to whoever was the owner.
func Disown(e *Engine) { e.cfg.Rules = policy.Rules{Owner: 1 << 31} }

// LeaseTokens gives the very bytes of the tokens that a lease keeps, real and surrogate.
func LeaseTokens(e *Engine, id string) (secrets [][]byte) {
	e.leases.mu.Lock()
	l := e.leases.byID[id]
	e.leases.mu.Unlock()
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	for _, t := range l.pin.tokens {
		secrets = append(secrets, t.real, t.surrogate)
	}
	return secrets
}
