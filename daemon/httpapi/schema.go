package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/fobd/fobd/daemon/api"
)

// schemas turns Go types into OpenAPI schemas as encoding/json sees them. Structs
// become components under their Go names.
type schemas struct{ components object }

var (
	bytesType = reflect.TypeFor[api.Bytes]()
	rawType   = reflect.TypeFor[json.RawMessage]()
	codeType  = reflect.TypeFor[api.Code]()
)

// of describes the type of v. In strict schemas unknown members are refused, as the
// daemon does with requests; results may grow.
func (s *schemas) of(v any, strict bool) object {
	if v == nil {
		return object{"type": "object"}
	}
	return s.typ(reflect.TypeOf(v), strict)
}

// wrapped describes an object with one member.
func (s *schemas) wrapped(name string, v any) object {
	return object{"type": "object", "required": []string{name}, "properties": object{name: s.of(v, false)}}
}

func (s *schemas) typ(t reflect.Type, strict bool) object {
	switch t {
	case bytesType:
		return object{"type": "string", "format": "base64url"}
	case rawType:
		return object{"type": "object"}
	case codeType:
		return object{"type": "string", "enum": codes(), "description": "a stable code; later versions may add some"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.typ(t.Elem(), strict)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.typ(t.Elem(), strict)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.typ(t.Elem(), strict)}
	case reflect.Struct:
		return s.structure(t, strict)
	}
	return object{} // any value
}

func (s *schemas) structure(t reflect.Type, strict bool) object {
	ref := object{"$ref": "#/components/schemas/" + t.Name()}
	if known, ok := s.components[t.Name()].(object); ok {
		if strict {
			known["additionalProperties"] = false
		}
		return ref
	}
	schema := object{"type": "object"}
	s.components[t.Name()] = schema // before its members, which may refer to it
	if strict {
		schema["additionalProperties"] = false
	}
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		properties[name] = s.typ(f.Type, strict)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	if len(properties) > 0 {
		schema["properties"] = properties
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	return ref
}
