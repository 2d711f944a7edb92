package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// serve answers with handler on a Unix socket.
func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	c := client.New(path)
	t.Cleanup(func() {
		c.Close()
		s.Close()
		<-done
	})
	return c
}

// person is a Prompter that says what the test says, and keeps a diary.
type person struct {
	pin    func(context.Context) (api.Secret, error)
	choose int
	yes    bool

	mu    sync.Mutex
	diary []string
}

func (p *person) note(format string, a ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.diary = append(p.diary, fmt.Sprintf(format, a...))
}

func (p *person) Show(prompt api.Prompt) { p.note("show %s %s", prompt.Kind, prompt.ID) }
func (p *person) Withdraw(id string)     { p.note("withdraw %s", id) }

func (p *person) PIN(ctx context.Context, prompt api.Prompt) (api.Secret, error) {
	p.note("%s %s", prompt.Kind, prompt.ID)
	return p.pin(ctx)
}

func (p *person) Choose(_ context.Context, prompt api.Prompt) (int, error) {
	p.note("choose of %d", len(prompt.Choices))
	return p.choose, nil
}

func (p *person) Confirm(context.Context, api.Prompt) (bool, error) { return p.yes, nil }

func line(w http.ResponseWriter, l api.Line) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = json.NewEncoder(w).Encode(l)
	_ = http.NewResponseController(w).Flush()
}

func problem(w http.ResponseWriter, status int, e *api.Error) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Line{Error: e})
}

func TestDoWithNobodyToAsk(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Host != "fobd" || r.Method != http.MethodPost || r.Header.Get("Accept") != "application/json" ||
			r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s to host %s with %v", r.Method, r.Host, r.Header)
		}
		switch r.URL.Path {
		case "/v1/list":
			if string(body) != "{}" {
				t.Errorf("list: got body %q", body)
			}
			fmt.Fprint(w, `{"keys":[{"id":"k1"}],"later":"member"}`)
		case "/v1/touch":
			if string(body) != `{"purpose":"test"}` {
				t.Errorf("touch: got body %q", body)
			}
			problem(w, 404, &api.Error{Code: api.CodeNoKey, Message: "no key", Hint: "put one in"})
		case "/v1/info":
			w.WriteHeader(502)
			fmt.Fprint(w, "<html>")
		case "/v1/wink":
			fmt.Fprint(w, strings.Repeat(" ", 1<<20+1))
		}
	})
	var keys api.ListResult
	if err := c.Do(t.Context(), api.OpList, nil, &keys, nil); err != nil || len(keys.Keys) != 1 || keys.Keys[0].ID != "k1" {
		t.Errorf("list: got %+v, %v", keys, err)
	}
	err := c.Do(t.Context(), api.OpTouch, api.TouchRequest{Purpose: "test"}, nil, nil)
	var fault *api.Error
	if !errors.As(err, &fault) || fault.Code != api.CodeNoKey || fault.Hint != "put one in" {
		t.Errorf("touch: got %v", err)
	}
	if err := c.Do(t.Context(), api.OpInfo, nil, nil, nil); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("something else listening: got %v", err)
	}
	if err := c.Do(t.Context(), api.OpWink, nil, nil, nil); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("oversized answer: got %v", err)
	}
}

func TestDoCarriesPromptsBothWays(t *testing.T) {
	answers := make(chan string)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, "/v1/prompts/"); ok {
			body, _ := io.ReadAll(r.Body)
			answers <- fmt.Sprintf("%s %s %s %s", r.Method, id, r.Header.Get("Content-Type"), body)
			fmt.Fprint(w, "{}")
			return
		}
		if r.Header.Get("Accept") != "application/x-ndjson" {
			t.Errorf("got Accept %q", r.Header.Get("Accept"))
		}
		_, _ = io.Copy(io.Discard, r.Body)
		for _, p := range []struct {
			prompt api.Prompt
			want   string
		}{
			{api.Prompt{ID: "p1", Kind: api.PromptPIN}, "POST p1 application/octet-stream 12 ü"},
			{api.Prompt{ID: "p2", Kind: api.PromptChoose, Choices: make([]api.Choice, 3)}, "POST p2 application/octet-stream 2"},
			{api.Prompt{ID: "p3", Kind: api.PromptConfirm}, "POST p3 application/octet-stream true"},
		} {
			line(w, api.Line{Prompt: &p.prompt})
			if got := <-answers; got != p.want {
				t.Errorf("got answer %q, want %q", got, p.want)
			}
			line(w, api.Line{Withdrawn: p.prompt.ID})
		}
		line(w, api.Line{Prompt: &api.Prompt{ID: "p4", Kind: api.PromptTouch}})
		line(w, api.Line{Withdrawn: "p4"})
		line(w, api.Line{Result: api.TouchResult{Key: api.Key{ID: "k1"}}})
	})
	pin := []byte("12 ü")
	me := &person{choose: 2, yes: true, pin: func(context.Context) (api.Secret, error) { return api.NewSecret(pin), nil }}
	var result api.TouchResult
	if err := c.Do(t.Context(), api.OpTouch, nil, &result, me); err != nil || result.Key.ID != "k1" {
		t.Errorf("got %+v, %v", result, err)
	}
	if string(pin) != "\x00\x00\x00\x00\x00" {
		t.Error("the PIN was not wiped")
	}
	if got, want := strings.Join(me.diary, "; "), "pin p1; choose of 3; show touch p4; withdraw p4"; got != want {
		t.Errorf("the person saw %q, want %q", got, want)
	}
}

func TestDoReportsWhyThePersonCouldNotBeAsked(t *testing.T) {
	gaveUp := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete && r.URL.Path == "/v1/prompts/p1" {
			fmt.Fprint(w, "{}")
			close(gaveUp)
			return
		}
		line(w, api.Line{Prompt: &api.Prompt{ID: "p1", Kind: api.PromptPIN}})
		<-gaveUp
		line(w, api.Line{Error: &api.Error{Code: api.CodeCancelled, Message: "cancelled"}})
	})
	noTerminal := errors.New("no terminal")
	me := &person{pin: func(context.Context) (api.Secret, error) { return api.Secret{}, noTerminal }}
	if err := c.Do(t.Context(), api.OpTouch, nil, nil, me); !errors.Is(err, noTerminal) {
		t.Errorf("got %v, want %v", err, noTerminal)
	}
}

func TestWithdrawnPromptEndsItsContext(t *testing.T) {
	asked := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/touch" {
			t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
			return
		}
		line(w, api.Line{Prompt: &api.Prompt{ID: "p1", Kind: api.PromptPIN}})
		<-asked
		line(w, api.Line{Withdrawn: "p1"})
		line(w, api.Line{Error: &api.Error{Code: api.CodeKeyGone, Message: "gone"}})
	})
	me := &person{pin: func(ctx context.Context) (api.Secret, error) {
		close(asked)
		<-ctx.Done()
		return api.Secret{}, ctx.Err()
	}}
	if err := c.Do(t.Context(), api.OpTouch, nil, nil, me); !errors.Is(err, &api.Error{Code: api.CodeKeyGone}) {
		t.Errorf("got %v, want %s", err, api.CodeKeyGone)
	}
}

func TestEndingTheContextHangsUp(t *testing.T) {
	for _, me := range []client.Prompter{nil, &person{}} {
		begun, ended := make(chan struct{}), make(chan struct{})
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if me != nil {
				line(w, api.Line{Prompt: &api.Prompt{ID: "p", Kind: api.PromptTouch}})
			}
			close(begun)
			<-r.Context().Done()
			close(ended)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-begun
			cancel()
		}()
		if err := c.Do(ctx, api.OpTouch, nil, nil, me); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		<-ended
	}
}

func TestStreamsThatBreak(t *testing.T) {
	var body string
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
	for _, tt := range []struct{ name, body, want string }{
		{"no result", `{"prompt":{"id":"p","kind":"touch"}}` + "\n", "without a result"},
		{"not JSON", "{nonsense}\n", "line of the stream"},
		{"long line", `{"withdrawn":"` + strings.Repeat("x", 1<<20) + `"}` + "\n", "longer than"},
	} {
		body = tt.body
		if err := c.Do(t.Context(), api.OpTouch, nil, nil, &person{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestEvents(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/events" {
			problem(w, 403, &api.Error{Code: api.CodeDenied, Message: "no"})
			return
		}
		fmt.Fprint(w, `{"type":"attached"}`+"\n"+`{"type":"ready"}`+"\n")
	})
	var got []api.EventType
	err := c.Events(t.Context(), func(e api.Event) error {
		got = append(got, e.Type)
		return nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 2 || got[1] != api.EventReady {
		t.Errorf("got %v, %v", got, err)
	}
	enough := errors.New("enough")
	if err := c.Events(t.Context(), func(api.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

func TestConnectErrorSaysWhatToDo(t *testing.T) {
	err := client.New(filepath.Join(t.TempDir(), "none")).Do(t.Context(), api.OpList, nil, nil, nil)
	var failed *client.ConnectError
	if !errors.As(err, &failed) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v, want a ConnectError", err)
	}
	if !strings.Contains(failed.Hint(), "systemctl --user start fobd.socket") {
		t.Errorf("got hint %q", failed.Hint())
	}
	if hint := (&client.ConnectError{Socket: client.SystemSocket, Err: os.ErrNotExist}).Hint(); !strings.Contains(hint, "sudo systemctl start") {
		t.Errorf("system socket: got hint %q", hint)
	}
	if hint := (&client.ConnectError{Err: os.ErrPermission}).Hint(); !strings.Contains(hint, "may not open") {
		t.Errorf("no permission: got hint %q", hint)
	}
	err = client.New("/tmp/"+strings.Repeat("x", 120)).Events(t.Context(), nil)
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("long path: got %v", err)
	}
}

func TestDefaultSocket(t *testing.T) {
	runtime := t.TempDir()
	t.Setenv("FOBD_SOCKET", "")
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	if got := client.DefaultSocket(); got != "/run/fobd/fobd.sock" {
		t.Errorf("no user daemon: got %s", got)
	}
	want := filepath.Join(runtime, "fobd", "fobd.sock")
	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := client.New("").Socket(); got != want {
		t.Errorf("user daemon: got %s, want %s", got, want)
	}
	t.Setenv("FOBD_SOCKET", "/elsewhere")
	if got := client.DefaultSocket(); got != "/elsewhere" {
		t.Errorf("FOBD_SOCKET: got %s", got)
	}
}
