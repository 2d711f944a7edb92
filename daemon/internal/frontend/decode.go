package frontend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fobd/fobd/daemon/api"
)

// maxDepth bounds the nesting of JSON. It is far above what an honest request needs.
const maxDepth = 32

// Decoder returns a function that decodes body into a pointer, once per call: an
// object with no unknown members, no member twice, nothing behind it. An empty body is {}.
func Decoder(body []byte) func(any) error {
	return func(v any) error {
		if len(bytes.TrimSpace(body)) == 0 {
			return nil
		}
		if err := checkShape(body); err != nil {
			return invalid(err.Error())
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			return invalid(strings.TrimPrefix(err.Error(), "json: "))
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
					return fmt.Errorf("the member %s comes twice", Quote(name))
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

func invalid(message string) error {
	return &api.Error{Code: api.CodeInvalidRequest, Message: message}
}
