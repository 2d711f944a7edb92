package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// errHungUp says that a subscriber is not there any more.
var errHungUp = errors.New("httpapi: the subscriber hung up")

// events streams what changes until the client hangs up or the daemon stops. Nothing
// is sent while nothing happens: an idle subscriber costs no wake-ups. One that does
// not read blocks only itself, and the engine tells it later what it lost.
func (h *Handler) events(w http.ResponseWriter, r *http.Request, who policy.Actor) {
	tail(h, w, r, func(ctx context.Context, send func(api.Event) error) error {
		return h.engine.Events(ctx, who, send)
	})
}

// tail answers with what follow sends, a JSON value a line, until it ends, the client hangs up or
// the daemon stops.
func tail[T any](h *Handler, w http.ResponseWriter, r *http.Request, follow func(context.Context, func(T) error) error) {
	if negotiate(r.Header.Values("Accept"), typeNDJSON, typeJSON) == "" {
		failWith(w, http.StatusNotAcceptable, &api.Error{
			Code:    api.CodeInvalidRequest,
			Message: "none of the accepted media types can be given",
			Hint:    "accept " + typeNDJSON,
		})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stop := context.AfterFunc(h.closing, cancel)
	defer stop()
	c := http.NewResponseController(w)
	// A write that waits for the subscriber must not outlive the daemon.
	unblock := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	defer unblock()

	started := false
	err := follow(ctx, func(v T) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if !started {
			started = true
			w.Header().Set("Content-Type", typeNDJSON)
		}
		if _, err := w.Write(append(data, '\n')); err != nil {
			return errHungUp
		}
		if err := c.Flush(); err != nil {
			return errHungUp
		}
		return nil
	})
	if err != nil && !started {
		fail(w, daemon.ErrorOf(err))
	}
}
