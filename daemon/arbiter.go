package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens"
)

// arbiter gives each key to one operation at a time, first come, first served. The zero
// value is usable.
type arbiter struct {
	mu     sync.Mutex // guards what follows and all queues
	queues map[*tokens.Key]*queue
}

// queue is one key's: who has it, and who waits in which order. Keys that nobody wants
// have none.
type queue struct {
	holder  *claim
	waiting []*claim
}

// claim is an operation that wants a key or has it.
type claim struct {
	holder api.Holder
	// turn has room for one; a value means that there is news: the claim has the key, or
	// somebody else has it now.
	turn chan struct{}
}

func newClaim(c *call) *claim {
	return &claim{
		holder: api.Holder{Program: c.who.Program, PID: c.who.PID, User: c.who.User, Operation: c.op.Name},
		turn:   make(chan struct{}, 1),
	}
}

// acquire takes a key, after all who asked for it before. While it waits it calls waiting
// with each one who has the key. The error is the context's cause; the key is then not
// taken. The function it returns gives the key to the next one; it must be called once.
func (a *arbiter) acquire(ctx context.Context, k *tokens.Key, mine *claim, waiting func(api.Holder)) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	release = func() { a.release(k, mine) }
	a.mu.Lock()
	q := a.queues[k]
	if q == nil {
		if a.queues == nil {
			a.queues = make(map[*tokens.Key]*queue)
		}
		q = &queue{}
		a.queues[k] = q
	}
	if q.holder == nil {
		q.take(mine)
		a.mu.Unlock()
		return release, nil
	}
	q.waiting = append(q.waiting, mine)
	told := q.holder
	holder := told.holder
	a.mu.Unlock()
	waiting(holder)
	for {
		select {
		case <-mine.turn:
		case <-ctx.Done():
			a.giveUp(k, mine)
			return nil, context.Cause(ctx)
		}
		a.mu.Lock()
		now := q.holder
		holder := now.holder
		a.mu.Unlock()
		switch now {
		case mine:
			return release, nil
		case told:
		default:
			told = now
			waiting(holder)
		}
	}
}

// take makes c the holder. The arbiter's lock is held.
func (q *queue) take(c *claim) {
	c.holder.Since = time.Now().Format(time.RFC3339)
	q.holder = c
}

// release gives the key of mine to the next one.
func (a *arbiter) release(k *tokens.Key, mine *claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[k]
	if q == nil || q.holder != mine {
		return
	}
	if len(q.waiting) == 0 {
		delete(a.queues, k)
		return
	}
	next := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	q.take(next)
	next.wake()
	for _, c := range q.waiting {
		c.wake()
	}
}

func (c *claim) wake() {
	select {
	case c.turn <- struct{}{}:
	default: // it has not looked at the last news yet
	}
}

// giveUp takes mine out of the queue, and passes the key on if it was its turn already.
func (a *arbiter) giveUp(k *tokens.Key, mine *claim) {
	a.mu.Lock()
	q := a.queues[k]
	if at := slices.Index(q.waiting, mine); at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	a.release(k, mine)
}

// holder says who has a key, or nil.
func (a *arbiter) holder(k *tokens.Key) *api.Holder {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[k]
	if q == nil {
		return nil
	}
	holder := q.holder.holder
	return &holder
}

// waiting counts the claims in all queues.
func (a *arbiter) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, q := range a.queues {
		n += len(q.waiting)
	}
	return n
}
