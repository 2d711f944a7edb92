package dbusapi

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// emit sends a signal, to one caller or with an empty destination to all who listen. On one
// connection messages arrive in the order in which they are sent. A bus that is not there any more
// ends Serve; so nobody looks at the error.
func (s *Server) emit(destination string, path dbus.ObjectPath, name string, values ...any) {
	dot := strings.LastIndexByte(name, '.')
	msg := &dbus.Message{Type: dbus.TypeSignal, Body: values, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(path),
		dbus.FieldInterface: dbus.MakeVariant(name[:dot]),
		dbus.FieldMember:    dbus.MakeVariant(name[dot+1:]),
	}}
	if destination != "" {
		msg.Headers[dbus.FieldDestination] = dbus.MakeVariant(destination)
	}
	if len(values) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(values...))
	}
	s.conn.Send(msg, nil)
}

// tell sends a signal to one caller alone.
func (s *Server) tell(to *caller, path dbus.ObjectPath, name string, values ...any) {
	s.emit(to.name, path, name, values...)
}

func (s *Server) added(path dbus.ObjectPath, interfaces map[string]map[string]dbus.Variant) {
	s.emit("", Root, managerOfObjects+".InterfacesAdded", path, interfaces)
}

func (s *Server) removed(path dbus.ObjectPath, interfaces ...string) {
	s.emit("", Root, managerOfObjects+".InterfacesRemoved", path, interfaces)
}

func (s *Server) changed(path dbus.ObjectPath, inter string, values map[string]dbus.Variant) {
	if len(values) > 0 {
		s.emit("", path, propertiesInterface+".PropertiesChanged", inter, values, []string{})
	}
}
