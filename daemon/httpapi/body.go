package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

func invalid(format string, a ...any) *api.Error {
	return &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf(format, a...)}
}

// readBody reads the whole body, at most limit bytes. Only a request that has been
// read to its end lets the server notice that the client hangs up.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *api.Error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(h.cfg.BodyTimeout))
	size := bytes.MinRead
	if n := r.ContentLength; n > 0 && n <= limit {
		size += int(n)
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		clear(buf.Bytes())
		return nil, &api.Error{
			Code:    api.CodeTooLarge,
			Message: fmt.Sprintf("the body is longer than %d bytes", limit),
		}
	case err != nil:
		// The deadline stays: net/http still wants to read the rest before it answers.
		clear(buf.Bytes())
		w.Header().Set("Connection", "close")
		return nil, invalid("the body did not arrive: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	return buf.Bytes(), nil
}
