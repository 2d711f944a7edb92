package httpapi

import (
	"context"
	"net/http"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

// operate runs one operation, whichever it is. The request's context ends when the
// client hangs up, and with it the operation.
func (h *Handler) operate(w http.ResponseWriter, r *http.Request, who policy.Actor, op daemon.Operation) {
	accept := negotiate(r.Header.Values("Accept"), typeJSON, typeNDJSON)
	if accept == "" {
		failWith(w, http.StatusNotAcceptable, &api.Error{
			Code:    api.CodeInvalidRequest,
			Message: "none of the accepted media types can be given",
			Hint:    "accept " + typeJSON + " or " + typeNDJSON,
		})
		return
	}
	body, e := h.readBody(w, r, h.bodyLimit(who, op))
	if e != nil {
		fail(w, e)
		return
	}
	// It may have had seeds or keys in it.
	defer clear(body)
	if len(body) > 0 && !isJSON(r.Header.Get("Content-Type")) {
		failWith(w, http.StatusUnsupportedMediaType, &api.Error{
			Code:    api.CodeInvalidRequest,
			Message: "cannot read " + quote(r.Header.Get("Content-Type")),
			Hint:    "send Content-Type: " + typeJSON,
		})
		return
	}
	if accept == typeNDJSON {
		h.stream(w, r, who, op, body)
		return
	}
	result, err := h.engine.Do(r.Context(), who, op.Name, frontend.Decoder(body), noUI{})
	if err != nil {
		fail(w, daemon.ErrorOf(err))
		return
	}
	send(w, http.StatusOK, result)
}

// keySet is statement-keys by the address and method that libraries for JSON Web Tokens look for.
func (h *Handler) keySet(w http.ResponseWriter, r *http.Request, who policy.Actor) {
	result, err := h.engine.Do(r.Context(), who, api.OpStatementKeys, frontend.Decoder(nil), noUI{})
	if err != nil {
		fail(w, daemon.ErrorOf(err))
		return
	}
	send(w, http.StatusOK, result)
}

// maxLarge bounds the bodies of operations that take files, in bytes.
const maxLarge = 512 << 20

// bodyLimit is how long a body may be. Files are read from those only whom the policy lets give them: others get no
// memory for them.
func (h *Handler) bodyLimit(who policy.Actor, op daemon.Operation) int64 {
	if op.Large && h.engine.Authorize(who, policy.Action{Operation: op.Name, Scope: op.Scope}) == nil {
		return max(h.cfg.MaxBody, maxLarge)
	}
	return h.cfg.MaxBody
}

// stream runs an operation whose prompts go to the client.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, who policy.Actor, op daemon.Operation, body []byte) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := newStream(w, h.cfg.BodyTimeout, cancel)
	ui := h.engine.UI(who, func(p api.Prompt) func() {
		s.line(api.Line{Prompt: &p})
		return func() { s.line(api.Line{Withdrawn: p.ID}) }
	})
	result, err := h.engine.Do(ctx, who, op.Name, frontend.Decoder(body), ui)
	ui.Close()
	if err != nil {
		s.end(api.Line{Error: daemon.ErrorOf(err)})
		return
	}
	s.end(api.Line{Result: result})
}
