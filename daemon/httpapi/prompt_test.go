package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
)

// lines reads a stream.
type lines struct {
	t *testing.T
	s *bufio.Scanner
}

func (s *server) stream(t *testing.T) *lines {
	t.Helper()
	resp := s.start(t, request{path: "/v1/touch", headers: []string{"Accept: application/x-ndjson"}})
	return &lines{t, bufio.NewScanner(resp.Body)}
}

func (l *lines) next() api.Line {
	l.t.Helper()
	if !l.s.Scan() {
		l.t.Fatalf("the stream ended: %v", l.s.Err())
	}
	var line api.Line
	if err := json.Unmarshal(l.s.Bytes(), &line); err != nil {
		l.t.Fatalf("line %q: %v", l.s.Bytes(), err)
	}
	return line
}

func (l *lines) prompt(kind api.PromptKind) string {
	l.t.Helper()
	line := l.next()
	if line.Prompt == nil || line.Prompt.Kind != kind || len(line.Prompt.ID) < 22 {
		l.t.Fatalf("got line %+v, want a %s prompt with an unguessable id", line, kind)
	}
	return line.Prompt.ID
}

func (l *lines) end() {
	l.t.Helper()
	if l.s.Scan() {
		l.t.Errorf("a line after the last: %q", l.s.Bytes())
	}
}

// asking is an engine that asks for everything and answers with what it heard.
func asking(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, ui daemon.UI) (any, error) {
	withdraw := ui.Show(api.Prompt{Kind: api.PromptTouch, Operation: "touch", Message: "Touch it."})
	pin, err := ui.PIN(ctx, api.Prompt{Kind: api.PromptPIN, Operation: "touch"})
	if err != nil {
		return nil, err
	}
	withdraw()
	withdraw()
	i, err := ui.Choose(ctx, api.Prompt{Kind: api.PromptChoose, Choices: []api.Choice{{Name: "a"}, {Name: "b"}}})
	if err != nil {
		return nil, err
	}
	yes, err := ui.Confirm(ctx, api.Prompt{Kind: api.PromptConfirm})
	return map[string]string{"heard": fmt.Sprintf("%s %d %v", pin.Bytes(), i, yes)}, err
}

func TestPromptsAreAnsweredOnce(t *testing.T) {
	s := serve(t, engine{do: asking}, httpapi.Config{})
	l := s.stream(t)
	touch := l.prompt(api.PromptTouch)
	pin := l.prompt(api.PromptPIN)
	post := func(id, body string) request { return request{path: "/v1/prompts/" + id, body: body} }

	s.fails(t, post(touch, "x"), 404, api.CodeNotFound, "no such prompt")
	s.fails(t, post("AAAAAAAAAAAAAAAAAAAAAA", "x"), 404, api.CodeNotFound, "no such prompt")
	s.fails(t, post(pin, ""), 400, api.CodeInvalidRequest, "empty")
	s.fails(t, post(pin, strings.Repeat("1", 256)), 413, api.CodeTooLarge, "255")
	if status, answer, _ := s.call(t, post(pin, `"ü\n1`)); status != http.StatusOK {
		t.Fatalf("answer: got %d %v", status, answer.Error)
	}
	if line := l.next(); line.Withdrawn != pin {
		t.Errorf("got %+v, want the PIN prompt withdrawn", line)
	}
	if line := l.next(); line.Withdrawn != touch {
		t.Errorf("got %+v, want the touch prompt withdrawn", line)
	}
	s.fails(t, post(pin, "5678"), 409, api.CodeConflict, "answered")
	s.fails(t, request{method: http.MethodDelete, path: "/v1/prompts/" + pin}, 409, api.CodeConflict, "answered")

	choose := l.prompt(api.PromptChoose)
	for _, wrong := range []string{"2", "-1", "null", "", "1 1", `"a"`} {
		s.fails(t, post(choose, wrong), 400, api.CodeInvalidRequest, "one of 2")
	}
	if status, answer, _ := s.call(t, post(choose, "1")); status != http.StatusOK {
		t.Fatalf("choice: got %d %v", status, answer.Error)
	}
	l.next()
	confirm := l.prompt(api.PromptConfirm)
	for _, wrong := range []string{"1", "null", "yes", ""} {
		s.fails(t, post(confirm, wrong), 400, api.CodeInvalidRequest, "true or false")
	}
	if status, answer, _ := s.call(t, post(confirm, " true\n")); status != http.StatusOK {
		t.Fatalf("confirm: got %d %v", status, answer.Error)
	}
	l.next()
	result, _ := l.next().Result.(map[string]any)
	if want := "\"ü\\n1 1 true"; result["heard"] != want {
		t.Errorf("the engine heard %q, want %q", result["heard"], want)
	}
	l.end()
	s.fails(t, post(pin, "5678"), 404, api.CodeNotFound, "over")
}

func TestGivingUpCancels(t *testing.T) {
	s := serve(t, engine{do: asking}, httpapi.Config{})
	l := s.stream(t)
	l.prompt(api.PromptTouch)
	pin := l.prompt(api.PromptPIN)
	if status, answer, _ := s.call(t, request{method: http.MethodDelete, path: "/v1/prompts/" + pin}); status != http.StatusOK {
		t.Fatalf("got %d %v", status, answer.Error)
	}
	if line := l.next(); line.Withdrawn != pin {
		t.Errorf("got %+v, want the prompt withdrawn", line)
	}
	if line := l.next(); line.Error == nil || line.Error.Code != api.CodeCancelled {
		t.Errorf("got %+v, want an error %s", line, api.CodeCancelled)
	}
	l.end()
}

func TestPromptsBelongToTheirUser(t *testing.T) {
	answered := make(chan string, 1)
	h := httpapi.New(engine{Desk: new(daemon.Desk), do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, ui daemon.UI) (any, error) {
		pin, err := ui.PIN(ctx, api.Prompt{ID: "known-to-all", Kind: api.PromptPIN})
		answered <- string(pin.Bytes())
		return struct{}{}, err
	}}, httpapi.Config{})
	lines := make(chan struct{}, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := httptest.NewRequest(http.MethodPost, "http://fobd/v1/touch", nil)
		r.Header.Set("Accept", "application/x-ndjson")
		h.ServeHTTP(signalling{httptest.NewRecorder(), lines}, r.WithContext(httpapi.WithActor(t.Context(), policy.Actor{UID: 1000})))
	}()
	<-lines // the prompt is out
	as := func(uid uint32, body string) int {
		r := httptest.NewRequest(http.MethodPost, "http://fobd/v1/prompts/known-to-all", strings.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(httpapi.WithActor(t.Context(), policy.Actor{UID: uid})))
		return w.Code
	}
	if got := as(1001, "1111"); got != http.StatusNotFound {
		t.Errorf("another user's answer: got %d, want %d", got, http.StatusNotFound)
	}
	if got := as(0, "2222"); got != http.StatusOK {
		t.Errorf("root's answer: got %d, want %d", got, http.StatusOK)
	}
	if got := <-answered; got != "2222" {
		t.Errorf("the engine heard %q", got)
	}
	<-done
}

// signalling tells of every write.
type signalling struct {
	*httptest.ResponseRecorder
	lines chan struct{}
}

func (s signalling) Write(b []byte) (int, error) {
	defer func() { s.lines <- struct{}{} }()
	return s.ResponseRecorder.Write(b)
}

func TestNobodyToAsk(t *testing.T) {
	var ask func(context.Context, daemon.UI) error
	s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, ui daemon.UI) (any, error) {
		ui.Show(api.Prompt{Kind: api.PromptTouch})()
		return nil, ask(ctx, ui)
	}}, httpapi.Config{})
	ask = func(ctx context.Context, ui daemon.UI) error {
		_, err := ui.PIN(ctx, api.Prompt{Kind: api.PromptPIN})
		return err
	}
	s.fails(t, request{path: "/v1/touch"}, 428, api.CodePINRequired, "Accept: application/x-ndjson")
	ask = func(ctx context.Context, ui daemon.UI) error {
		_, err := ui.Choose(ctx, api.Prompt{Kind: api.PromptChoose})
		return err
	}
	s.fails(t, request{path: "/v1/touch"}, 400, api.CodeInvalidRequest, "Accept: application/x-ndjson")
	ask = func(ctx context.Context, ui daemon.UI) error {
		_, err := ui.Confirm(ctx, api.Prompt{Kind: api.PromptConfirm})
		return err
	}
	s.fails(t, request{path: "/v1/touch"}, 403, api.CodeDenied, "Accept: application/x-ndjson")
}

func TestHangingUpEndsTheOperation(t *testing.T) {
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		t.Run(strings.TrimPrefix(accept, "application/"), func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan error, 1)
			s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, _ daemon.UI) (any, error) {
				close(begun)
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			}}, httpapi.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-begun
				cancel()
			}()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://fobd/v1/touch", strings.NewReader(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			if _, err := s.http.Do(req); !errors.Is(err, context.Canceled) {
				t.Errorf("client: got %v", err)
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("engine: got %v", err)
			}
		})
	}
}

func TestHangingUpWithdrawsThePrompt(t *testing.T) {
	ended := make(chan error, 1)
	s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, ui daemon.UI) (any, error) {
		_, err := ui.PIN(ctx, api.Prompt{Kind: api.PromptPIN})
		ended <- err
		return nil, err
	}}, httpapi.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	resp := s.startContext(t, ctx, request{path: "/v1/touch", headers: []string{"Accept: application/x-ndjson"}})
	l := &lines{t, bufio.NewScanner(resp.Body)}
	l.prompt(api.PromptPIN)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("engine: got %v, want context.Canceled", err)
	}
}
