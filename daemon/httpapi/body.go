package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
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

// decoder returns a function that decodes body into a pointer, once per call: an
// object with no unknown members, no member twice, nothing behind it. An empty body is {}.
func decoder(body []byte) func(any) error {
	return func(v any) error {
		if len(bytes.TrimSpace(body)) == 0 {
			return nil
		}
		if err := checkShape(body); err != nil {
			return invalid("%v", err)
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			return invalid("%s", strings.TrimPrefix(err.Error(), "json: "))
		}
		return nil
	}
}

// checkShape checks what encoding/json does not: that body is one object, how deep it
// is, and that no object has a member twice. encoding/json finds the members of the
// outermost object whatever their case, so these must differ in more than that.
func checkShape(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	type level struct {
		object, key bool // key: the next token is a member's name
		seen        map[string]bool
	}
	var stack []level
	for first := true; ; first = false {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(stack) == 0 && !first {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return errors.New("the JSON is cut off")
		}
		if err != nil {
			return fmt.Errorf("not JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if !first && len(stack) == 0 {
			return errors.New("something follows the JSON object")
		}
		if first && token != json.Delim('{') {
			return errors.New("want a JSON object")
		}
		if n := len(stack); n > 0 && stack[n-1].object {
			top := &stack[n-1]
			if name, ok := token.(string); ok && top.key {
				if n == 1 {
					name = strings.ToLower(name)
				}
				if top.seen[name] {
					return fmt.Errorf("the member %s comes twice", quote(name))
				}
				if top.seen == nil {
					top.seen = map[string]bool{}
				}
				top.seen[name] = true
				top.key = false
				continue
			}
			top.key = true
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(stack) == maxDepth {
				return fmt.Errorf("the JSON is nested deeper than %d levels", maxDepth)
			}
			object := token == json.Delim('{')
			stack = append(stack, level{object: object, key: object})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
	}
}
