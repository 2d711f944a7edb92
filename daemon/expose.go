package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// Exposure is how a virtual key stands in front of the real ones, for programs that know keys only.
type Exposure struct {
	// Key names the key that the virtual one is like, by its id or its serial number; empty for any,
	// a real one before an emulated one.
	Key string
	// Plug shows a new device to the programs of the machine, which is like a real one, and
	// returns the key's end of it. Closing that unplugs it.
	Plug func(ctx context.Context, like hid.Info) (hid.Device, error)
	// Who says who uses the device now.
	Who func() policy.Actor
}

// The times for which a key is kept for a program that must not be interrupted: between its
// messages, and in all.
const (
	lingerIdle = time.Second
	lingerMost = 30 * time.Second
)

// Expose shows one virtual key as long as there is a real one, until ctx ends (then it returns nil)
// or the device cannot be made. What programs ask of it goes through policy, queue, prompts and log as
// the operation that it amounts to.
//
// The virtual key is like one real key, its model: it answers as that does, and lives as long. A
// credential that another key has is asked of that one.
func (e *Engine) Expose(ctx context.Context, x Exposure) error {
	for ctx.Err() == nil {
		k, err := e.model(ctx, x.Key)
		if err != nil {
			break // ctx has ended
		}
		if err := e.exposeOne(ctx, x, k); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// model waits for the key that the virtual one is like.
func (e *Engine) model(ctx context.Context, name string) (*tokens.Key, error) {
	for {
		keys, changed := e.keys.Snapshot()
		slices.SortStableFunc(keys, func(x, y *tokens.Key) int {
			return cmp.Compare(emulatedLast(x), emulatedLast(y))
		})
		for _, k := range keys {
			if !k.FIDO() {
				continue
			}
			if name == "" || k.ID() == name || k.Device().Serial == name {
				return k, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func emulatedLast(k *tokens.Key) int {
	if k.Device().Emulated {
		return 1
	}
	return 0
}

// exposeOne shows a virtual key like k until that is pulled out or ctx ends.
func (e *Engine) exposeOne(ctx context.Context, x Exposure, k *tokens.Key) error {
	ctx, cancel := k.While(ctx)
	defer cancel()
	v := &virtualKey{e: e, who: x.Who, model: k}
	init, err := v.greet(ctx)
	if err != nil {
		e.log.Warn("a key is not shared", "key", k.ID(), "error", err)
		// Not before it has been pulled out.
		<-ctx.Done()
		return nil
	}
	device, err := x.Plug(ctx, k.Device())
	if err != nil {
		return err
	}
	e.log.Info("a key is shared", "key", k.ID(), "name", k.Name())
	defer e.log.Info("a key is not shared any more", "key", k.ID())
	if init.Capabilities == 0 {
		// A key of CTAP1 that cannot wink; the zero value would be a key of CTAP2.
		init.Capabilities = ctaphid.CapWink
	}
	server := ctaphid.NewServer(v, ctaphid.ServerConfig{DeviceVersion: init.DeviceVersion, Capabilities: init.Capabilities})
	stop := context.AfterFunc(ctx, func() { device.Close() })
	defer stop()
	defer v.drop()
	defer device.Close()
	if err := server.Serve(ctx, device); err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() == nil {
		return errors.New("daemon: the kernel has closed the shared key")
	}
	return nil
}

// virtualKey answers for the real keys. It implements [ctaphid.Authenticator]; calls do not overlap.
type virtualKey struct {
	e     *Engine
	who   func() policy.Actor
	model *tokens.Key

	// raw is the model's answer to getInfo when it said info. What the engine knows of the model is
	// another value once that may have changed.
	raw  []byte
	info *ctap2.Info

	mu    sync.Mutex // guards what follows
	held  *session   // kept for the next message, or nil
	since time.Time  // when it was taken
	idle  *time.Timer
}

// greet learns what the model is.
func (v *virtualKey) greet(ctx context.Context) (ctaphid.InitResponse, error) {
	c := v.call(rawRow(api.OpInfo), policy.Actor{Program: "fobd", PID: 0, User: "fobd"})
	s, err := c.open(ctx, v.model, nil)
	if err != nil {
		return ctaphid.InitResponse{}, err
	}
	defer s.close()
	return s.conn.Init(), nil
}

// call makes an operation of a message.
func (v *virtualKey) call(a rawAction, who policy.Actor) *call {
	c := &call{
		e: v.e, op: table[a.Operation], who: who, began: time.Now(),
		ui: people{&v.e.Desk, who, nobody{}}, requester: nobody{}, rpID: a.RPID, site: rawSite(a),
	}
	c.deadline = c.began.Add(v.e.cfg.Timeout)
	return c
}

// CBOR implements [ctaphid.Authenticator].
func (v *virtualKey) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	a, err := classifyCBOR(request)
	if err != nil {
		return []byte{byte(ctap2.StatusOf(err))}, nil
	}
	if a.Operation == api.OpInfo && v.info != nil && v.info == v.model.Info() {
		// Programs ask at any time, also while another one's key blinks.
		return slices.Clone(v.raw), nil
	}
	response, err := v.do(ctx, a, request, func(ctx context.Context, s *session) ([]byte, bool, error) {
		response, err := s.conn.CBOR(ctx, request, v.tell(s, keepalive))
		if a.Operation == api.OpInfo {
			v.raw, v.info = slices.Clone(response), v.model.Info()
		}
		if a.changesInfo() {
			s.forget()
		}
		ok := err == nil && len(response) > 0 && ctap2.Status(response[0]) == ctap2.StatusOK
		return response, ok && a.Opens, err
	})
	if status, ok := v.status(ctx, err); ok {
		return []byte{byte(status)}, nil
	}
	return response, err
}

// status is what a failure of ours is to a program that speaks CTAP2.
func (v *virtualKey) status(ctx context.Context, err error) (ctap2.Status, bool) {
	var denied *policy.DeniedError
	switch {
	case err == nil:
		return 0, false
	case errors.As(err, &denied):
		return ctap2.ErrOperationDenied, true
	case ctx.Err() != nil:
		return ctap2.ErrKeepaliveCancel, true
	case ErrorOf(err).Code == api.CodeTimeout:
		return ctap2.ErrUserActionTimeout, true
	}
	return 0, false
}

// MSG implements [ctaphid.Authenticator].
func (v *virtualKey) MSG(ctx context.Context, message []byte, keepalive func(byte)) ([]byte, error) {
	a, err := classifyMSG(message)
	if err != nil {
		var sw apdu.SW
		errors.As(err, &sw)
		return answerSW(sw), nil
	}
	response, err := v.do(ctx, a, message, func(ctx context.Context, s *session) ([]byte, bool, error) {
		response, err := s.conn.MSG(ctx, message, v.tell(s, keepalive))
		// A program that waits for a touch asks again and again (FIDO U2F Raw Message Formats 1.2,
		// section 3.3): others must not come in between, or the key forgets what it blinks for.
		wanted := err == nil && isSW(response, u2f.ErrConditionsNotSatisfied) && u2f.Control(a.Sub) != u2f.ControlCheckOnly
		if wanted {
			s.keepalive(ctap2.KeepaliveUPNeeded)
		} else {
			s.calm()
		}
		return response, wanted, err
	})
	var denied *policy.DeniedError
	if errors.As(err, &denied) {
		return answerSW(apdu.ErrSecurityStatus), nil
	}
	return response, err
}

// tell hands what the key says of its state to the program and to people.
func (v *virtualKey) tell(s *session, keepalive func(byte)) func(byte) {
	return func(status byte) {
		keepalive(status)
		s.keepalive(status)
	}
}

// Wink implements the command of that name.
func (v *virtualKey) Wink() {
	_, _ = v.do(context.Background(), rawRow(api.OpWink), nil, func(ctx context.Context, s *session) ([]byte, bool, error) {
		return nil, false, s.conn.Wink(ctx)
	})
}

// do sends one message: policy first, then the queue, then the key. send says whether the key must be kept
// for what follows.
func (v *virtualKey) do(ctx context.Context, a rawAction, message []byte, send func(context.Context, *session) ([]byte, bool, error)) (response []byte, err error) {
	who := v.who()
	if err := v.e.begin(who); err != nil {
		return nil, err
	}
	defer v.e.end(who)
	c := v.call(a, who)
	defer func() { c.finish(ctx, err) }()
	defer c.asking.Wait()
	if err = c.admit(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadlineCause(ctx, c.deadline, errDeadline)
	defer cancel()
	s, err := v.take(ctx, c, a, message)
	if err != nil {
		return nil, err
	}
	if a.Scope != policy.ScopeRead {
		c.took(s.key)
	}
	response, keep, err := send(ctx, s)
	if err != nil {
		err = &keyError{s.key, err}
	}
	v.leave(s, keep && err == nil)
	return response, err
}

// take opens the key that the message is for, or goes on with the one that is held.
func (v *virtualKey) take(ctx context.Context, c *call, a rawAction, message []byte) (*session, error) {
	if s := v.resume(c); s != nil {
		// The key is kept for what follows, not what is allowed with it.
		if err := c.permitKey(ctx, s.key); err != nil {
			v.leave(s, true)
			return nil, err
		}
		return s, nil
	}
	k, err := v.target(ctx, c, a, message)
	if err != nil {
		return nil, err
	}
	s, err := c.open(ctx, k, nil)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.since = time.Now()
	v.mu.Unlock()
	return s, nil
}

// resume gives the held key to another message, unless it has been held for so long that others
// must have their turn.
func (v *virtualKey) resume(c *call) *session {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.held
	if s == nil {
		return nil
	}
	v.idle.Stop()
	v.held = nil
	if time.Since(v.since) > lingerMost && v.e.arbiter.waiting() > 0 {
		s.close()
		return nil
	}
	// A prompt that is shown goes on: it is still the same touch.
	s.c = c
	return s
}

// leave keeps the key for the next message, or gives it back.
func (v *virtualKey) leave(s *session, keep bool) {
	if !keep {
		s.close()
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held = s
	v.idle = time.AfterFunc(lingerIdle, v.drop)
}

// drop gives a held key back.
func (v *virtualKey) drop() {
	v.mu.Lock()
	s := v.held
	v.held = nil
	if v.idle != nil {
		v.idle.Stop()
	}
	v.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// target is the key that a message is for: of several, the one that has the credential which is
// asked for; everything else is the model's, with which a program has agreed on its secrets.
func (v *virtualKey) target(ctx context.Context, c *call, a rawAction, message []byte) (*tokens.Key, error) {
	keys := v.e.fidoKeys()
	if len(keys) < 2 || a.Operation != api.OpAssert || a.Continues {
		return v.model, nil
	}
	has, err := finder(a, message)
	if has == nil || err != nil {
		return v.model, err
	}
	// The model first.
	slices.SortStableFunc(keys, func(x, y *tokens.Key) int {
		switch {
		case x == v.model:
			return -1
		case y == v.model:
			return 1
		}
		return 0
	})
	for _, k := range keys {
		s, err := c.open(ctx, k, nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		found := has(ctx, s)
		s.close()
		if found {
			return k, nil
		}
	}
	return v.model, nil
}

// finder returns a function that says, without a touch, whether a key has the credential that an
// assertion asks for; nil when it names none.
func finder(a rawAction, message []byte) (func(context.Context, *session) bool, error) {
	if a.Command == byte(ctap2.CmdGetAssertion) && len(message) > 0 && message[0] == a.Command {
		var r ctap2.GetAssertionRequest
		if err := ctap2.Unmarshal(message[1:], &r); err != nil || len(r.AllowList) == 0 {
			return nil, err
		}
		return func(ctx context.Context, s *session) bool {
			if s.client == nil {
				return false
			}
			_, ok, err := s.client.Preflight(ctx, ctap2.PreflightRequest{Info: s.info, RPID: r.RPID, List: r.AllowList})
			return err == nil && ok
		}, nil
	}
	c, _, err := apdu.ParseCommand(message)
	if err != nil || c.INS != u2f.InsAuthenticate {
		return nil, err
	}
	c.P1 = byte(u2f.ControlCheckOnly)
	check, err := c.Extended()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s *session) bool {
		response, err := s.conn.MSG(ctx, check, nil)
		return err == nil && isSW(response, u2f.ErrConditionsNotSatisfied)
	}, nil
}

// answerSW is a response that is a status word only.
func answerSW(sw apdu.SW) []byte { return []byte{byte(sw >> 8), byte(sw)} }

// isSW says whether a response ends with a status word.
func isSW(response []byte, sw apdu.SW) bool {
	n := len(response)
	return n >= 2 && response[n-2] == byte(sw>>8) && response[n-1] == byte(sw)
}
