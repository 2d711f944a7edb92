package dbusapi_test

import (
	"encoding/xml"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
)

const description = "../../packaging/dbus/org.fobd.Fob1.xml"

// The description in the repository is that of the code; FOBD_UPDATE=1 writes it.
func TestIntrospectionFile(t *testing.T) {
	want := dbusapi.Introspection()
	if os.Getenv("FOBD_UPDATE") != "" {
		if err := os.WriteFile(description, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the daemon says; FOBD_UPDATE=1 go test ./daemon/dbusapi writes it", description)
	}
}

// interfaces are those of an introspection document, by name, as they stand there.
func interfaces(t *testing.T, document string) map[string]string {
	t.Helper()
	if err := xml.Unmarshal([]byte(document), new(struct{})); err != nil {
		t.Fatalf("%v: %s", err, document)
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)  <interface name="([^"]*)">\n.*?  </interface>\n`).FindAllStringSubmatch(document, -1) {
		found[m[1]] = m[0]
	}
	return found
}

// A running daemon says of each object what the description in the repository says, and answers what
// it says.
func TestIntrospectionOfTheRunningDaemon(t *testing.T) {
	file, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	want := interfaces(t, string(file))
	l := newLab(t)
	l.emulate(api.EmulateAddRequest{Name: "a", Presence: "manual"})
	p := l.program()
	o := p.begin("Touch", api.TouchRequest{})
	seen := map[string]bool{}
	var walk func(path dbus.ObjectPath)
	walk = func(path dbus.ObjectPath) {
		var text string
		object := p.conn.Object(dbusapi.Name, path)
		if err := object.Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for name, got := range interfaces(t, text) {
			if !strings.HasPrefix(name, dbusapi.Name) {
				continue
			}
			seen[name] = true
			if got != want[name] {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", path, name, got, want[name])
			}
			var values map[string]dbus.Variant
			if err := object.Call("org.freedesktop.DBus.Properties.GetAll", 0, name).Store(&values); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			properties := regexp.MustCompile(`<property name="([^"]*)" type="([^"]*)"`).FindAllStringSubmatch(got, -1)
			if len(properties) != len(values) {
				t.Errorf("%s: %d properties of %s, %d described", path, len(values), name, len(properties))
			}
			for _, property := range properties {
				if v, ok := values[property[1]]; !ok || v.Signature().String() != property[2] {
					t.Errorf("%s: property %s is %v, want the type %s", path, property[1], v, property[2])
				}
			}
		}
		for _, m := range regexp.MustCompile(`<node name="([^"]*)"/>`).FindAllStringSubmatch(text, -1) {
			walk(dbus.ObjectPath(strings.TrimSuffix(string(path), "/") + "/" + m[1]))
		}
	}
	walk("/")
	if len(seen) != 3 || len(want) != 3 {
		t.Errorf("got %v, described are %d interfaces", seen, len(want))
	}
	if err := o.Call(dbusapi.OperationInterface+".Cancel", 0).Err; err != nil {
		t.Error(err)
	}
}
