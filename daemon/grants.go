package daemon

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens"
)

// grant is what a person has agreed to for longer than once: a program of theirs, and a site.
type grant struct {
	ID      string
	UID     uint32
	User    string
	Session string
	App     string // [policy.App.ID], or the process when the program is not known
	Program string
	RPID    string
	Span    string // as a rule's @grant has it
	Given   time.Time
	Expires time.Time   // zero for those that end otherwise
	Key     *tokens.Key // for those that end when it is pulled out, and hold for it alone
	Uses    int
}

// maxGrants bounds the grants of all users together.
const maxGrants = 1024

// grants are kept in memory only: nothing of a shift is left after a restart. The zero value is usable.
type grants struct {
	mu   sync.Mutex // guards list and its grants
	list []*grant
}

// appOf is what a grant holds for. A program that is not known is only itself, until it ends.
func appOf(a policy.Actor) string {
	if id := a.App.ID(); id != "" {
		return id
	}
	if a.PID > 0 && a.Start > 0 {
		return fmt.Sprintf("process %d of %d", a.PID, a.Start)
	}
	return ""
}

// find returns the grant that a request has, and counts the use.
func (g *grants) find(q policy.Request, k *tokens.Key) *grant {
	app := appOf(q.Actor)
	if app == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(q.Time)
	for _, have := range g.list {
		if have.UID == q.Actor.UID && have.App == app && have.RPID == q.RPID && have.Session == q.Actor.Session && (have.Key == nil || have.Key == k) {
			have.Uses++
			copied := *have
			return &copied
		}
	}
	return nil
}

// add keeps an agreement, unless it was for once.
func (g *grants) add(q policy.Request, k *tokens.Key, span string) *grant {
	app := appOf(q.Actor)
	if span == policy.GrantOnce || app == "" {
		return nil
	}
	n := &grant{
		ID: rand.Text()[:8], UID: q.Actor.UID, User: q.Actor.User, Session: q.Actor.Session, App: app, Program: q.Actor.Program,
		RPID: q.RPID, Span: span, Given: time.Now(), Uses: 1,
	}
	switch span {
	case policy.GrantLock:
	case policy.GrantUnplug:
		if n.Key = k; k == nil {
			return nil
		}
	default:
		d, err := time.ParseDuration(span)
		if err != nil {
			return nil
		}
		n.Expires = n.Given.Add(d)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(n.Given)
	if len(g.list) >= maxGrants {
		return nil
	}
	g.list = append(g.list, n)
	copied := *n
	return &copied
}

// expire drops what is over: nothing needs a timer, since nobody sees a grant without coming by here.
func (g *grants) expire(now time.Time) {
	g.list = slices.DeleteFunc(g.list, func(n *grant) bool {
		if !n.Expires.IsZero() && !now.Before(n.Expires) {
			return true
		}
		if n.Key != nil {
			select {
			case <-n.Key.Gone():
				return true
			default:
			}
		}
		return false
	})
}

// end drops the grants that over says, and returns how many there were.
func (g *grants) end(over func(*grant) bool) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(time.Now())
	before := len(g.list)
	g.list = slices.DeleteFunc(g.list, over)
	return before - len(g.list)
}

// all are those that hold now, oldest first.
func (g *grants) all() []grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(time.Now())
	list := make([]grant, 0, len(g.list))
	for _, n := range g.list {
		list = append(list, *n)
	}
	return list
}

// SessionLocked ends all grants, and PIN/UV auth tokens that were kept, of a login session whose screen was locked or that has ended, or of all
// sessions when id is empty (the machine goes to sleep). It returns how many grants there were.
//
// Those that were given outside of any session end with every lock: nobody else's word could end them.
func (e *Engine) SessionLocked(id string) int {
	n := e.grants.end(func(g *grant) bool { return id == "" || g.Session == id || g.Session == "" })
	e.kept.drop(func(t *keptToken) bool { return id == "" || t.session == id || t.session == "" })
	if n > 0 {
		e.log.Info("grants ended", "session", id, "grants", n)
	}
	return n
}
