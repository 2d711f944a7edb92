package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
)

// sited are requests of the operations whose rules can speak of a site: these are decoded first.
var sited = map[string]string{
	api.OpRegister: `{"origin":"https://example.org","options":{"rp":{"id":"example.org","name":"x"},"user":{"id":"YQ","name":"a","displayName":"a"},` +
		`"challenge":"AAAAAAAAAAAAAAAAAAAAAA","pubKeyCredParams":[{"type":"public-key","alg":-7}]}}`,
	api.OpAssert: `{"origin":"https://example.org","options":{"challenge":"AAAAAAAAAAAAAAAAAAAAAA","rpId":"example.org"}}`,
}

// What a rule forbids is forbidden on every way in: each path of the OpenAPI description, each method that the
// daemon shows on the bus. Nothing is named here that could be forgotten.
func TestPolicyHoldsOnEveryWayIn(t *testing.T) {
	address := sessionBus(t)
	d := prepare(t, "")
	rules := filepath.Join(filepath.Dir(d.socket), "rules")
	if err := os.Mkdir(rules, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rules, "none.cedar"), []byte(`@id("nobody") @reason("nobody may do anything") forbid (principal, action, resource);`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.configure(t, "[policy]\ndir = \""+rules+"\"\n")
	d.cmd.Env = append(d.cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+address)
	d.start(t)
	body := func(op string) string {
		if s, ok := sited[op]; ok {
			return s
		}
		return "{}"
	}

	t.Run("http", func(t *testing.T) {
		resp, err := d.http.Get("http://fobd/v1/openapi.json")
		if err != nil {
			t.Fatal(err)
		}
		var description struct {
			Paths map[string]map[string]any `json:"paths"`
		}
		err = json.NewDecoder(resp.Body).Decode(&description)
		resp.Body.Close()
		if err != nil || len(description.Paths) < len(daemon.Operations()) {
			t.Fatalf("%d paths, %v", len(description.Paths), err)
		}
		for path, methods := range description.Paths {
			for method := range methods {
				if method == "parameters" {
					continue
				}
				name := strings.TrimPrefix(path, "/v1/")
				target := strings.NewReplacer("{id}", "guessed").Replace(path)
				if path == "/v1/prompts" {
					target += "?name=x"
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				r, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), "http://fobd"+target, strings.NewReader(body(name)))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := d.http.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				var answer struct {
					Error api.Error `json:"error"`
				}
				decodeErr := json.NewDecoder(resp.Body).Decode(&answer)
				resp.Body.Close()
				cancel()
				switch {
				case path == "/v1/openapi.json": // says nothing but what is published
				case strings.Contains(path, "{id}"):
					if resp.StatusCode != http.StatusNotFound {
						t.Errorf("%s %s: got %d, want no such prompt", method, path, resp.StatusCode)
					}
				case resp.StatusCode != http.StatusForbidden || answer.Error.Code != api.CodeDenied || decodeErr != nil:
					t.Errorf("%s %s: got %d %v, %v", method, path, resp.StatusCode, answer.Error, decodeErr)
				}
			}
		}
	})

	t.Run("dbus", func(t *testing.T) {
		conn, err := dbus.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		root := conn.Object(dbusapi.Name, dbusapi.Root)
		finished := make(chan *dbus.Signal, 1000)
		conn.Signal(finished)
		denied := dbusapi.ErrorPrefix + "Denied"
		refused := func(what string, err error) {
			t.Helper()
			e, ok := err.(dbus.Error) //nolint:errorlint // godbus does not wrap it
			if !ok || e.Name != denied {
				t.Errorf("%s: got %v", what, err)
			}
		}
		for _, op := range daemon.Operations() {
			call := root.Call(dbusapi.ManagerInterface+"."+dbusapi.Camel(op.Name), 0, body(op.Name))
			if !op.Interactive {
				refused(op.Name, call.Err)
				continue
			}
			// An object that ends with the error.
			var path dbus.ObjectPath
			if err := call.Store(&path); err != nil {
				t.Errorf("%s: %v", op.Name, err)
				continue
			}
			for s := range finished {
				if s.Path != path || !strings.HasSuffix(s.Name, ".Finished") {
					continue
				}
				if text, _ := s.Body[1].(string); !strings.Contains(text, `"denied"`) {
					t.Errorf("%s: got %v", op.Name, s.Body)
				}
				break
			}
		}
		// The methods that are no operations.
		refused("LeaseReports", root.Call(dbusapi.ManagerInterface+".LeaseReports", 0, "guessed").Err)
		refused("RegisterAgent", root.Call(dbusapi.ManagerInterface+".RegisterAgent", 0, "x", []string{}).Err)
		refused("GetManagedObjects", root.Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0).Err)
		refused("GetAll", root.Call("org.freedesktop.DBus.Properties.GetAll", 0, dbusapi.ManagerInterface).Err)
	})
}
