package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// answer is the handler of POST and DELETE /v1/prompts/{id}.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, who policy.Actor, id string) {
	body, e := h.readBody(w, r, maxAnswer)
	if e != nil {
		fail(w, e)
		return
	}
	defer clear(body)
	if err := h.engine.Answer(who, id, body, r.Method == http.MethodDelete); err != nil {
		fail(w, daemon.ErrorOf(err))
		return
	}
	send(w, http.StatusOK, struct{}{})
}

// agent is the handler of GET /v1/prompts: it streams prompts until the agent hangs up or the
// daemon stops.
func (h *Handler) agent(w http.ResponseWriter, r *http.Request, who policy.Actor) {
	q := r.URL.Query()
	about := api.Agent{Name: q.Get("name")}
	if kinds := q.Get("kinds"); kinds != "" {
		for kind := range strings.SplitSeq(kinds, ",") {
			about.Kinds = append(about.Kinds, api.PromptKind(kind))
		}
	}
	for name := range q {
		if name != "name" && name != "kinds" {
			fail(w, invalid("there is no parameter %s", quote(name)))
			return
		}
	}
	tail(h, w, r, func(ctx context.Context, line func(api.Line) error) error {
		begun := false
		send := func(l api.Line) error {
			begun = true
			return line(l)
		}
		err := h.engine.Agent(ctx, who, about, send)
		if begun && ctx.Err() == nil {
			// One that is sent away hears why.
			_ = send(api.Line{Error: daemon.ErrorOf(err)})
		}
		return err
	})
}
