package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// stream writes the lines of one operation, each flushed at once.
type stream struct {
	w       http.ResponseWriter
	c       *http.ResponseController
	timeout time.Duration
	// hangup ends the operation when the client does not take its lines.
	hangup context.CancelFunc

	mu      sync.Mutex // guards w, c and the following
	started bool
	ended   bool
}

func newStream(w http.ResponseWriter, timeout time.Duration, hangup context.CancelFunc) *stream {
	return &stream{w: w, c: http.NewResponseController(w), timeout: timeout, hangup: hangup}
}

// line writes one line, unless the stream has ended.
func (s *stream) line(l api.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(l)
}

// end writes the last line. An operation that fails before its first prompt also has
// the HTTP status of its error.
func (s *stream) end(l api.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(l)
	s.ended = true
	_ = s.c.SetWriteDeadline(time.Time{})
}

func (s *stream) write(l api.Line) {
	if s.ended {
		return
	}
	data, err := json.Marshal(l)
	if err != nil {
		l = api.Line{Error: &api.Error{Code: api.CodeInternal, Message: "the answer has no JSON form"}}
		data, _ = json.Marshal(l)
	}
	if !s.started {
		s.started = true
		s.w.Header().Set("Content-Type", typeNDJSON)
		if l.Error != nil {
			s.w.WriteHeader(Status(l.Error.Code))
		}
	}
	_ = s.c.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err = s.w.Write(append(data, '\n')); err == nil {
		err = s.c.Flush()
	}
	if err != nil {
		s.ended = true
		s.hangup()
	}
}
