// Package daemon is the engine of fobd: one table of operations, a queue for each
// key, sessions with keys, prompts and events.
//
// It is for the front ends (daemon/httpapi, daemon/dbusapi), which decode a request,
// know who asks, and call [Engine.Do]. It knows nothing of sockets, HTTP or D-Bus.
//
// A request takes one way down and one way back: the table, the policy (once, before any
// wait), the queue of the key, a session with the key. The answer is a return value; the
// person is the [UI] that came down with the request.
package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
)

// The times an operation is allowed when [Config] says nothing.
const (
	DefaultTimeout = 60 * time.Second
	MaxTimeout     = 10 * time.Minute
)

// Verifier checks responses as a relying party does. Failed checks are an [*api.Error]
// with [api.CodeVerifyFailed].
type Verifier interface {
	Verify(ctx context.Context, r *api.CheckRequest) (*api.CheckResult, error)
}

// Config is how an [Engine] is made. The zero value has no keys and lets root in only.
type Config struct {
	// Sources are the buses on which keys are looked for. Emulated keys are on a bus of
	// the engine's own.
	Sources []hid.Bus
	// Sides are where keys and tokens are looked for that keep accounts for one-time codes.
	Sides []tokens.Sides
	// Rules say who may do what. Default: the zero [policy.Rules].
	Rules policy.Decider
	// Session tells the state of a login session, for the rules. Default: nothing is known of any.
	Session func(id string) policy.Session
	// Vouch asks polkit whether who may administer, when the rules would take its word; interactive says
	// that it may ask the person for a password. Default: nobody vouches.
	Vouch func(ctx context.Context, who policy.Actor, what policy.Action, interactive bool) error
	// Verifier does what verify asks for; without one it is unsupported.
	Verifier Verifier
	// Log gets one line for each operation. Default: nowhere.
	Log *slog.Logger
	// StateDir is where emulated keys keep their files; without one they are in memory.
	StateDir string
	// Version, Mode ("user" or "system") and Socket are told by status.
	Version, Mode, Socket string
	// Timeout bounds operations whose request does not say how long, MaxTimeout those
	// that do. Defaults: [DefaultTimeout] and [MaxTimeout].
	Timeout, MaxTimeout time.Duration
	// PromptOrder names those who are asked, the first one of them who can: names of agents, and
	// [Requester]. Agents it does not name come after those that it does, the requester last.
	PromptOrder []string
	// Enterprise says which sites get enterprise attestation; the zero value: none.
	Enterprise Enterprise
	// Foreign tells, as events, of touches that programs outside the daemon wait for.
	Foreign bool
	// Audit gets a record of each operation before it is answered. Default: nobody does.
	Audit Audit
	// Observer counts what happens. Default: nobody does.
	Observer Observer
	// KeepTokens is how long a PIN/UV auth token is kept for the process that it was got for, at most
	// [MaxKeep]; 0 keeps none.
	KeepTokens time.Duration
	// Registry knows whose tokens and security keys there are, and checks codes. Default: this daemon keeps none.
	Registry *registry.Service
	// People says how people's security keys are enrolled, and what statements about them say.
	People People
	// Limits bound how much there may be at once.
	Limits Limits
	// Channel holds the times that keys are allowed for an answer.
	Channel ctaphid.Config
}

// Enterprise says which sites that ask for enterprise attestation get it (CTAP 2.3, section
// 7.1). It lets them tell single keys apart.
type Enterprise struct {
	// Vendor asks keys for it as their vendors facilitate it: for the sites in the key.
	Vendor bool
	// RPIDs are the sites for which the platform's manager asks keys for it.
	RPIDs []string
}

// Engine runs operations. It is made by [New]; its methods may be called from several
// goroutines.
type Engine struct {
	// Desk is where the questions of operations lie.
	Desk

	cfg      Config
	log      *slog.Logger
	keys     *tokens.Registry
	arbiter  arbiter
	grants   grants
	kept     keptTokens
	events   broadcaster
	emulated emulator
	leases   leases
	started  time.Time

	// stopping ends, with errShuttingDown as its cause, when Run's context does.
	recent recent

	stopping context.Context
	stop     context.CancelCauseFunc

	mu      sync.Mutex     // guards what follows
	stopped bool           // no operation begins any more
	running frontend.Tally // operations
	streams frontend.Tally // of events
	idle    chan struct{}  // closed when stopped and nothing runs
}

// New returns an engine. It serves at once; [Engine.Run] makes it notice keys that come
// and go.
func New(cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits.setDefaults()
	if err := cfg.People.setDefaults(); err != nil {
		return nil, err
	}
	if cfg.Observer == nil {
		cfg.Observer = unobserved{}
	}
	if cfg.Rules == nil {
		cfg.Rules = policy.Rules{}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxTimeout == 0 {
		cfg.MaxTimeout = MaxTimeout
	}
	if cfg.Timeout < 0 || cfg.MaxTimeout < 0 || cfg.Timeout > cfg.MaxTimeout {
		return nil, fmt.Errorf("daemon: time-outs %v and %v make no sense", cfg.Timeout, cfg.MaxTimeout)
	}
	e := &Engine{cfg: cfg, log: cfg.Log, started: time.Now(), idle: make(chan struct{})}
	e.stopping, e.stop = context.WithCancelCause(context.Background())
	e.kept.span = min(cfg.KeepTokens, MaxKeep)
	e.running.Max, e.running.MaxUser = cfg.Limits.Requests, cfg.Limits.UserRequests
	e.streams.Max, e.streams.MaxUser = cfg.Limits.Streams, cfg.Limits.UserStreams
	e.order = slices.Clone(cfg.PromptOrder)
	e.arbiter.tell = e.events.holder
	e.arbiter.most, e.arbiter.mostOfUser = cfg.Limits.Queue, cfg.Limits.UserQueue
	e.emulated.init()
	sources := append([]hid.Bus{e.emulated.bus}, cfg.Sources...)
	e.keys = tokens.NewRegistry(tokens.Config{
		Notify:  e.events.key,
		Channel: cfg.Channel,
		Log:     cfg.Log,
		Sides:   append([]tokens.Sides{&e.emulated.sides}, cfg.Sides...),
	}, sources...)
	return e, nil
}

// Run watches for keys until ctx ends. Then new operations are refused, running ones are
// cancelled on the key, and when the last one has ended and the emulated keys are switched
// off, Run returns nil. It must be called once.
func (e *Engine) Run(ctx context.Context) error {
	var foreign sync.WaitGroup
	if e.cfg.Foreign {
		foreign.Go(func() { e.watchForeign(ctx) })
	}
	// It returns when ctx ends, for no other reason.
	_ = e.keys.Run(ctx)
	foreign.Wait()
	e.mu.Lock()
	e.stopped = true
	if e.running.All() == 0 {
		close(e.idle)
	}
	e.mu.Unlock()
	e.stop(errShuttingDown)
	<-e.idle
	e.emulated.close()
	return nil
}

// begin counts an operation of who in, if it may run.
func (e *Engine) begin(who policy.Actor) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return errShuttingDown
	}
	return enter(&e.running, who, "requests that run or wait")
}

// end counts it out.
func (e *Engine) end(who policy.Actor) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running.Leave(who.UID)
	if e.stopped && e.running.All() == 0 {
		close(e.idle)
	}
}

// Do runs the operation named op for who. decode fills the operation's request struct, to
// which it gets a pointer; it must refuse members that the struct does not have. ui is the
// person; nil is nobody. When ctx ends, the operation is cancelled on the key.
//
// The result is a pointer to the operation's result struct. [ErrorOf] tells what an error
// means to the caller.
func (e *Engine) Do(ctx context.Context, who policy.Actor, op string, decode func(any) error, ui UI) (any, error) {
	row, ok := table[op]
	if !ok {
		return nil, &api.Error{Code: api.CodeUnknownOperation, Message: "no such operation: " + shorten(op)}
	}
	if ui == nil {
		ui = nobody{}
	}
	if err := e.begin(who); err != nil {
		return nil, err
	}
	defer e.end(who)
	c := &call{e: e, op: row, who: who, ui: people{&e.Desk, who, ui}, requester: ui, began: time.Now()}
	result, err := c.run(ctx, decode)
	c.finish(ctx, err)
	if err == nil && c.unwritten && e.cfg.Audit.Required {
		return nil, errUnwritten
	}
	return result, err
}

// Events streams what happens to send: what is there now, a ready event, and then every
// change, until ctx ends or send fails. A slow subscriber gets one lost event and goes on.
func (e *Engine) Events(ctx context.Context, who policy.Actor, send func(api.Event) error) error {
	if err := e.Authorize(who, policy.Action{Operation: "events", Scope: policy.ScopeRead}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.stopping, func() { cancel(errShuttingDown) })()
	e.mu.Lock()
	err := enter(&e.streams, who, "streams of events")
	e.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.streams.Leave(who.UID)
	}()
	return e.events.stream(ctx, send)
}

// Agent is [Desk.Agent] for who the policy lets see prompts, until the engine stops.
func (e *Engine) Agent(ctx context.Context, who policy.Actor, about api.Agent, send func(api.Line) error) error {
	if err := e.Authorize(who, policy.Action{Operation: "prompts", Scope: policy.ScopeUse}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.stopping, func() { cancel(errShuttingDown) })()
	return e.Desk.Agent(ctx, who, about, send)
}

// status is the operation status.
func (c *call) status(context.Context, *api.StatusRequest) (*api.StatusResult, error) {
	e := c.e
	now := e.Stats()
	result := &api.StatusResult{
		Version:     e.cfg.Version,
		API:         api.Version,
		PID:         os.Getpid(),
		Mode:        e.cfg.Mode,
		Socket:      e.cfg.Socket,
		Keys:        now.Keys,
		Busy:        now.Busy,
		Running:     now.Running - 1, // not this one
		Waiting:     now.Waiting,
		Subscribers: now.Subscribers,
		Agents:      now.Agents,
		Leases:      now.Leases,
		Grants:      now.Grants,
		Audit:       "off",
		StartedAt:   e.started.Format(time.RFC3339),
	}
	if s, ok := e.cfg.Rules.(*policy.Set); ok {
		result.Rules = len(s.List())
	}
	if log := e.cfg.Audit.Log; log != nil {
		result.Audit = "on"
		if err := log.Err(); err != nil {
			result.Audit = strings.TrimPrefix(err.Error(), "audit: ")
		}
	}
	return result, nil
}
