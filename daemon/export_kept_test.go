package daemon

import "github.com/fobd/fobd/ctap2"

// Kept is how many tokens are kept.
func (e *Engine) Kept() int {
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	return len(e.kept.list)
}

// StaleTokens makes the tokens that are kept ones that no key knows.
func (e *Engine) StaleTokens() {
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	for _, n := range e.kept.list {
		n.token.Wipe()
		n.token = ctap2.NewToken(n.token.Protocol, make([]byte, 32))
	}
}
