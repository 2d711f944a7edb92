package dbusapi

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// spec is an interface of an object: what Introspect tells, and what answers.
type spec struct {
	name       string
	methods    []method
	signals    []signal
	properties []property
}

// arg is an argument with its D-Bus type.
type arg struct{ name, typ string }

type method struct {
	name    string
	doc     string
	in, out []arg
	// run answers. It gets arguments of the types that in says.
	run func(c *call) ([]any, error)
}

type signal struct {
	name, doc string
	args      []arg
}

// property can be read. One that is constant tells no changes.
type property struct {
	name, typ, doc string
	constant       bool
}

func (s *spec) method(name string) *method {
	for i := range s.methods {
		if s.methods[i].name == name {
			return &s.methods[i]
		}
	}
	return nil
}

// signature is that of a list of arguments.
func signature(args []arg) string {
	var b strings.Builder
	for _, a := range args {
		b.WriteString(a.typ)
	}
	return b.String()
}

// Camel is the name on the bus of an operation, an error code or another name with hyphens:
// pin-status becomes PinStatus.
func Camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "-") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// pathOf is the object of the thing named id below a branch of the root. What a path cannot hold
// becomes _XX, as in the paths of systemd.
func pathOf(branch, id string) dbus.ObjectPath {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for _, c := range []byte(id) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'_', hex[c>>4], hex[c&15]})
		}
	}
	if id == "" {
		b.WriteByte('_')
	}
	return Root + dbus.ObjectPath("/"+branch+"/"+b.String())
}

// text is a string as the bus takes it.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
}
