package dbusapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// node is a path that objects are below.
type node struct{}

// lookup finds an object and its interfaces; none when there is no such object.
func (s *Server) lookup(path dbus.ObjectPath) ([]*spec, any) {
	s.mu.Lock()
	k, o := s.keys[path], s.operations[path]
	s.mu.Unlock()
	switch {
	case path == Root:
		return []*spec{s.manager, objectsSpec, propertiesSpec, introspectSpec}, nil
	case k != nil:
		return []*spec{keySpec, propertiesSpec, introspectSpec}, k
	case o != nil:
		return []*spec{operationSpec, propertiesSpec, introspectSpec}, o
	}
	for _, p := range []dbus.ObjectPath{Root + "/key", Root + "/operation"} {
		if path == p {
			return []*spec{introspectSpec}, node{}
		}
	}
	if path == "/" || strings.HasPrefix(string(Root), string(path)+"/") {
		return []*spec{introspectSpec}, node{}
	}
	return nil, nil
}

// children are the names below a path.
func (s *Server) children(path dbus.ObjectPath) []string {
	s.mu.Lock()
	paths := slices.Concat([]dbus.ObjectPath{Root + "/key", Root + "/operation"},
		slices.Collect(maps.Keys(s.keys)), slices.Collect(maps.Keys(s.operations)))
	s.mu.Unlock()
	prefix := strings.TrimSuffix(string(path), "/") + "/"
	var names []string
	for _, p := range paths {
		if rest, ok := strings.CutPrefix(string(p), prefix); ok {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var objectsSpec = &spec{
	name: managerOfObjects,
	methods: []method{{
		name: "GetManagedObjects", out: []arg{{"objects", "a{oa{sa{sv}}}"}},
		run: func(c *call) ([]any, error) {
			if err := c.read(); err != nil {
				return nil, err
			}
			return []any{c.s.objects()}, nil
		},
	}},
	signals: []signal{
		{"InterfacesAdded", "", []arg{{"object", "o"}, {"interfaces", "a{sa{sv}}"}}},
		{"InterfacesRemoved", "", []arg{{"object", "o"}, {"interfaces", "as"}}},
	},
}

func (s *Server) objects() map[dbus.ObjectPath]map[string]map[string]dbus.Variant {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := map[dbus.ObjectPath]map[string]map[string]dbus.Variant{}
	for path, k := range s.keys {
		objects[path] = map[string]map[string]dbus.Variant{KeyInterface: k.values()}
	}
	for path, o := range s.operations {
		objects[path] = map[string]map[string]dbus.Variant{OperationInterface: o.values()}
	}
	return objects
}

var propertiesSpec = &spec{
	name: propertiesInterface,
	signals: []signal{
		{"PropertiesChanged", "", []arg{{"interface", "s"}, {"changed", "a{sv}"}, {"invalidated", "as"}}},
	},
}

// Filled here, because its methods look at the interfaces, of which it is one.
func init() {
	propertiesSpec.methods = []method{
		{
			name: "Get", in: []arg{{"interface", "s"}, {"name", "s"}}, out: []arg{{"value", "v"}},
			run: func(c *call) ([]any, error) {
				values, err := c.values()
				if err != nil {
					return nil, err
				}
				name, _ := c.msg.Body[1].(string)
				v, ok := values[name]
				if !ok {
					return nil, busError("UnknownProperty", "no such property: "+name)
				}
				return []any{v}, nil
			},
		},
		{
			name: "GetAll", in: []arg{{"interface", "s"}}, out: []arg{{"values", "a{sv}"}},
			run: func(c *call) ([]any, error) {
				values, err := c.values()
				return []any{values}, err
			},
		},
		{
			name: "Set", in: []arg{{"interface", "s"}, {"name", "s"}, {"value", "v"}},
			run: func(c *call) ([]any, error) {
				return nil, busError("PropertyReadOnly", "properties cannot be set")
			},
		},
	}
}

// values are the properties of the interface that the first argument names.
func (c *call) values() (map[string]dbus.Variant, error) {
	if err := c.read(); err != nil {
		return nil, err
	}
	inter, _ := c.msg.Body[0].(string)
	switch o := c.object.(type) {
	case *keyObject:
		if inter == KeyInterface {
			c.s.mu.Lock()
			defer c.s.mu.Unlock()
			return o.values(), nil
		}
	case *operation:
		if inter == OperationInterface {
			return o.values(), nil
		}
	}
	specs, _ := c.s.lookup(c.path)
	for _, sp := range specs {
		if sp.name == inter {
			return map[string]dbus.Variant{}, nil
		}
	}
	return nil, busError("UnknownInterface", string(c.path)+" has no interface "+inter)
}
