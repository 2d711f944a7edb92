package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
)

// How long a lease lasts.
const (
	defaultLease = 30 * time.Second
	maxLease     = 5 * time.Minute
)

// Why a lease ended, as causes of its context.
var (
	errLeaseExpired  = errors.New("daemon: its time was over")
	errLeaseReleased = errors.New("daemon: the program gave it back")
	errLeaseRevoked  = errors.New("daemon: it was taken away")
)

// lease is a key in the hands of one program, which sends it messages. What is sent goes one after
// another: whoever has put a value into turn may use what is below it.
type lease struct {
	id      string
	c       *call // the operation that holds the key
	key     *tokens.Key
	init    ctaphid.InitResponse // what the key said of itself
	began   time.Time
	expires time.Time

	// hold ends, with the reason as its cause, when the lease does, and end ends it.
	hold context.Context
	end  context.CancelCauseFunc
	// over is closed when the key has been given to the next one.
	over chan struct{}

	mu      sync.Mutex     // guards what follows
	readers sync.WaitGroup // those who serve its file descriptors
	files   int
	closed  bool

	turn   chan struct{}
	s      *session
	pin    *pinMiddle // nil for a key that speaks U2F only
	last   rawAction  // the last message
	status func(byte) // what hears keepalives
	// pressing withdraws the prompt for the touch that U2F polls for; nil when none is shown.
	pressing func()
}

// lease is the operation lease.
func (c *call) lease(ctx context.Context, r *api.LeaseRequest) (*api.LeaseResult, error) {
	if !interactive(c.requester) {
		return nil, &api.Error{
			Code: api.CodeInvalidRequest, Message: "a lease is told by a prompt, and the request takes no prompts",
			Hint: "send Accept: application/x-ndjson, or use fob lease",
		}
	}
	duration := cmp.Or(time.Duration(r.DurationMS)*time.Millisecond, defaultLease)
	if duration > maxLease {
		return nil, &api.Error{
			Code: api.CodeInvalidRequest, Message: fmt.Sprintf("a lease of %v is too long", duration),
			Hint: fmt.Sprintf("ask for at most %v", maxLease),
		}
	}
	if err := c.setPurpose(r.Purpose); err != nil {
		return nil, err
	}
	s, err := c.choose(ctx, r.Key, wish{insert: true})
	if err != nil {
		return nil, err
	}
	over := make(chan struct{})
	defer close(over)
	defer s.close()
	whole, cancel := s.key.While(c.whole)
	defer cancel()
	hold, end := context.WithCancelCause(whole)
	defer end(nil)
	now := time.Now()
	l := &lease{
		id: rand.Text(), c: c, key: s.key, init: s.conn.Init(), began: now, expires: now.Add(duration),
		hold: hold, end: end, over: over, turn: make(chan struct{}, 1), s: s,
	}
	c.deadline = l.expires
	if s.client != nil {
		client := ctap2.NewClient(s.conn, func(status byte) { l.status(status) })
		if l.pin, err = newPINMiddle(client, r.AllowLastRetry); err != nil {
			return nil, err
		}
	}
	cause := l.run(duration)
	switch {
	case errors.Is(cause, errLeaseExpired):
		return &api.LeaseResult{Key: describe(s.key), Ended: api.LeaseExpired}, nil
	case errors.Is(cause, errLeaseReleased):
		return &api.LeaseResult{Key: describe(s.key), Ended: api.LeaseReleased}, nil
	case errors.Is(cause, errLeaseRevoked):
		return &api.LeaseResult{Key: describe(s.key), Ended: api.LeaseRevoked}, nil
	}
	return nil, &keyError{s.key, cause}
}

// run lets the program have the key until the lease ends, and says why it did. Nothing of the lease uses
// the key afterwards.
func (l *lease) run(duration time.Duration) error {
	timer := time.AfterFunc(duration, func() { l.end(errLeaseExpired) })
	defer timer.Stop()
	l.c.e.leases.add(l)
	p := l.c.prompt(api.PromptLease, l.key)
	p.Lease = l.id
	withdraw := l.c.show(p)
	<-l.hold.Done()
	l.c.e.leases.remove(l)
	withdraw()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.readers.Wait()
	l.turn <- struct{}{}
	l.calm()
	if l.pin != nil {
		l.pin.wipe()
	}
	// The program may have changed what the key says of itself.
	l.s.forget()
	return context.Cause(l.hold)
}

// leases are those that there are. The zero value is usable.
type leases struct {
	mu   sync.Mutex // guards byID
	byID map[string]*lease
}

func (b *leases) add(l *lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byID == nil {
		b.byID = make(map[string]*lease)
	}
	b.byID[l.id] = l
}

func (b *leases) remove(l *lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byID, l.id)
}

// find returns who's lease. To other users there is no such lease.
func (b *leases) find(id string, who policy.Actor) (*lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.byID[id]
	if l == nil || l.c.who.UID != who.UID || l.hold.Err() != nil {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "no such lease", Hint: "it may be over; ask for another one with lease"}
	}
	return l, nil
}

// all returns the leases, sorted by key.
func (b *leases) all() []*lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*lease, 0, len(b.byID))
	for _, l := range b.byID {
		list = append(list, l)
	}
	slices.SortFunc(list, func(x, y *lease) int { return cmp.Compare(x.key.ID(), y.key.ID()) })
	return list
}

// leaseSend is the operation lease-send.
func (c *call) leaseSend(ctx context.Context, r *api.LeaseSendRequest) (*api.LeaseSendResult, error) {
	if (len(r.CBOR) == 0) == (len(r.MSG) == 0) {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "a message is one of cbor and msg", Hint: "send one of them"}
	}
	l, err := c.e.leases.find(r.Lease, c.who)
	if err != nil {
		return nil, err
	}
	m := leaseMessage{who: c.who, body: r.CBOR}
	if len(r.MSG) > 0 {
		m.u2f, m.body = true, r.MSG
	}
	response, err := l.send(ctx, m)
	if err != nil {
		return nil, l.explain(err)
	}
	return &api.LeaseSendResult{Response: response}, nil
}

// leaseEnd is the operation lease-end.
func (c *call) leaseEnd(ctx context.Context, r *api.LeaseEndRequest) (*api.LeaseEndResult, error) {
	var l *lease
	cause := errLeaseReleased
	switch {
	case (r.Lease == "") == (r.Key == ""):
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "a lease is named by its secret name or by its key", Hint: "send one of lease and key"}
	case r.Lease != "":
		var err error
		if l, err = c.e.leases.find(r.Lease, c.who); err != nil {
			return nil, err
		}
	default:
		k, err := c.e.find(r.Key)
		if err != nil {
			return nil, err
		}
		all := c.e.leases.all()
		i := slices.IndexFunc(all, func(l *lease) bool { return l.key == k })
		if i < 0 {
			return nil, &api.Error{Code: api.CodeNotFound, Message: "nobody has a lease on " + k.Name(), Hint: "lease-list shows the leases", Key: k.ID()}
		}
		l, cause = all[i], errLeaseRevoked
		if l.c.who.UID != c.who.UID {
			if err := c.e.Authorize(c.who, policy.Action{Operation: c.op.Name, Scope: policy.ScopeAdmin}); err != nil {
				return nil, err
			}
		}
	}
	l.end(cause)
	select {
	case <-l.over:
	case <-ctx.Done():
		return nil, &keyError{l.key, context.Cause(ctx)}
	}
	return &api.LeaseEndResult{Key: describe(l.key)}, nil
}

// leaseList is the operation lease-list. It tells nobody the name of a lease.
func (c *call) leaseList(context.Context, *api.LeaseListRequest) (*api.LeaseListResult, error) {
	all := c.e.leases.all()
	result := &api.LeaseListResult{Leases: make([]api.Lease, 0, len(all))}
	for _, l := range all {
		who := l.c.who
		result.Leases = append(result.Leases, api.Lease{
			Key:     describe(l.key),
			Holder:  api.Holder{Program: who.Program, PID: who.PID, User: who.User, Operation: api.OpLease, Since: l.began.Format(time.RFC3339)},
			Purpose: l.c.purpose,
			Expires: l.expires.Format(time.RFC3339),
		})
	}
	return result, nil
}

// explain says an error of a message to the program.
func (l *lease) explain(err error) error {
	refuse := func(code api.Code, message, hint string) error {
		return &api.Error{Code: code, Message: fmt.Sprintf(message, l.key.Name()), Hint: hint, Key: l.key.ID()}
	}
	var denied *policy.DeniedError
	switch {
	case errors.As(err, &denied):
		return err
	case errors.Is(err, errLeaseSecret):
		return refuse(api.CodeUnsupported, "hmac-secret of %s cannot be used within a lease: its output is encrypted for the daemon", "use assert or register with the extension prf")
	case errors.Is(err, errLeaseLastRetry):
		return refuse(api.CodePINLastRetry, "one wrong PIN more blocks %s", "allow the last retry in the lease if you are sure of the PIN")
	case errors.Is(err, errLeaseExpired):
		return refuse(api.CodeNotFound, "the lease on %s has expired", "ask for another one with lease")
	case errors.Is(err, errLeaseReleased), errors.Is(err, context.Canceled) && l.hold.Err() != nil:
		return refuse(api.CodeNotFound, "the lease on %s was given back", "ask for another one with lease")
	case errors.Is(err, errLeaseRevoked):
		return refuse(api.CodeNotFound, "the lease on %s was taken away", "ask for another one with lease")
	case errors.Is(err, hid.ErrGone):
		return &keyError{l.key, hid.ErrGone}
	}
	return &keyError{l.key, err}
}
