package dbusapi

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/dbusapi/internal/bus"
)

const (
	introspectInterface = "org.freedesktop.DBus.Introspectable"
	propertiesInterface = "org.freedesktop.DBus.Properties"
	managerOfObjects    = "org.freedesktop.DBus.ObjectManager"
)

// call is a method call.
type call struct {
	s      *Server
	ctx    context.Context // ends when the caller leaves or the server stops
	msg    *dbus.Message
	from   *caller
	path   dbus.ObjectPath
	object any // *keyObject or *operation, nil for the root and what is between
	// replied is true when the answer is sent already.
	replied bool
}

// reply answers before the method returns: what is sent later arrives later.
func (c *call) reply(values ...any) {
	c.replied = true
	if c.msg.Flags&dbus.FlagNoReplyExpected != 0 {
		return
	}
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Body: values, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(c.from.name),
		dbus.FieldReplySerial: dbus.MakeVariant(c.msg.Serial()),
	}}
	if len(values) > 0 {
		reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(values...))
	}
	c.s.conn.Send(reply, nil)
}

// handler answers the calls that godbus reads, each in a goroutine of its own. It takes all of them,
// so that every file descriptor is closed in one place.
type handler struct{ s *Server }

// LookupObject implements [dbus.Handler].
func (h handler) LookupObject(dbus.ObjectPath) (dbus.ServerObject, bool) { return h, true }

// LookupInterface implements [dbus.ServerObject].
func (h handler) LookupInterface(string) (dbus.Interface, bool) { return h, true }

// LookupMethod implements [dbus.Interface].
func (h handler) LookupMethod(string) (dbus.Method, bool) { return h, true }

// NumArguments, NumReturns, ArgumentValue and ReturnValue implement [dbus.Method]; they are for
// introspection, which is done elsewhere.
func (handler) NumArguments() int     { return 0 }
func (handler) NumReturns() int       { return 0 }
func (handler) ArgumentValue(int) any { return nil }
func (handler) ReturnValue(int) any   { return nil }

// DecodeArguments implements [dbus.ArgumentDecoder].
func (handler) DecodeArguments(_ *dbus.Conn, _ string, msg *dbus.Message, _ []any) ([]any, error) {
	return []any{msg}, nil
}

// Call implements [dbus.Method].
func (h handler) Call(args ...any) ([]any, error) {
	msg, ok := args[0].(*dbus.Message)
	if !ok {
		return nil, busError("Failed", "not a message")
	}
	defer bus.CloseFiles(msg.Body)
	c := &call{s: h.s, msg: msg}
	values, err := h.s.dispatch(c)
	if c.replied {
		msg.Flags |= dbus.FlagNoReplyExpected // for godbus
		return nil, nil
	}
	var known *dbus.Error
	if err != nil && !errors.As(err, &known) {
		known = failure(err)
	}
	if known != nil {
		return nil, known
	}
	return values, nil
}

// dispatch finds out who calls what, and does it.
func (s *Server) dispatch(c *call) ([]any, error) {
	header := func(f dbus.HeaderField) string {
		switch v := c.msg.Headers[f].Value().(type) {
		case string:
			return v
		case dbus.Signature:
			return v.String()
		}
		return ""
	}
	c.path, _ = c.msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	inter, member := header(dbus.FieldInterface), header(dbus.FieldMember)
	specs, object := s.lookup(c.path)
	if specs == nil {
		return nil, busError("UnknownObject", "no such object: "+string(c.path))
	}
	c.object = object
	var found *method
	known := inter == ""
	for _, sp := range specs {
		if inter == "" || sp.name == inter {
			known = true
			if found = sp.method(member); found != nil {
				break
			}
		}
	}
	switch {
	case !known:
		return nil, busError("UnknownInterface", string(c.path)+" has no interface "+inter)
	case found == nil:
		return nil, busError("UnknownMethod", inter+" has no method "+member)
	}
	if want := signature(found.in); header(dbus.FieldSignature) != want {
		return nil, busError("InvalidArgs", member+" takes arguments of the types "+want)
	}
	from, done, err := s.enter(header(dbus.FieldSender))
	if err != nil {
		return nil, err
	}
	defer done()
	c.from, c.ctx = from, from.ctx
	return found.run(c)
}
