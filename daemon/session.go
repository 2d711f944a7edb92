package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// session is a key in the hands of one operation. It is for one goroutine.
type session struct {
	c    *call
	key  *tokens.Key
	conn *tokens.Conn
	// auth speaks to the key, whichever protocol it has; client is nil for a key that
	// speaks U2F only.
	auth   ctap2.Authenticator
	client *ctap2.Client
	info   *ctap2.Info

	// under is the RP ID that a credential is registered under, where that is not the
	// site's own but an AppID of U2F.
	under string

	release  func() // gives the key to the next operation
	kind     api.PromptKind
	withdraw func() // nil when no prompt is shown
	shown    time.Time
	// steady keeps a prompt that is shown until the exchange is over.
	steady bool
}

// open takes a key: first its turn among the operations of this daemon, then the device
// among the programs outside. What it waits for is shown; busy, if not nil, is told once.
// The caller closes the session.
func (c *call) open(ctx context.Context, k *tokens.Key, busy func()) (*session, error) {
	if !k.FIDO() {
		return nil, &api.Error{
			Code: api.CodeUnsupported, Message: k.Name() + " is there for one-time codes only: the daemon sees no FIDO interface of it",
			Hint: "use another key, or look at its settings and at the permissions of its device", Key: k.ID(),
		}
	}
	conn, release, err := take(ctx, c, k, busy, func(ctx context.Context, waiting func(hid.Holder)) (*tokens.Conn, error) {
		return c.e.keys.Open(ctx, k, waiting)
	})
	if err != nil {
		return nil, err
	}
	s := &session{c: c, key: k, conn: conn, release: release, kind: api.PromptTouch}
	if err := s.greet(ctx); err != nil {
		s.close()
		return nil, &keyError{k, err}
	}
	return s, nil
}

// take waits for a key's turn, and then opens one of its interfaces. release gives the turn to the next one.
func take[T any](ctx context.Context, c *call, k *tokens.Key, busy func(), open func(context.Context, func(hid.Holder)) (T, error)) (opened T, release func(), err error) {
	ctx, cancel := k.While(ctx)
	defer cancel()
	// Before it waits for the key, and not while it has it.
	if err := c.permitKey(ctx, k); err != nil {
		return opened, nil, err
	}
	w := &waiter{c: c, key: k, busy: busy}
	defer w.done()
	queued := time.Now()
	release, err = c.e.arbiter.acquire(ctx, k, newClaim(c), w.wait)
	c.e.cfg.Observer.Waited(time.Since(queued))
	if err != nil {
		return opened, nil, w.explain(err)
	}
	// Its turn may have come because everything is being cancelled; a key that nobody wants any
	// more is not asked to blink.
	err = cmp.Or(context.Cause(ctx), context.Cause(c.e.stopping))
	if err == nil {
		opened, err = open(ctx, func(h hid.Holder) { w.wait(place{Holder: outsider(h)}) })
	}
	if err != nil {
		release()
		return opened, nil, w.explain(err)
	}
	return opened, release, nil
}

// greet learns what the key is.
func (s *session) greet(ctx context.Context) (err error) {
	if s.conn.CTAP2() {
		s.client = ctap2.NewClient(s.conn, s.keepalive)
		s.auth = s.client
		s.info, err = s.conn.Info(ctx)
		return err
	}
	s.auth = ctap2.NewU2FClient(s.conn, s.keepalive)
	s.info, err = s.auth.GetInfo(ctx)
	return err
}

// waiter shows who has the key that an operation waits for.
type waiter struct {
	c        *call
	key      *tokens.Key
	busy     func()
	holder   *api.Holder
	withdraw func() // from the program that asks
	over     func() // from all others
}

// wait tells the program that asks of its place, again and again; all others hear once that it waits.
func (w *waiter) wait(at place) {
	if w.holder == nil && w.busy != nil {
		w.busy()
	}
	w.holder = &at.Holder
	p := w.c.prompt(api.PromptWait, w.key)
	p.Holder = &at.Holder
	p.Message = fmt.Sprintf("%s is in use by %s; waiting for it", w.key.Name(), holderName(at.Holder))
	if w.over == nil {
		w.over = w.c.showOthers(p)
	} else {
		w.withdraw()
		p.ID = rand.Text()
	}
	p.Position, p.Waiting = at.Position, at.Waiting
	if at.Waiting > 1 {
		p.Message += fmt.Sprintf(", %d of %d", at.Position, at.Waiting)
	}
	w.withdraw = w.c.requester.Show(p)
}

func (w *waiter) done() {
	if w.over != nil {
		w.withdraw()
		w.over()
		w.over = nil
	}
}

// explain says who had the key until the deadline.
func (w *waiter) explain(err error) error {
	if w.holder != nil && errors.Is(err, errDeadline) {
		// It may be another one by now.
		if now := w.c.e.arbiter.holder(w.key); now != nil && !w.holder.Outside {
			w.holder = now
		}
		return &api.Error{
			Code:    api.CodeBusy,
			Message: fmt.Sprintf("%s is in use by %s", w.key.Name(), holderName(*w.holder)),
			Hint:    "try again when it is done",
			Key:     w.key.ID(),
			Holder:  w.holder,
		}
	}
	return &keyError{w.key, err}
}

func holderName(h api.Holder) string {
	name := h.Program
	switch {
	case name == "" && h.PID == 0:
		return "another program"
	case name == "":
		name = fmt.Sprintf("process %d", h.PID)
	case h.PID != 0:
		name = fmt.Sprintf("%s (process %d)", name, h.PID)
	}
	if h.User != "" {
		name += " of " + h.User
	}
	if h.Operation != "" {
		name += " for " + h.Operation
	}
	if since, err := time.Parse(time.RFC3339, h.Since); err == nil {
		name += " since " + since.Format(time.TimeOnly)
	}
	return name
}

// close gives the key back. What was begun has been ended by the methods that began it.
func (s *session) close() {
	s.calm()
	_ = s.conn.Close() // nothing can be done about a device that does not close
	s.release()
}

// keepalive turns what the key says of its state into a prompt (CTAP 2.2, section
// 11.2.9.1.7).
func (s *session) keepalive(status byte) {
	if status != ctap2.KeepaliveUPNeeded {
		if !s.steady {
			s.calm()
		}
		return
	}
	if s.withdraw == nil {
		s.withdraw = s.c.show(s.c.prompt(s.kind, s.key))
		s.shown = time.Now()
	}
}

// calm withdraws the prompt.
func (s *session) calm() {
	if s.withdraw != nil {
		s.withdraw()
		s.withdraw = nil
		s.c.e.cfg.Observer.Touched(time.Since(s.shown))
	}
}

// exchange has the key do something; if it waits for the person meanwhile, the prompt is
// of the given kind. Errors say which key it was.
func exchange[T any](s *session, kind api.PromptKind, do func() (T, error)) (T, error) {
	s.kind = kind
	defer s.calm()
	v, err := do()
	if err != nil {
		err = &keyError{s.key, err}
	}
	return v, err
}
