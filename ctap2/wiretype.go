package ctap2

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// wireType is what a Go type of a message says about its CBOR form, as far as the cbor module
// leaves it open: it would also take an array of numbers for a byte string.
type wireType struct {
	bytes   bool                 // must be a byte string
	elem    *wireType            // of an array
	numbers map[int64]*wireType  // members of a map with integer keys
	names   map[string]*wireType // members of a map with text keys
}

var wireTypes sync.Map // reflect.Type → *wireType, nil when there is nothing to check

// checkBytes reports a member of v that is a byte slice in Go and something else in data,
// which has been decoded into v before and so is well-formed.
func checkBytes(data []byte, v any) error {
	t := reflect.TypeOf(v)
	w, ok := wireTypes.Load(t)
	if !ok {
		w, _ = wireTypes.LoadOrStore(t, wireTypeOf(t))
	}
	if w.(*wireType) == nil {
		return nil
	}
	_, err := w.(*wireType).check(data)
	return err
}

var unmarshaler = reflect.TypeFor[cbor.Unmarshaler]()

func wireTypeOf(t reflect.Type) *wireType {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return nil // checks itself
	}
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &wireType{bytes: true}
		}
		if elem := wireTypeOf(t.Elem()); elem != nil {
			return &wireType{elem: elem}
		}
	case reflect.Struct:
		w := &wireType{numbers: map[int64]*wireType{}, names: map[string]*wireType{}}
		for f := range t.Fields() {
			tag, options, _ := strings.Cut(f.Tag.Get("cbor"), ",")
			member := wireTypeOf(f.Type)
			if member == nil || tag == "" || tag == "-" {
				continue
			}
			if strings.HasPrefix(options, "keyasint") {
				n, err := strconv.ParseInt(tag, 10, 64)
				if err != nil {
					panic(err)
				}
				w.numbers[n] = member
			} else {
				w.names[tag] = member
			}
		}
		if len(w.numbers)+len(w.names) > 0 {
			return w
		}
	}
	return nil
}

// check looks at the first item of data and gives what follows it.
func (w *wireType) check(data []byte) (rest []byte, err error) {
	h, rest, err := readHead(data)
	if err != nil {
		return nil, err
	}
	isNull := h.major == majorSimple && h.arg == 22 // as good as absent; strict decoding has refused it
	if w != nil && w.bytes && h.major != majorBytes && !isNull {
		return nil, &DecodeError{Status: ErrCBORUnexpectedType, Err: fmt.Errorf("major type %d where bytes should be", h.major)}
	}
	switch h.major {
	case majorBytes, majorText:
		return rest[h.arg:], nil
	case majorArray:
		var elem *wireType
		if w != nil {
			elem = w.elem
		}
		for range h.arg {
			if rest, err = elem.check(rest); err != nil {
				return nil, err
			}
		}
	case majorMap:
		for range h.arg {
			var member *wireType
			if member, rest, err = w.member(rest); err != nil {
				return nil, err
			}
			if rest, err = member.check(rest); err != nil {
				return nil, err
			}
		}
	}
	return rest, nil
}

// member reads a map key and gives the type of its value, nil when nothing is known.
func (w *wireType) member(data []byte) (*wireType, []byte, error) {
	h, rest, err := readHead(data)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case w == nil || h.major > majorText || h.major == majorBytes:
		var skip *wireType
		rest, err = skip.check(data)
		return nil, rest, err
	case h.major == majorUint:
		return w.numbers[int64(h.arg)], rest, nil
	case h.major == majorNegInt:
		return w.numbers[^int64(h.arg)], rest, nil
	}
	return w.names[string(rest[:h.arg])], rest[h.arg:], nil
}
