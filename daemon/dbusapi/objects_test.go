package dbusapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
)

type managedObjects map[dbus.ObjectPath]map[string]map[string]dbus.Variant

func (p *program) objects() managedObjects {
	p.t.Helper()
	var objects managedObjects
	if err := p.root.Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0).Store(&objects); err != nil {
		p.t.Fatal(err)
	}
	return objects
}

// listen makes the program hear the signals that go to all.
func (p *program) listen() {
	p.t.Helper()
	if err := p.conn.AddMatchSignal(dbus.WithMatchSender(dbusapi.Name)); err != nil {
		p.t.Fatal(err)
	}
}

// changes waits until a property of an object has changed and returns its new value.
func (p *program) changes(path dbus.ObjectPath, property string) any {
	p.t.Helper()
	for {
		s := p.hears("PropertiesChanged", path)
		if values, ok := s.Body[1].(map[string]dbus.Variant); ok {
			if v, ok := values[property]; ok {
				return v.Value()
			}
		}
	}
}

func TestKeysAreObjects(t *testing.T) {
	l := newLab(t)
	p, watcher := l.program(), l.program()
	watcher.listen()
	key := l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	added := watcher.hears("InterfacesAdded", dbusapi.Root)
	path, _ := added.Body[0].(dbus.ObjectPath)
	values := watcher.objects()[path][dbusapi.KeyInterface]
	if values["Id"].Value() != key || values["Emulated"].Value() != true || values["Serial"].Value() != "a" {
		t.Fatalf("added %s: got %v", path, values)
	}
	if got := added.Body[1].(map[string]map[string]dbus.Variant)[dbusapi.KeyInterface]["Id"].Value(); got != key {
		t.Errorf("InterfacesAdded: got id %v, want %s", got, key)
	}
	object := watcher.conn.Object(dbusapi.Name, path)
	busy := func() string {
		v, err := object.GetProperty(dbusapi.KeyInterface + ".Busy")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(v.Value())
	}
	if got := busy(); got != "map[]" {
		t.Errorf("a free key is busy: %v", got)
	}

	o := p.begin("Touch", api.TouchRequest{})
	p.prompted(o, api.PromptTouch)
	holder, _ := watcher.changes(path, "Busy").(map[string]dbus.Variant)
	program, _ := holder["Program"].Value().(string)
	if holder["Operation"].Value() != "touch" || !strings.HasPrefix(program, "dbusapi.test") {
		t.Errorf("a key that is waiting for a touch: got %v", holder)
	}
	operation := watcher.objects()[o.Path()][dbusapi.OperationInterface]
	if operation["Operation"].Value() != "touch" || operation["State"].Value() != "running" {
		t.Errorf("the operation: got %v", operation)
	}
	if err := p.ask("EmulateTouch", api.EmulateNameRequest{Name: "a"}).Err; err != nil {
		t.Fatal(err)
	}
	// The two come in either order.
	state, holder := any("running"), holder
	for state != "finished" || len(holder) > 0 {
		s := watcher.hears("PropertiesChanged", "")
		values, _ := s.Body[1].(map[string]dbus.Variant)
		if v, ok := values["State"]; ok && s.Path == o.Path() {
			state = v.Value()
		}
		if v, ok := values["Busy"]; ok && s.Path == path {
			holder, _ = v.Value().(map[string]dbus.Variant)
		}
	}

	if err := p.ask("EmulateRemove", api.EmulateNameRequest{Name: "a"}).Err; err != nil {
		t.Fatal(err)
	}
	if s := watcher.hears("InterfacesRemoved", dbusapi.Root); s.Body[0] != path {
		t.Errorf("removed: got %v", s.Body)
	}
	if got := errorName(object.Call("org.freedesktop.DBus.Properties.GetAll", 0, dbusapi.KeyInterface).Err); !strings.HasSuffix(got, ".UnknownObject") {
		t.Errorf("properties of a key that is gone: got %s", got)
	}
}

func TestWhatTheBusSaysOfWrongCalls(t *testing.T) {
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a"})
	p := l.program()
	var key dbus.ObjectPath
	for path := range p.objects() {
		key = path
	}
	at := func(path dbus.ObjectPath) dbus.BusObject { return p.conn.Object(dbusapi.Name, path) }
	const get, set = "org.freedesktop.DBus.Properties.Get", "org.freedesktop.DBus.Properties.Set"
	for _, test := range []struct {
		call *dbus.Call
		want string
	}{
		{at("/org/fobd/Fob1/key/none").Call(get, 0, dbusapi.KeyInterface, "Id"), "UnknownObject"},
		{at(key).Call(dbusapi.ManagerInterface+".List", 0, "{}"), "UnknownInterface"},
		{p.root.Call(dbusapi.ManagerInterface+".Explode", 0), "UnknownMethod"},
		{p.root.Call(dbusapi.ManagerInterface+".List", 0), "InvalidArgs"},
		{p.root.Call(dbusapi.ManagerInterface+".List", 0, uint32(1)), "InvalidArgs"},
		{at(key).Call(get, 0, dbusapi.KeyInterface, "Pin"), "UnknownProperty"},
		{at(key).Call(get, 0, "org.example", "Id"), "UnknownInterface"},
		{at(key).Call(set, 0, dbusapi.KeyInterface, "Id", dbus.MakeVariant("x")), "PropertyReadOnly"},
	} {
		if got := errorName(test.call.Err); got != "org.freedesktop.DBus.Error."+test.want {
			t.Errorf("%s(%v) of %s: got %s, want %s", test.call.Method, test.call.Args, test.call.Path, got, test.want)
		}
	}
}

func TestLimits(t *testing.T) {
	l := newLab(t, func(c *dbusapi.Config) { c.MaxCalls, c.MaxRequest = 2, 1000 })
	l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	p, other := l.program(), l.program()
	first := p.begin("Touch", api.TouchRequest{})
	p.begin("Touch", api.TouchRequest{})
	if got := errorName(p.ask("Touch", api.TouchRequest{}).Err); !strings.HasSuffix(got, ".LimitsExceeded") {
		t.Errorf("a third operation: got %s", got)
	}
	other.begin("Touch", api.TouchRequest{}) // the limit is each program's own
	if got := errorName(p.ask("List", strings.Repeat("x", 1000)).Err); got != dbusapi.ErrorPrefix+"TooLarge" {
		t.Errorf("a long request: got %s", got)
	}
	if err := first.Call(dbusapi.OperationInterface+".Cancel", 0).Err; err != nil {
		t.Fatal(err)
	}
	p.failed(first)
	p.begin("Touch", api.TouchRequest{})
}

// Who may not see keys gets no objects and no properties, either.
func TestReadingIsAuthorized(t *testing.T) {
	l := newLab(t, func(c *dbusapi.Config) { c.Authorize = denyAll })
	l.emulate(api.EmulateAddRequest{Name: "a"})
	p := l.program()
	for _, call := range []*dbus.Call{
		p.root.Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0),
		p.root.Call("org.freedesktop.DBus.Properties.GetAll", 0, dbusapi.ManagerInterface),
	} {
		if got := errorName(call.Err); got != dbusapi.ErrorPrefix+"Denied" {
			t.Errorf("%s: got %s", call.Method, got)
		}
	}
}

// A program that floods the bus with calls is refused what is too much, and others are served meanwhile.
func TestFlood(t *testing.T) {
	l := newLab(t, func(c *dbusapi.Config) { c.MaxCalls = 8 })
	l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	flood, other := l.program(), l.program()
	const calls = 2000
	done := make(chan *dbus.Call, calls)
	for range calls {
		flood.root.Go(dbusapi.ManagerInterface+".Touch", 0, done, `{"key":"emulated"}`)
	}
	if err := other.ask("List", struct{}{}).Err; err != nil {
		t.Errorf("another program: %v", err)
	}
	begun := 0
	for range calls {
		call := <-done
		switch {
		case call.Err == nil:
			begun++
		case !strings.HasSuffix(errorName(call.Err), ".LimitsExceeded"):
			t.Fatalf("got %v", call.Err)
		}
	}
	if begun > 8 {
		t.Errorf("%d operations were begun", begun)
	}
	if s := l.engine.Stats(); s.Running > 8 {
		t.Errorf("%d run", s.Running)
	}
}
