package dbusapi

import (
	"encoding/xml"
	"strings"

	"github.com/fobd/fobd/daemon"
)

const doctype = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`

var introspectSpec = &spec{name: introspectInterface}

// Filled here, because its method lists the interfaces, of which it is one.
func init() {
	introspectSpec.methods = []method{{
		name: "Introspect", out: []arg{{"xml", "s"}},
		run: func(c *call) ([]any, error) {
			specs, _ := c.s.lookup(c.path)
			return []any{document(specs, c.s.children(c.path))}, nil
		},
	}}
}

// Introspection is the description of the three interfaces that are ours, as
// packaging/dbus/org.fobd.Fob1.xml has it.
func Introspection() string {
	return document([]*spec{managerSpec(daemon.Operations()), keySpec, operationSpec}, nil)
}

// document describes an object.
func document(specs []*spec, children []string) string {
	var b strings.Builder
	b.WriteString(doctype + "<node>\n")
	for _, s := range specs {
		s.write(&b)
	}
	for _, name := range children {
		b.WriteString("  <node name=\"" + escape(name) + "\"/>\n")
	}
	b.WriteString("</node>\n")
	return b.String()
}

func (s *spec) write(b *strings.Builder) {
	b.WriteString("  <interface name=\"" + s.name + "\">\n")
	for _, m := range s.methods {
		b.WriteString("    <method name=\"" + m.name + "\">\n")
		doc(b, m.doc)
		args(b, m.in, "in")
		args(b, m.out, "out")
		b.WriteString("    </method>\n")
	}
	for _, sig := range s.signals {
		b.WriteString("    <signal name=\"" + sig.name + "\">\n")
		doc(b, sig.doc)
		args(b, sig.args, "")
		b.WriteString("    </signal>\n")
	}
	for _, p := range s.properties {
		b.WriteString("    <property name=\"" + p.name + "\" type=\"" + p.typ + "\" access=\"read\">\n")
		doc(b, p.doc)
		if p.constant {
			b.WriteString("      <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"const\"/>\n")
		}
		b.WriteString("    </property>\n")
	}
	b.WriteString("  </interface>\n")
}

func doc(b *strings.Builder, text string) {
	if text != "" {
		b.WriteString("      <annotation name=\"org.gtk.GDBus.DocString\" value=\"" + escape(text) + "\"/>\n")
	}
}

func args(b *strings.Builder, args []arg, direction string) {
	for _, a := range args {
		b.WriteString("      <arg name=\"" + a.name + "\" type=\"" + a.typ + "\"")
		if direction != "" {
			b.WriteString(" direction=\"" + direction + "\"")
		}
		b.WriteString("/>\n")
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
