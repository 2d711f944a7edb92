package daemon

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// wish is what an operation wants of a key.
type wish struct {
	// serves says why a key cannot serve the request, or whether it is sure that it can; nil
	// means that all can. It must not make the key blink.
	serves func(ctx context.Context, s *session) (sure bool, err error)
	// touch wants a touch even when there is only one key.
	touch bool
	// insert waits for a key when none is attached: when the request itself said how long
	// to wait, or when the person can be asked.
	insert bool
}

// choose opens the key for an operation. The key that name names is taken as it is. With
// no name, or that of a kind of keys ("emulated", an AAGUID), the only attached key that can serve is
// taken; of several, the one that the person touches, and the others are usable again when choose returns. Keys that come
// meanwhile join in, keys that go drop out. The caller closes the session.
func (c *call) choose(ctx context.Context, name string, w wish) (*session, error) {
	var s *session
	var err error
	if g, ok := groupOf(name); ok {
		s, err = newSelection(c, w, g).run(ctx)
	} else {
		s, err = c.chooseNamed(ctx, name, w)
	}
	if err != nil {
		return nil, err
	}
	c.took(s.key)
	return s, nil
}

func (c *call) chooseNamed(ctx context.Context, name string, w wish) (*session, error) {
	k, err := c.e.find(name)
	if err != nil {
		return nil, err
	}
	s, err := c.open(ctx, k, nil)
	if err != nil {
		return nil, err
	}
	if w.serves != nil {
		_, err = w.serves(ctx, s)
	}
	if err == nil && w.touch {
		err = s.blink(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// stage is how far a candidate has come.
type stage int

const (
	opening  stage = iota // being opened and looked at
	queueing              // somebody else has it
	doubtful              // may be able to serve
	ready                 // can serve
	blinking
	out // cannot serve, or is gone
)

// candidate is an attached key in a selection.
type candidate struct {
	key   *tokens.Key
	stage stage
	// blink tells a candidate that is ready to ask for a touch.
	blink chan struct{}
	s     *session
}

// news is what a candidate's goroutine reports: a stage reached, or a touch.
type news struct {
	of      *candidate
	stage   stage
	s       *session // with ready and doubtful
	touched bool
	err     error // with out
}

// selection asks several keys at once. It is for one goroutine; each candidate has one
// that reports to it.
type selection struct {
	c          *call
	w          wish
	among      group
	candidates []*candidate
	seen       map[*tokens.Key]bool
	news       chan news
	wg         sync.WaitGroup
	failure    error // the first one's that could not serve
	gone       error // the last one's that was pulled out
	withdraw   func()
}

func newSelection(c *call, w wish, among group) *selection {
	return &selection{c: c, w: w, among: among, seen: make(map[*tokens.Key]bool), news: make(chan news)}
}

// run returns the chosen key, and not before all others have been given back.
func (x *selection) run(ctx context.Context) (*session, error) {
	asking, cancel := context.WithCancelCause(ctx)
	winner, err := x.decide(ctx, asking)
	x.prompt(false)
	cancel(errElsewhere)
	go func() {
		x.wg.Wait()
		close(x.news)
	}()
	for n := range x.news {
		if n.s != nil {
			n.of.s = n.s
		}
		if n.stage == out && errors.Is(err, errDeadline) && x.tells(n.err) {
			err = n.err
		}
	}
	for _, k := range x.candidates {
		if k.s != nil && k.s != winner {
			k.s.close()
		}
	}
	return winner, err
}

// tells says whether one key's account of the deadline says more than that it has passed:
// there is no other key, or somebody else has it.
func (x *selection) tells(err error) bool {
	var busy *api.Error
	return len(x.candidates) == 1 || errors.As(err, &busy) && busy.Code == api.CodeBusy
}

// decide goes on until there is one key, or none left that could serve.
func (x *selection) decide(ctx, asking context.Context) (*session, error) {
	for {
		keys, changed := x.c.e.keys.Snapshot()
		for _, k := range keys {
			x.join(asking, k)
		}
		count := x.count()
		if winner := x.advance(count); winner != nil {
			return winner, nil
		}
		if count[out] == len(x.candidates) {
			// An unplug in mid-operation ends it at once.
			if err := cmp.Or(x.failure, x.gone); err != nil {
				return nil, err
			}
			if !x.w.insert || !x.c.explicit && !x.c.interactive(api.PromptInsert) {
				return nil, x.among.absent()
			}
			x.prompt(true)
		} else {
			x.prompt(false)
		}
		select {
		case n := <-x.news:
			if winner := x.take(n); winner != nil {
				return winner, nil
			}
		case <-changed:
		case <-ctx.Done():
			return nil, x.late(context.Cause(ctx))
		}
	}
}

// count says how many candidates are in each stage.
func (x *selection) count() (n [out + 1]int) {
	for _, k := range x.candidates {
		n[k.stage]++
	}
	return n
}

// join adds a key that was not there before.
func (x *selection) join(ctx context.Context, k *tokens.Key) {
	if x.seen[k] {
		return
	}
	x.seen[k] = true
	if !k.FIDO() || !x.among.mayHave(k) {
		return
	}
	n := &candidate{key: k, blink: make(chan struct{})}
	x.candidates = append(x.candidates, n)
	x.wg.Go(func() { x.ask(ctx, n) })
}

// ask is what happens to one key. It uses nothing of the candidate that changes.
func (x *selection) ask(ctx context.Context, n *candidate) {
	s, err := x.c.open(ctx, n.key, func() { x.news <- news{of: n, stage: queueing} })
	if err != nil {
		x.news <- news{of: n, stage: out, err: err}
		return
	}
	sure := true
	if !x.among.has(s) {
		err = x.among.absent()
	} else if x.w.serves != nil {
		sure, err = x.w.serves(ctx, s)
	}
	if err != nil {
		s.close()
		x.news <- news{of: n, stage: out, err: err}
		return
	}
	reached := ready
	if !sure {
		reached = doubtful
	}
	x.news <- news{of: n, stage: reached, s: s}
	select {
	case <-n.blink:
	case <-ctx.Done():
		return
	}
	if err = s.blink(ctx); err != nil {
		x.news <- news{of: n, stage: out, err: err}
		return
	}
	x.news <- news{of: n, touched: true}
}

// advance lets candidates blink as soon as it is known that there are several, and returns
// the only one without that. Doubtful ones have a chance only where no other is sure.
func (x *selection) advance(count [out + 1]int) *session {
	if count[opening] > 0 && !x.w.touch {
		return nil
	}
	best := ready
	if count[ready]+count[blinking] == 0 {
		best = doubtful
	}
	for _, k := range x.candidates {
		if k.stage != best {
			continue
		}
		if !x.w.touch && count[best] == 1 && count[queueing]+count[blinking] == 0 {
			return k.s
		}
		k.stage = blinking
		close(k.blink)
	}
	return nil
}

// take notes what a candidate reports and returns the one that was touched.
func (x *selection) take(n news) *session {
	if n.touched {
		return n.of.s
	}
	n.of.stage = n.stage
	switch n.stage {
	case ready, doubtful:
		n.of.s = n.s
	case out:
		if n.of.s != nil {
			n.of.s.close()
			n.of.s = nil
		}
		switch {
		case errors.Is(n.err, hid.ErrGone):
			x.gone = n.err
		case x.failure == nil:
			x.failure = n.err
		}
	}
	return nil
}

// prompt shows or withdraws the wish for a key.
func (x *selection) prompt(show bool) {
	switch {
	case show && x.withdraw == nil:
		x.withdraw = x.c.show(x.c.prompt(api.PromptInsert, nil))
	case !show && x.withdraw != nil:
		x.withdraw()
		x.withdraw = nil
	}
}

// late is the error of a selection that has been going on for too long.
func (x *selection) late(cause error) error {
	if errors.Is(cause, errDeadline) && x.withdraw != nil {
		return &api.Error{Code: api.CodeNoKey, Message: "no key was put in in time", Hint: "put a key in and try again"}
	}
	return cause
}
