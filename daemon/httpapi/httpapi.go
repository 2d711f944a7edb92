// Package httpapi is the daemon's front end for its Unix socket: HTTP/1.1 with JSON.
//
// It is for every program that wants something of a security key, be it written in Go
// (daemon/client) or a line of curl:
//
//	POST   /v1/<operation>    run a row of daemon.Operations
//	POST   /v1/prompts/{id}   answer a prompt
//	DELETE /v1/prompts/{id}   the person gives up
//	GET    /v1/prompts        the prompts of a user's operations, as NDJSON, for agents
//	GET    /v1/events         what changes, as NDJSON
//	POST   /v1/lease-reports  a lease as a file descriptor
//	GET    /metrics           counts, for Prometheus
//	GET    /v1/openapi.json   all of this, for machines
//	GET    /v1/jwks           the keys that statements are signed with, as libraries for JWT want them
//
// No operation has code of its own here: names, request and result types come from the
// table. Who asks is known from the connection (SO_PEERCRED), never from the request.
// Web pages are kept out: a browser's requests are recognised and refused.
package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Engine is what this front end needs of a [daemon.Engine].
type Engine interface {
	Do(ctx context.Context, who policy.Actor, op string, decode func(any) error, ui daemon.UI) (any, error)
	Events(ctx context.Context, who policy.Actor, send func(api.Event) error) error
	// The desk's methods.
	UI(who policy.Actor, show func(api.Prompt) (withdraw func())) *daemon.Screen
	Answer(who policy.Actor, id string, body []byte, giveUp bool) error
	Agent(ctx context.Context, who policy.Actor, about api.Agent, send func(api.Line) error) error
	LeaseReports(who policy.Actor, lease string) (*os.File, error)
	Authorize(who policy.Actor, what policy.Action) error
}

// maxAnswer is far above what an honest answer needs.
const maxAnswer = 255 // bytes of an answer to a prompt; a PIN has at most 63 (CTAP 2.2, section 6.5.1)

// Config is how a [Handler] is made. Zero members have defaults.
type Config struct {
	// Log gets one line for each refused connection and each fault. Default: nowhere.
	Log *slog.Logger
	// MaxBody bounds the body of a request, in bytes. Default: 1 MiB.
	MaxBody int64
	// BodyTimeout bounds the time in which a client must have sent its body, and
	// in which it must take a line of its answer. Default: 10 seconds.
	BodyTimeout time.Duration
	// MaxConnections bounds the connections of all users together, and
	// MaxUserConnections those of one user. Defaults: 16384 and 12288.
	MaxConnections, MaxUserConnections int
	// Metrics serves GET /metrics, in Prometheus' text form. Default: nothing is there.
	Metrics http.Handler
	// ShutdownTimeout bounds how long [Handler.Serve] waits for running requests. Default: 10 seconds.
	ShutdownTimeout time.Duration
}

// Handler answers requests. It is made by [New].
type Handler struct {
	engine     Engine
	operations map[string]daemon.Operation
	cfg        Config
	openAPI    func() ([]byte, error)
	// closing ends streams of events when Serve stops.
	closing    context.Context
	closeTails context.CancelFunc
}

// New returns a handler in front of an engine.
func New(engine Engine, cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&cfg.MaxBody, 1<<20)
	setDefault(&cfg.BodyTimeout, 10*time.Second)
	setDefault(&cfg.MaxConnections, 16384)
	setDefault(&cfg.MaxUserConnections, 12288)
	setDefault(&cfg.ShutdownTimeout, 10*time.Second)
	h := &Handler{engine: engine, cfg: cfg, operations: map[string]daemon.Operation{}}
	for _, op := range daemon.Operations() {
		h.operations[op.Name] = op
	}
	h.openAPI = openAPIOnce(daemon.Operations())
	h.closing, h.closeTails = context.WithCancel(context.Background())
	return h
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// about is what GET / answers.
const about = `This is fobd, which shares the security keys of this machine among programs.

POST /v1/<operation>    with a JSON body; Accept: application/x-ndjson streams prompts
GET  /v1/events         what changes, a JSON value a line
GET  /v1/prompts        prompts, for a program that shows them: ?name=NAME&kinds=KIND,KIND
POST /v1/lease-reports  a lease as a file descriptor that carries CTAPHID
GET  /metrics           counts, for Prometheus
GET  /v1/openapi.json   the whole interface
GET  /v1/jwks           the keys that statements about people are signed with

The command line for all of it is fob(1).
`

// ServeHTTP implements [http.Handler]. The request's context must come from
// [ConnContext] or [WithActor]: without an actor everything is denied.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if e := refuseBrowser(r); e != nil {
		fail(w, e)
		return
	}
	who, known := ActorFrom(r.Context())
	if !known {
		fail(w, &api.Error{Code: api.CodeDenied, Message: "the kernel does not say who is calling"})
		return
	}
	switch path := r.URL.Path; {
	case path == "/":
		if allow(w, r, http.MethodGet) {
			header.Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, about)
		}
	case path == "/v1/events":
		if allow(w, r, http.MethodGet) {
			h.events(w, r, who)
		}
	case path == "/v1/prompts":
		if allow(w, r, http.MethodGet) {
			h.agent(w, r, who)
		}
	case path == "/v1/openapi.json":
		if allow(w, r, http.MethodGet) {
			h.describe(w)
		}
	case path == "/v1/jwks":
		if allow(w, r, http.MethodGet) {
			h.keySet(w, r, who)
		}
	case path == "/metrics" && h.cfg.Metrics != nil:
		if allow(w, r, http.MethodGet) {
			if err := h.engine.Authorize(who, policy.Action{Operation: "metrics", Scope: policy.ScopeRead}); err != nil {
				fail(w, daemon.ErrorOf(err))
				return
			}
			h.cfg.Metrics.ServeHTTP(w, r)
		}
	case path == "/v1/lease-reports":
		if allow(w, r, http.MethodPost) {
			h.leaseReports(w, r, who)
		}
	case strings.HasPrefix(path, "/v1/prompts/"):
		if allow(w, r, http.MethodPost, http.MethodDelete) {
			h.answer(w, r, who, strings.TrimPrefix(path, "/v1/prompts/"))
		}
	default:
		name, versioned := strings.CutPrefix(path, "/v1/")
		op, known := h.operations[name]
		if !versioned || !known {
			fail(w, &api.Error{
				Code:    api.CodeUnknownOperation,
				Message: "no such operation: " + quote(path),
				Hint:    "GET /v1/openapi.json lists them",
			})
			return
		}
		if allow(w, r, http.MethodPost) {
			h.operate(w, r, who, op)
		}
	}
}

// allow refuses a request whose method is none of methods.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	list := strings.Join(methods, ", ")
	w.Header().Set("Allow", list)
	failWith(w, http.StatusMethodNotAllowed, &api.Error{
		Code:    api.CodeInvalidRequest,
		Message: "method not allowed: " + quote(r.Method),
		Hint:    "use " + list,
	})
	return false
}
