package dbusapi

import (
	"context"
	"errors"
	"reflect"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	busName             = "org.freedesktop.DBus"
	peerInterface       = "org.freedesktop.DBus.Peer"
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
	defer closeFiles(msg.Body)
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

// DeliverSignal implements [dbus.SignalHandler]: a caller has left the bus. It must not wait.
func (h handler) DeliverSignal(inter, member string, signal *dbus.Signal) {
	if signal.Sender != busName || inter != busName || member != "NameOwnerChanged" || len(signal.Body) != 3 {
		return
	}
	name, _ := signal.Body[0].(string)
	if owner, ok := signal.Body[2].(string); ok && owner == "" {
		h.s.left(name)
	}
}

// closeStrayFiles closes what came with messages that no method gets.
func closeStrayFiles(msg *dbus.Message) {
	switch msg.Type {
	case dbus.TypeMethodReply:
	case dbus.TypeMethodCall:
		if inter, _ := msg.Headers[dbus.FieldInterface].Value().(string); inter == peerInterface {
			closeFiles(msg.Body)
		}
	default:
		closeFiles(msg.Body)
	}
}

// closeFiles closes the file descriptors among the values of a message, each once: two values can be
// the same.
func closeFiles(body []any) {
	files := map[dbus.UnixFD]bool{}
	for _, v := range body {
		forEachFile(reflect.ValueOf(v), func(fd dbus.UnixFD) { files[fd] = true })
	}
	for fd := range files {
		_ = unix.Close(int(fd))
	}
}

func forEachFile(v reflect.Value, do func(dbus.UnixFD)) {
	switch {
	case !v.IsValid():
	case v.Type() == reflect.TypeFor[dbus.UnixFD]():
		do(dbus.UnixFD(v.Int()))
	case v.Type() == reflect.TypeFor[dbus.Variant]():
		if inner, ok := v.Interface().(dbus.Variant); ok {
			forEachFile(reflect.ValueOf(inner.Value()), do)
		}
	case v.Kind() == reflect.Interface:
		forEachFile(v.Elem(), do)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		for i := range v.Len() {
			forEachFile(v.Index(i), do)
		}
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			forEachFile(k, do)
			forEachFile(v.MapIndex(k), do)
		}
	}
}
