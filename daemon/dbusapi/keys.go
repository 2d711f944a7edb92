package dbusapi

import (
	"context"
	"fmt"
	"reflect"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
)

// keyObject is a key on the bus. Its fields are guarded by the server's lock.
type keyObject struct {
	key api.Key
	// holder is whose operation has taken it.
	holder *api.Holder
	// foreign is a program outside the daemon that waits for a touch.
	foreign *api.Holder
}

var keySpec = &spec{
	name: KeyInterface,
	properties: []property{
		{"Id", "s", "How requests name the key.", true},
		{"Name", "s", "Its name for people.", true},
		{"Path", "s", "Its device node, if it has one.", true},
		{"VendorId", "q", "The USB vendor.", true},
		{"ProductId", "q", "The USB product.", true},
		{"Manufacturer", "s", "Its manufacturer, as it says.", true},
		{"Product", "s", "Its product name, as it says.", true},
		{"Serial", "s", "Its serial number, if it tells one.", true},
		{"Emulated", "b", "Whether it exists in software only.", true},
		{"AAGUID", "s", "Its model; empty until it has been asked.", false},
		{"Versions", "as", "The protocols that it speaks; empty until it has been asked.", false},
		{"PinState", "s", "set, not-set, or empty: it has no PINs or has not been asked.", false},
		{"Busy", "a{sv}", "The operation that has taken it (Program, PID, User, Operation, Since); empty when it is free.", false},
		{"ForeignTouch", "a{sv}", "The program outside the daemon that waits for its touch; empty when there is none.", false},
	},
}

func (k *keyObject) values() map[string]dbus.Variant {
	key := k.key
	versions := key.Versions
	if versions == nil {
		versions = []string{}
	}
	pin := ""
	if key.PINSet != nil {
		pin = "not-set"
		if *key.PINSet {
			pin = "set"
		}
	}
	values := map[string]dbus.Variant{}
	for name, v := range map[string]any{
		"Id": text(key.ID), "Name": text(key.Name), "Path": text(key.Path), "VendorId": key.VendorID, "ProductId": key.ProductID,
		"Manufacturer": text(key.Manufacturer), "Product": text(key.Product), "Serial": text(key.Serial), "Emulated": key.Emulated,
		"AAGUID": key.AAGUID, "Versions": versions, "PinState": pin, "Busy": holder(k.holder), "ForeignTouch": holder(k.foreign),
	} {
		values[name] = dbus.MakeVariant(v)
	}
	return values
}

// holder is a program as a property.
func holder(h *api.Holder) map[string]dbus.Variant {
	values := map[string]dbus.Variant{}
	if h == nil {
		return values
	}
	for name, v := range map[string]string{"Program": h.Program, "User": h.User, "Operation": h.Operation, "Since": h.Since} {
		if v != "" {
			values[name] = dbus.MakeVariant(text(v))
		}
	}
	if h.PID > 0 {
		values["PID"] = dbus.MakeVariant(uint32(h.PID))
	}
	if h.Outside {
		values["Outside"] = dbus.MakeVariant(true)
	}
	return values
}

// event keeps the objects of keys as the engine tells.
func (s *Server) event(e api.Event) error {
	switch e.Type {
	case api.EventLost:
		return s.refresh(s.base)
	case api.EventDetached:
		s.detach(pathOf("key", e.Key.ID))
	case api.EventAttached, api.EventHolder, api.EventForeign, api.EventForeignOver:
		if e.Key != nil {
			s.update(*e.Key, e.Type == api.EventAttached, func(k *keyObject) { k.learn(e) })
		}
	}
	return nil
}

// learn takes from an event who uses the key.
func (k *keyObject) learn(e api.Event) {
	switch e.Type {
	case api.EventHolder:
		k.holder = e.Holder
	case api.EventForeign:
		if k.foreign = e.Holder; k.foreign == nil {
			k.foreign = &api.Holder{Outside: true}
		}
	case api.EventForeignOver:
		k.foreign = nil
	}
}

// update changes the object of a key and tells what is new of it. One that is not there is added,
// if it is attached.
func (s *Server) update(key api.Key, attached bool, change func(*keyObject)) {
	path := pathOf("key", key.ID)
	s.mu.Lock()
	k := s.keys[path]
	if k == nil {
		if !attached {
			s.mu.Unlock()
			return
		}
		k = &keyObject{key: key}
		change(k)
		s.keys[path] = k
		values := k.values()
		s.mu.Unlock()
		s.added(path, map[string]map[string]dbus.Variant{KeyInterface: values})
		return
	}
	before := k.values()
	k.key = key
	change(k)
	after := k.values()
	s.mu.Unlock()
	for name, v := range after {
		if reflect.DeepEqual(before[name].Value(), v.Value()) {
			delete(after, name)
		}
	}
	s.changed(path, KeyInterface, after)
}

func (s *Server) detach(path dbus.ObjectPath) {
	s.mu.Lock()
	_, known := s.keys[path]
	delete(s.keys, path)
	s.mu.Unlock()
	if known {
		s.removed(path, KeyInterface)
	}
}

// refresh asks which keys are there, when no event has told.
func (s *Server) refresh(ctx context.Context) error {
	answer, err := s.engine.Do(ctx, s.cfg.Self, api.OpList, func(any) error { return nil }, nil)
	if err != nil {
		return fmt.Errorf("dbusapi: which keys are there: %w", err)
	}
	list, ok := answer.(*api.ListResult)
	if !ok {
		return fmt.Errorf("dbusapi: which keys are there: got a %T", answer)
	}
	here := map[dbus.ObjectPath]bool{}
	for _, key := range list.Keys {
		here[pathOf("key", key.ID)] = true
		s.update(key, true, func(k *keyObject) {
			k.holder = key.Busy
		})
	}
	s.mu.Lock()
	var gone []dbus.ObjectPath
	for path := range s.keys {
		if !here[path] {
			gone = append(gone, path)
		}
	}
	s.mu.Unlock()
	for _, path := range gone {
		s.detach(path)
	}
	return nil
}
