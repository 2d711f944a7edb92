package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens"
)

// MaxKeep is the longest that a PIN/UV auth token is kept: a key lets go of it by then (CTAP 2.3,
// section 6.5.2.1, maximum usage time period).
const MaxKeep = 10 * time.Minute

// scope is what a token is kept for: one process, not one program, since another process of it may be
// anybody's; on one key, for one purpose.
type scope struct {
	key        *tokens.Key
	uid        uint32
	pid        int
	start      uint64
	bus        string
	permission ctap2.Permission
}

// keptTokens are PIN/UV auth tokens that people have paid for with a PIN or a finger, for the management of
// credentials and fingerprints by the program that they did it for. The zero value keeps none.
type keptTokens struct {
	span time.Duration

	mu   sync.Mutex // guards list
	list []*keptToken
}

type keptToken struct {
	scope
	session string
	token   *ctap2.Token
	gone    context.CancelFunc
}

// scopeOf says what a token for who would be kept for. ok is false when the process is not known.
func scopeOf(who policy.Actor, k *tokens.Key, p ctap2.Permission) (s scope, ok bool) {
	return scope{k, who.UID, who.PID, who.Start, who.BusName, p}, who.PID > 0 && who.Start > 0
}

// get returns a copy of a token, nil when there is none; the caller wipes it.
func (t *keptTokens) get(who policy.Actor, k *tokens.Key, p ctap2.Permission) *ctap2.Token {
	s, _ := scopeOf(who, k, p)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, have := range t.list {
		if have.scope == s && have.session == who.Session {
			return have.token.Clone()
		}
	}
	return nil
}

// put keeps a copy of a token until its time is over, ctx ends or the key is pulled out, unless something else
// ends it before.
func (t *keptTokens) put(ctx context.Context, who policy.Actor, k *tokens.Key, p ctap2.Permission, token *ctap2.Token) {
	s, ok := scopeOf(who, k, p)
	if !ok || t.span <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.span)
	n := &keptToken{scope: s, session: who.Session, token: token.Clone(), gone: cancel}
	t.mu.Lock()
	t.list = append(t.list, n)
	t.mu.Unlock()
	go func() {
		select {
		case <-k.Gone():
		case <-ctx.Done():
		}
		t.drop(func(other *keptToken) bool { return other == n })
	}()
}

// drop wipes the tokens that over says.
func (t *keptTokens) drop(over func(*keptToken) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(n *keptToken) bool {
		if !over(n) {
			return false
		}
		n.token.Wipe()
		n.gone()
		return true
	})
}

// forget wipes the tokens of a key: it has given another one, or got another PIN.
func (t *keptTokens) forget(k *tokens.Key) {
	t.drop(func(n *keptToken) bool { return n.key == k })
}

// keptPermit is permit for what may be asked for again and again: a token that was got for the same process
// is used once more while the key takes it, which alive tries out.
func (s *session) keptPermit(ctx context.Context, permission ctap2.Permission, rpID string, allowLast bool, alive func(*ctap2.Token) error) (*ctap2.Token, error) {
	if rpID != "" {
		return s.permit(ctx, permission, rpID, allowLast, false)
	}
	kept := &s.c.e.kept
	if token := kept.get(s.c.who, s.key, permission); token != nil {
		if err := alive(token); err == nil {
			return token, nil
		}
		token.Wipe()
		kept.forget(s.key)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	token, err := s.permit(ctx, permission, rpID, allowLast, false)
	if err == nil {
		kept.put(s.c.e.stopping, s.c.who, s.key, permission, token)
	}
	return token, err
}

// forget drops what is known of the key and what was got from it.
func (s *session) forget() {
	s.conn.Forget()
	s.c.e.kept.forget(s.key)
}
