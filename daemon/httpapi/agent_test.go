package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
)

// realServer is a handler in front of a real engine, which runs.
func realServer(t *testing.T) *server {
	t.Helper()
	e, err := daemon.New(daemon.Config{Sources: []hid.Bus{hid.NewMemoryBus()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return serve(t, anybody{e}, httpapi.Config{})
}

// anybody is an engine for whom every caller is root.
type anybody struct{ *daemon.Engine }

func (e anybody) Do(ctx context.Context, _ policy.Actor, op string, decode func(any) error, ui daemon.UI) (any, error) {
	return e.Engine.Do(ctx, policy.Actor{User: "root"}, op, decode, ui)
}

func (e anybody) Agent(ctx context.Context, _ policy.Actor, a api.Agent, send func(api.Line) error) error {
	return e.Engine.Agent(ctx, policy.Actor{User: "root"}, a, send)
}

func (e anybody) Answer(_ policy.Actor, id string, body []byte, giveUp bool) error {
	return e.Engine.Answer(policy.Actor{User: "root"}, id, body, giveUp)
}

// An agent answers what a program that shows no prompts is asked.
func TestAgentAnswers(t *testing.T) {
	s := realServer(t)
	resp := s.start(t, request{method: http.MethodGet, path: "/v1/prompts?name=test&kinds=new-pin,touch"})
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("got %s, %v", resp.Status, resp.Header)
	}
	l := &lines{t, bufio.NewScanner(resp.Body)}
	if line := l.next(); !line.Ready {
		t.Fatalf("got %+v, want ready", line)
	}
	if status, answer, _ := s.call(t, request{path: "/v1/emulate-add", body: `{}`, headers: []string{"Content-Type: application/json"}}); status != http.StatusOK {
		t.Fatalf("got %d %v", status, answer.Error)
	}
	set := make(chan *http.Response, 1)
	go func() {
		set <- s.start(t, request{path: "/v1/pin-set", body: `{}`, headers: []string{"Content-Type: application/json"}})
	}()
	id := l.prompt(api.PromptNewPIN)
	if status, answer, _ := s.call(t, request{path: "/v1/prompts/" + id, body: "2468"}); status != http.StatusOK {
		t.Fatalf("answer: %d %v", status, answer.Error)
	}
	if line := l.next(); line.Withdrawn != id {
		t.Errorf("got %+v, want the prompt withdrawn", line)
	}
	var result api.KeyResult
	if err := json.NewDecoder((<-set).Body).Decode(&result); err != nil || result.Key.PINSet == nil || !*result.Key.PINSet {
		t.Errorf("got %+v, %v, want a PIN", result, err)
	}
}

func TestAgentsAreChecked(t *testing.T) {
	s := realServer(t)
	get := func(query string) request {
		return request{method: http.MethodGet, path: "/v1/prompts" + query}
	}
	s.fails(t, get(""), 400, api.CodeInvalidRequest, "name")
	s.fails(t, get("?name=a&kinds=pins"), 400, api.CodeInvalidRequest, "pins")
	s.fails(t, get("?name=a&kind=pin"), 400, api.CodeInvalidRequest, "kind")
	s.fails(t, request{path: "/v1/prompts?name=a"}, 405, api.CodeInvalidRequest, "GET")
	s.fails(t, request{method: http.MethodGet, path: "/v1/prompts?name=a", headers: []string{"Accept: text/html"}}, 406, api.CodeInvalidRequest, "ndjson")
	s.fails(t, request{method: http.MethodGet, path: "/v1/prompts?name=" + strings.Repeat("a", 40)}, 400, api.CodeInvalidRequest, "32")
}
