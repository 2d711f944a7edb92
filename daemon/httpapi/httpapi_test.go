package httpapi_test

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
)

func TestEveryOperationIsReachable(t *testing.T) {
	var got string
	var actor policy.Actor
	s := serve(t, engine{do: func(_ context.Context, who policy.Actor, op string, decode func(any) error, _ daemon.UI) (any, error) {
		got, actor = op, who
		for _, row := range daemon.Operations() {
			if row.Name == op {
				return map[string]string{}, decode(reflect.New(reflect.TypeOf(row.Request)).Interface())
			}
		}
		return nil, &api.Error{Code: api.CodeInternal, Message: "not in the table"}
	}}, httpapi.Config{})
	if len(daemon.Operations()) == 0 {
		t.Fatal("the table is empty")
	}
	for _, op := range daemon.Operations() {
		for _, accept := range []string{"application/json", "application/x-ndjson"} {
			status, answer, header := s.call(t, request{path: "/v1/" + op.Name, headers: []string{"Accept: " + accept}})
			if status != http.StatusOK || answer.Error != nil || got != op.Name {
				t.Errorf("%s: got status %d, %v, operation %q", op.Name, status, answer.Error, got)
			}
			if header.Get("Content-Type") != accept {
				t.Errorf("%s: got content type %q, want %q", op.Name, header.Get("Content-Type"), accept)
			}
		}
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Executable()
	want := policy.Actor{
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), PID: os.Getpid(),
		User: actor.User, Groups: actor.Groups, Program: strings.TrimSpace(string(comm)), Via: "socket", Start: actor.Start,
		App: policy.App{Exe: exe, Unit: actor.App.Unit}, Session: actor.Session,
	}
	if actor != want || actor.User == "" || actor.Start == 0 || !strings.HasPrefix(actor.Groups, ",") {
		t.Errorf("got actor %+v, want %+v with a user name", actor, want)
	}
}

func TestRequestsThatCannotBeMeant(t *testing.T) {
	s := serve(t, engine{do: func(_ context.Context, _ policy.Actor, _ string, decode func(any) error, _ daemon.UI) (any, error) {
		var r api.TouchRequest
		return api.TouchResult{}, decode(&r)
	}}, httpapi.Config{})
	touch := func(body string, headers ...string) request {
		return request{path: "/v1/touch", body: body, headers: headers}
	}
	tests := []struct {
		name   string
		r      request
		status int
		code   api.Code
		part   string
	}{
		{"unknown member", touch(`{"kye":"k1"}`), 400, api.CodeInvalidRequest, `unknown field "kye"`},
		{"wrong type", touch(`{"key":1}`), 400, api.CodeInvalidRequest, "key"},
		{"not JSON", touch(`{key}`), 400, api.CodeInvalidRequest, "not JSON"},
		{"cut off", touch(`{"key":"k`), 400, api.CodeInvalidRequest, "JSON"},
		{"cut off in an object", touch(`{"key":"k"`), 400, api.CodeInvalidRequest, "cut off"},
		{"null", touch(`null`), 400, api.CodeInvalidRequest, "want a JSON object"},
		{"array", touch(`[]`), 400, api.CodeInvalidRequest, "want a JSON object"},
		{"two values", touch(`{} {}`), 400, api.CodeInvalidRequest, "something follows"},
		{"member twice", touch(`{"key":"a","key":"b"}`), 400, api.CodeInvalidRequest, `"key" comes twice`},
		{"member twice in another case", touch(`{"key":"a","KEY":"b"}`), 400, api.CodeInvalidRequest, `"key" comes twice`},
		{"deep", touch(`{"key":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), 400, api.CodeInvalidRequest, "nested deeper than 32"},
		{"oversized", touch(`{"key":"` + strings.Repeat("k", 1<<20) + `"}`), 413, api.CodeTooLarge, "1048576 bytes"},
		{"no JSON type", touch(`{}`, "Content-Type: text/plain"), 415, api.CodeInvalidRequest, "application/json"},
		{"no UTF-8", touch(`{}`, "Content-Type: application/json; charset=latin1"), 415, api.CodeInvalidRequest, "application/json"},
		{"no acceptable type", touch(`{}`, "Accept: text/html"), 406, api.CodeInvalidRequest, "application/x-ndjson"},
		{"excluded types", touch(`{}`, "Accept: */*;q=0"), 406, api.CodeInvalidRequest, "application/x-ndjson"},
		{"unknown operation", request{path: "/v1/tuoch"}, 404, api.CodeUnknownOperation, "tuoch"},
		{"unknown path", request{path: "/touch"}, 404, api.CodeUnknownOperation, "/touch"},
		{"wrong method", request{method: "GET", path: "/v1/touch"}, 405, api.CodeInvalidRequest, "use POST"},
		{"wrong method for events", request{path: "/v1/events"}, 405, api.CodeInvalidRequest, "use GET"},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) { s.fails(t, tt.r, tt.status, tt.code, tt.part) })
	}
	t.Run("streamed", func(t *testing.T) {
		s.fails(t, touch(`{"kye":"k1"}`, "Accept: application/x-ndjson"), 400, api.CodeInvalidRequest, "kye")
	})
	t.Run("still-works", func(t *testing.T) {
		for _, header := range []string{"Content-Type: application/json; charset=UTF-8", "Content-Type: application/x-www-form-urlencoded", "Content-Type: "} {
			if status, answer, _ := s.call(t, touch(`{"key":"k1"}`, header)); status != http.StatusOK {
				t.Errorf("%s: got %d %v", header, status, answer.Error)
			}
		}
	})
}

func TestAcceptPicksTheForm(t *testing.T) {
	s := serve(t, engine{do: touched}, httpapi.Config{})
	tests := []struct{ accept, want string }{
		{"", "application/json"},
		{"*/*", "application/json"},
		{"application/x-ndjson", "application/x-ndjson"},
		{"application/json;q=0.5, application/x-ndjson", "application/x-ndjson"},
		{"application/json, application/x-ndjson;q=0.9", "application/json"},
		{"*/*;q=0.1, application/X-NDJSON; q=0.2", "application/x-ndjson"},
		{"application/*, application/json;q=0", "application/x-ndjson"},
		{"text/html, application/json;q=0.001", "application/json"},
	}
	for _, tt := range tests {
		_, _, header := s.call(t, request{path: "/v1/touch", headers: []string{"Accept: " + tt.accept}})
		if got := header.Get("Content-Type"); got != tt.want {
			t.Errorf("Accept %q: got %s, want %s", tt.accept, got, tt.want)
		}
	}
}

func TestWebPagesAreKeptOut(t *testing.T) {
	s := serve(t, engine{do: func(context.Context, policy.Actor, string, func(any) error, daemon.UI) (any, error) {
		t.Error("a browser's request reached the engine")
		return nil, nil
	}}, httpapi.Config{})
	for _, header := range []string{
		"Origin: https://example.com", "Origin: null", "Referer: https://example.com/", "Sec-Fetch-Site: none",
		"Sec-Fetch-Mode: cors", "Host: example.com", "Host: 127.0.0.1:8080", "Host: fobd:80",
	} {
		s.fails(t, request{path: "/v1/touch", headers: []string{header}}, 403, api.CodeDenied, "web pages")
	}
}

func TestCallersThatNobodyKnowsAreDenied(t *testing.T) {
	h := httpapi.New(engine{do: touched}, httpapi.Config{})
	for _, path := range []string{"/", "/v1/touch", "/v1/events", "/v1/prompts/x", "/v1/openapi.json"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://fobd"+path, nil)
		h.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: got %d, want %d", path, w.Code, http.StatusForbidden)
		}
	}
}

func TestTheEnginesErrorHasItsStatus(t *testing.T) {
	retries := uint(3)
	fault := &api.Error{Code: api.CodePINInvalid, Message: "wrong PIN", Retries: &retries, Key: "k1"}
	s := serve(t, engine{do: func(context.Context, policy.Actor, string, func(any) error, daemon.UI) (any, error) {
		return nil, fault
	}}, httpapi.Config{})
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		status, answer, _ := s.call(t, request{path: "/v1/touch", headers: []string{"Accept: " + accept}})
		if status != http.StatusForbidden || !reflect.DeepEqual(answer.Error, fault) {
			t.Errorf("%s: got %d %+v, want %d %+v", accept, status, answer.Error, http.StatusForbidden, fault)
		}
	}
}

// TestEveryCodeHasAStatus reads the codes from the source of daemon/api.
func TestEveryCodeHasAStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "api", "error.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes++
		status := httpapi.Status(api.Code(value))
		if status < 400 || status == http.StatusInternalServerError && value != string(api.CodeInternal) {
			t.Errorf("%s: got status %d", value, status)
		}
		return true
	})
	if codes < 20 {
		t.Errorf("found %d codes in daemon/api/error.go", codes)
	}
	if got := httpapi.Status("no-such-code"); got != http.StatusInternalServerError {
		t.Errorf("unknown code: got %d", got)
	}
}

func TestRootSaysWhatThisIs(t *testing.T) {
	s := serve(t, engine{do: touched}, httpapi.Config{})
	resp := s.start(t, request{method: http.MethodGet, path: "/"})
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fobd", "/v1/events", "/v1/openapi.json"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("GET / does not mention %s:\n%s", want, text)
		}
	}
}

// FuzzBody sends any body to an operation: what is let through must decode strictly.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"key":"a"}`, `{"key":"a","key":"b"}`, `{"options":{"a":[1,{"b":null}]}}`, `[`, `{"a":1}x`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := httpapi.New(engine{do: func(_ context.Context, _ policy.Actor, _ string, decode func(any) error, _ daemon.UI) (any, error) {
			var r api.RegisterRequest
			return map[string]any{}, decode(&r)
		}}, httpapi.Config{MaxBody: 4096})
		r := httptest.NewRequest(http.MethodPost, "http://fobd/v1/touch", strings.NewReader(string(body)))
		r = r.WithContext(httpapi.WithActor(t.Context(), policy.Actor{UID: 1}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var v map[string]json.RawMessage
		valid := json.Unmarshal(body, &v) == nil && v != nil || len(strings.TrimSpace(string(body))) == 0
		if w.Code == http.StatusOK && !valid {
			t.Errorf("body %q was let through", body)
		}
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("body %q: status %d", body, w.Code)
		}
	})
}

// The key set is what libraries for JWT fetch: the result of statement-keys as it is, by GET.
func TestKeySet(t *testing.T) {
	denied := false
	s := serve(t, engine{do: func(_ context.Context, _ policy.Actor, op string, _ func(any) error, _ daemon.UI) (any, error) {
		if op != api.OpStatementKeys {
			t.Errorf("operation %s", op)
		}
		if denied {
			return nil, &api.Error{Code: api.CodeDenied, Message: "no"}
		}
		return &api.StatementKeysResult{Keys: []json.RawMessage{json.RawMessage(`{"kty":"OKP"}`)}}, nil
	}}, httpapi.Config{})
	get := func(method string) (int, string) {
		resp := s.start(t, request{method: method, path: "/v1/jwks"})
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(body))
	}
	if status, body := get(http.MethodGet); status != http.StatusOK || body != `{"keys":[{"kty":"OKP"}]}` {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get(http.MethodPost); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", status)
	}
	denied = true
	if status, _ := get(http.MethodGet); status != http.StatusForbidden {
		t.Errorf("denied: %d", status)
	}
}
