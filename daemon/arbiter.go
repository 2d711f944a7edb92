package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens"
)

// arbiter gives each key to one operation at a time: the users that want it take turns, and the
// operations of one user come in the order in which they asked. The zero value is usable.
type arbiter struct {
	// tell, if not nil, is told who has a key, nil for nobody, in the order in which it changes
	// hands. It must not wait.
	tell func(k *tokens.Key, now *api.Holder)

	// most bounds those who wait for one key, mostOfUser those of one user; 0 does not.
	most, mostOfUser int
	// open gives every key at once. It is for measuring what the queue costs.
	open bool

	mu     sync.Mutex // guards what follows, all queues and claims
	queues map[*tokens.Key]*queue
}

// queue is one key's: who has it, and who waits. Keys that nobody wants have none.
type queue struct {
	holder *claim
	// turns are the users who wait, the one whose turn is next first.
	turns []*turn
}

// turn is what one user waits for, oldest first; it is never empty.
type turn struct {
	uid    uint32
	claims []*claim
}

// claim is an operation that wants a key or has it.
type claim struct {
	uid    uint32
	holder api.Holder
	// hears says that whoever waits wants to be told of its place again and again, not only once.
	hears bool
	// listening is true while news of its place should wake it.
	listening bool
	// news has room for one; a value means that the claim has the key, or another place.
	news chan struct{}
}

// place is where a claim is while it waits.
type place struct {
	Holder api.Holder
	// Position is 1 for the one that is next; Waiting counts all who wait.
	Position, Waiting int
}

// placeInterval is how often a claim is told of its place at most: a queue can move thousands
// of times a second, which nobody could read.
const placeInterval = 250 * time.Millisecond

func newClaim(c *call) *claim {
	return &claim{
		uid:    c.who.UID,
		holder: api.Holder{Program: c.who.Program, PID: c.who.PID, User: c.who.User, Operation: c.op.Name},
		hears:  interactive(c.requester),
		news:   make(chan struct{}, 1),
	}
}

// acquire takes a key when it is mine's turn. While it waits it calls waiting with its place, at
// once and, if mine hears, when that has changed. The error is the context's cause; the key is then not
// taken. The function it returns gives the key to the next one; it must be called once.
func (a *arbiter) acquire(ctx context.Context, k *tokens.Key, mine *claim, waiting func(place)) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if a.open {
		return func() {}, nil
	}
	release = func() { a.release(k, mine) }
	told, mineNow, err := a.enter(k, mine)
	if err != nil || mineNow {
		return release, err
	}
	waiting(told)
	// quiet is over when the claim may be told again.
	var quiet *time.Timer
	var over <-chan time.Time
	if mine.hears {
		quiet = time.NewTimer(placeInterval)
		defer quiet.Stop()
		over = quiet.C
	}
	for {
		select {
		case <-mine.news:
		case <-over:
		case <-ctx.Done():
			a.giveUp(k, mine)
			return nil, context.Cause(ctx)
		}
		now, changed, mineNow := a.look(k, mine, told)
		switch {
		case mineNow:
			return release, nil
		case changed && mine.hears:
			told = now
			waiting(told)
			quiet.Reset(placeInterval)
		}
	}
}

// enter takes the key if it is free, else queues mine.
func (a *arbiter) enter(k *tokens.Key, mine *claim) (p place, mineNow bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[k]
	if q == nil {
		if a.queues == nil {
			a.queues = make(map[*tokens.Key]*queue)
		}
		q = &queue{}
		a.queues[k] = q
	}
	if q.holder == nil {
		a.give(k, q, mine)
		return place{}, true, nil
	}
	if err := a.room(k, q, mine); err != nil {
		return place{}, false, err
	}
	q.add(mine)
	return q.place(mine), false, nil
}

// room says whether one more may wait for k.
func (a *arbiter) room(k *tokens.Key, q *queue, mine *claim) error {
	all, own := 0, 0
	for _, t := range q.turns {
		all += len(t.claims)
		if t.uid == mine.uid {
			own = len(t.claims)
		}
	}
	switch {
	case a.mostOfUser > 0 && own >= a.mostOfUser:
		return tooMany(fmt.Sprintf("%d requests of yours wait for %s already", own, k.Name()), "try again when some of them are done")
	case a.most > 0 && all >= a.most:
		return tooMany(fmt.Sprintf("%d requests wait for %s already", all, k.Name()), "try again when some of them are done")
	}
	return nil
}

// look says where mine is now, and whether that is news; it listens for the next news when it is not.
func (a *arbiter) look(k *tokens.Key, mine *claim, told place) (p place, changed, mineNow bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[k]
	if q.holder == mine {
		return place{}, false, true
	}
	p = q.place(mine)
	changed = p != told
	mine.listening = mine.hears && !changed
	return p, changed, false
}

// add puts c behind the others of its user, and its user behind the other users.
func (q *queue) add(c *claim) {
	for _, t := range q.turns {
		if t.uid == c.uid {
			t.claims = append(t.claims, c)
			return
		}
	}
	q.turns = append(q.turns, &turn{uid: c.uid, claims: []*claim{c}})
}

// next takes the claim out whose turn it is; its user then waits for all others.
func (q *queue) next() *claim {
	t := q.turns[0]
	c := t.claims[0]
	t.claims[0] = nil
	t.claims = t.claims[1:]
	copy(q.turns, q.turns[1:])
	if len(t.claims) > 0 {
		q.turns[len(q.turns)-1] = t
	} else {
		q.turns[len(q.turns)-1] = nil
		q.turns = q.turns[:len(q.turns)-1]
	}
	return c
}

// place is where c is, which waits.
func (q *queue) place(c *claim) place {
	p := place{Holder: q.holder.holder, Position: 1}
	// Of each user as many come before c as of its own, and one more of those whose turn is sooner.
	before, sooner := 0, 1
	for _, t := range q.turns {
		p.Waiting += len(t.claims)
		if t.uid == c.uid {
			before = slices.Index(t.claims, c)
		}
	}
	for _, t := range q.turns {
		if t.uid == c.uid {
			p.Position += before
			sooner = 0
			continue
		}
		p.Position += min(len(t.claims), before+sooner)
	}
	return p
}

// give makes c the holder. The arbiter's lock is held.
func (a *arbiter) give(k *tokens.Key, q *queue, c *claim) {
	c.holder.Since = time.Now().Format(time.RFC3339)
	q.holder = c
	if a.tell != nil {
		now := c.holder
		a.tell(k, &now)
	}
}

// release gives the key of mine to the next one.
func (a *arbiter) release(k *tokens.Key, mine *claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[k]
	if q == nil || q.holder != mine {
		return
	}
	if len(q.turns) == 0 {
		delete(a.queues, k)
		if a.tell != nil {
			a.tell(k, nil)
		}
		return
	}
	next := q.next()
	a.give(k, q, next)
	next.wake()
	q.moved()
}

// moved wakes all who want to know their new place.
func (q *queue) moved() {
	for _, t := range q.turns {
		for _, c := range t.claims {
			if c.listening {
				c.listening = false
				c.wake()
			}
		}
	}
}

func (c *claim) wake() {
	select {
	case c.news <- struct{}{}:
	default: // it has not looked at the last news yet
	}
}

// giveUp takes mine out of the queue, and passes the key on if it was its turn already.
func (a *arbiter) giveUp(k *tokens.Key, mine *claim) {
	a.mu.Lock()
	q := a.queues[k]
	if q.remove(mine) {
		q.moved()
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	a.release(k, mine)
}

// remove takes c out of those who wait. It is false if c was not among them.
func (q *queue) remove(c *claim) bool {
	for i, t := range q.turns {
		if t.uid != c.uid {
			continue
		}
		at := slices.Index(t.claims, c)
		if at < 0 {
			return false
		}
		t.claims = slices.Delete(t.claims, at, at+1)
		if len(t.claims) == 0 {
			q.turns = slices.Delete(q.turns, i, i+1)
		}
		return true
	}
	return false
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
		for _, t := range q.turns {
			n += len(t.claims)
		}
	}
	return n
}
