package touchdetector

import (
	"fmt"
	"sync/atomic"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
)

const propertiesInterface = "org.freedesktop.DBus.Properties"

// The properties.
const (
	gpg  = "GPGState"
	u2f  = "U2FState"
	hmac = "HMACState"
)

// properties are the methods of org.freedesktop.DBus.Properties (D-Bus Specification, "Standard
// Interfaces"). The zero value waits for nothing.
type properties struct{ waits atomic.Uint32 }

// set takes the new state of U2FState and returns what has changed.
func (p *properties) set(on bool) map[string]dbus.Variant {
	value := uint32(0)
	if on {
		value = 1
	}
	p.waits.Store(value)
	return map[string]dbus.Variant{u2f: dbus.MakeVariant(value)}
}

func (p *properties) all() map[string]dbus.Variant {
	none := dbus.MakeVariant(uint32(0))
	return map[string]dbus.Variant{gpg: none, u2f: dbus.MakeVariant(p.waits.Load()), hmac: none}
}

// Get is the method Get.
func (p *properties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	all, err := p.GetAll(iface)
	if err != nil {
		return dbus.Variant{}, err
	}
	value, ok := all[name]
	if !ok {
		return dbus.Variant{}, refuse("UnknownProperty", fmt.Sprintf("there is no property %q", name))
	}
	return value, nil
}

// GetAll is the method GetAll.
func (p *properties) GetAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	// An empty name is any interface.
	if iface != Interface && iface != "" {
		return nil, refuse("UnknownInterface", fmt.Sprintf("there are no properties of %q", iface))
	}
	return p.all(), nil
}

// Set is the method Set, which nobody may use.
func (p *properties) Set(iface, name string, _ dbus.Variant) *dbus.Error {
	if _, err := p.Get(iface, name); err != nil {
		return err
	}
	return refuse("PropertyReadOnly", name+" tells what keys do; it cannot be set")
}

func refuse(name, message string) *dbus.Error {
	return dbus.NewError("org.freedesktop.DBus.Error."+name, []any{message})
}

// node describes the object ("Introspection Data Format").
func node() *introspect.Node {
	text := func(name, direction string) introspect.Arg {
		return introspect.Arg{Name: name, Type: "s", Direction: direction}
	}
	methods := []introspect.Method{
		{Name: "Get", Args: []introspect.Arg{text("interface", "in"), text("property", "in"), {Name: "value", Type: "v", Direction: "out"}}},
		{Name: "GetAll", Args: []introspect.Arg{text("interface", "in"), {Name: "properties", Type: "a{sv}", Direction: "out"}}},
		{Name: "Set", Args: []introspect.Arg{text("interface", "in"), text("property", "in"), {Name: "value", Type: "v", Direction: "in"}}},
	}
	changed := introspect.Signal{Name: "PropertiesChanged", Args: []introspect.Arg{
		{Name: "interface", Type: "s"}, {Name: "changed", Type: "a{sv}"}, {Name: "invalidated", Type: "as"},
	}}
	ours := introspect.Interface{Name: Interface}
	for _, name := range []string{gpg, u2f, hmac} {
		ours.Properties = append(ours.Properties, introspect.Property{Name: name, Type: "u", Access: "read"})
	}
	return &introspect.Node{Name: string(Path), Interfaces: []introspect.Interface{
		introspect.IntrospectData,
		{Name: propertiesInterface, Methods: methods, Signals: []introspect.Signal{changed}},
		ours,
	}}
}
