package daemon

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/audit"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// leaseMessage is one message for a leased key.
type leaseMessage struct {
	who  policy.Actor
	body []byte
	// u2f says that body is an APDU, and not a CTAP2 request.
	u2f bool
	// keepalive, if not nil, hears what the key says of its state.
	keepalive func(status byte)
}

// send passes a message to the key and returns the answer. What is not a message is answered as a key
// would, what the policy forbids with its [*policy.DeniedError]. When ctx or the lease ends, the
// key is told to stop. The log and the events tell what the message amounted to.
func (l *lease) send(ctx context.Context, m leaseMessage) ([]byte, error) {
	a, refusal := m.classify()
	if refusal != nil {
		return refusal, nil
	}
	c := l.person(a)
	c.who, c.began, c.frontEnd = m.who, time.Now(), audit.FrontEndLease
	if !m.u2f && ctap2.Cmd(a.Command) == ctap2.CmdClientPIN && a.Operation != api.OpPINSet && a.Operation != api.OpPINChange {
		// A token permits an operation; that is not the operation.
		c.op = table[api.OpLeaseSend]
	}
	if a.Scope != policy.ScopeRead {
		c.took(l.key)
	}
	response, err := l.deliver(ctx, c, m, a)
	switch {
	case err != nil:
		c.finish(ctx, l.explain(err))
	case m.u2f && !asksForTouch(a, response), !m.u2f:
		c.finish(ctx, l.outcome(m, response))
	}
	return response, err
}

// outcome is the error that an answer of the key is, for the log.
func (l *lease) outcome(m leaseMessage, response []byte) error {
	var refused error
	switch n := len(response); {
	case m.u2f && n >= 2 && statusWord(response) != apdu.OK:
		refused = statusWord(response)
	case !m.u2f && n > 0 && ctap2.Status(response[0]) != ctap2.StatusOK:
		refused = &ctap2.Error{Cmd: ctap2.Cmd(m.body[0]), Status: ctap2.Status(response[0])}
	default:
		return nil
	}
	return &keyError{l.key, refused}
}

// deliver asks the policy, waits for the lease's turn, and has the key answer.
func (l *lease) deliver(ctx context.Context, c *call, m leaseMessage, a rawAction) ([]byte, error) {
	if err := c.permitRaw(ctx, a, l.key); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.hold, func() { cancel(context.Cause(l.hold)) })()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	switch {
	case m.u2f:
		l.last = rawAction{}
	case !l.follows(a):
		return []byte{byte(ctap2.ErrNotAllowed)}, nil
	default:
		l.last = a
	}
	t := &leaseTouch{l: l, a: a}
	l.status = func(status byte) {
		t.hear(status)
		if m.keepalive != nil {
			m.keepalive(status)
		}
	}
	defer t.calm()
	response, err := l.pass(ctx, m, a)
	if l.hold.Err() != nil && (err != nil || len(response) == 1 && response[0] == byte(ctap2.ErrKeepaliveCancel)) {
		return nil, context.Cause(l.hold)
	}
	return response, err
}

// classify says what a message amounts to, or the answer to one that is none.
func (m *leaseMessage) classify() (a rawAction, refusal []byte) {
	var err error
	if m.u2f {
		if a, err = classifyMSG(m.body); err != nil {
			sw := apdu.ErrWrongLength
			_ = errors.As(err, &sw)
			return a, []byte{byte(sw >> 8), byte(sw)}
		}
		return a, nil
	}
	if a, err = classifyCBOR(m.body); err != nil {
		return a, []byte{byte(ctap2.StatusOf(err))}
	}
	return a, nil
}

// follows says whether a message that goes on with something goes on with what this lease has begun: what
// the one before left in the key is not its business.
func (l *lease) follows(a rawAction) bool {
	last := ctap2.Cmd(l.last.Command)
	switch cmd := ctap2.Cmd(a.Command); cmd {
	case ctap2.CmdGetNextAssertion:
		return last == ctap2.CmdGetAssertion || last == cmd
	case ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview:
		switch sub := ctap2.CredentialManagementSubcommand(a.Sub); sub {
		case ctap2.SubEnumerateRPsGetNextRP, ctap2.SubEnumerateCredentialsGetNext:
			// Each comes after the one that begins, whose number is one less.
			return last == cmd && (l.last.Sub == a.Sub || l.last.Sub == a.Sub-1)
		}
	}
	return true
}

// pass has the key answer. It is the lease's turn.
func (l *lease) pass(ctx context.Context, m leaseMessage, a rawAction) ([]byte, error) {
	if m.u2f {
		response, err := l.s.conn.MSG(ctx, m.body, l.status)
		l.press(a, response)
		return response, err
	}
	l.calm()
	if l.pin == nil {
		return l.s.conn.CBOR(ctx, m.body, l.status) // which says that the key has no CTAP2
	}
	if ctap2.Cmd(a.Command) == ctap2.CmdClientPIN {
		response, err := l.pin.clientPIN(ctx, m.body[1:])
		if err != nil {
			return answerOf(err)
		}
		if response == nil {
			return []byte{byte(ctap2.StatusOK)}, nil
		}
		return ctap2.MarshalResponse(response)
	}
	request, err := l.pin.translate(m.body)
	if err != nil {
		return answerOf(err)
	}
	return l.s.conn.CBOR(ctx, request, l.status)
}

// answerOf is the answer to a request that ended with a status; other errors stay errors.
func answerOf(err error) ([]byte, error) {
	var status ctap2.Status
	if errors.As(err, &status) {
		return []byte{byte(status)}, nil
	}
	return nil, err
}

// maxDomain is the length of the longest domain name.
const maxDomain = 253

// person is the call whose prompts are shown for a message: that of the lease, with what the
// message says.
func (l *lease) person(a rawAction) *call {
	c := l.c
	p := &call{e: c.e, op: table[a.Operation], who: c.who, ui: c.ui, requester: c.requester, deadline: c.deadline, purpose: c.purpose}
	p.rpID = printable(a.RPID)
	if len(p.rpID) > maxDomain {
		p.rpID = strings.ToValidUTF8(p.rpID[:maxDomain], "")
	}
	return p
}

// show shows a prompt for the touch that a message wants.
func (l *lease) show(a rawAction, kind api.PromptKind) (withdraw func()) {
	c := l.person(a)
	if c.rpID == "" && (a.Operation == api.OpRegister || a.Operation == api.OpAssert) {
		c.op = table[api.OpTouch] // there is no site to name
	}
	return c.show(c.prompt(kind, l.key))
}

// leaseTouch is the prompt for the touch that a message waits for.
type leaseTouch struct {
	l        *lease
	a        rawAction
	withdraw func()
}

// hear turns what the key says of its state into a prompt (CTAP 2.2, section 11.2.9.1.7).
func (t *leaseTouch) hear(status byte) {
	switch {
	case status != ctap2.KeepaliveUPNeeded:
		t.calm()
	case t.withdraw == nil:
		kind := api.PromptTouch
		if ctap2.Cmd(t.a.Command) == ctap2.CmdClientPIN {
			kind = api.PromptVerify // only with the key's own verification does it wait
		}
		t.withdraw = t.l.show(t.a, kind)
	}
}

func (t *leaseTouch) calm() {
	if t.withdraw != nil {
		t.withdraw()
		t.withdraw = nil
	}
}

// press shows that a program asks again and again for a touch, as U2F has it, until the
// touch or another message.
func (l *lease) press(a rawAction, response []byte) {
	switch {
	case !asksForTouch(a, response):
		l.calm()
	case l.pressing == nil:
		l.pressing = l.show(a, api.PromptTouch)
	}
}

// asksForTouch says whether an answer of U2F wants the program to ask again until the touch.
func asksForTouch(a rawAction, response []byte) bool {
	return len(response) == 2 && statusWord(response) == apdu.ErrConditionsNotSatisfied &&
		// Check-only says by this status that the credential is the key's.
		!(a.Command == u2f.InsAuthenticate && a.Sub == byte(u2f.ControlCheckOnly))
}

// statusWord is the end of an answer of U2F, which has at least two bytes.
func statusWord(response []byte) apdu.SW {
	n := len(response)
	return apdu.SW(response[n-2])<<8 | apdu.SW(response[n-1])
}

// calm withdraws the prompt of press.
func (l *lease) calm() {
	if l.pressing != nil {
		l.pressing()
		l.pressing = nil
	}
}
