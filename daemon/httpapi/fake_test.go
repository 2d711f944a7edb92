package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
)

// engine is an engine whose operations are functions of the test.
type engine struct {
	*daemon.Desk
	do     func(ctx context.Context, who policy.Actor, op string, decode func(any) error, ui daemon.UI) (any, error)
	events func(ctx context.Context, who policy.Actor, send func(api.Event) error) error
}

func (e engine) Do(ctx context.Context, who policy.Actor, op string, decode func(any) error, ui daemon.UI) (any, error) {
	return e.do(ctx, who, op, decode, ui)
}

func (e engine) Events(ctx context.Context, who policy.Actor, send func(api.Event) error) error {
	return e.events(ctx, who, send)
}

// server is a handler behind a real Unix socket.
type server struct {
	socket string
	http   *http.Client
	stop   func() error // ends Serve and returns its error
}

func serve(t *testing.T, e httpapi.Engine, cfg httpapi.Config) *server {
	t.Helper()
	if fake, ok := e.(engine); ok && fake.Desk == nil {
		fake.Desk = new(daemon.Desk)
		e = fake
	}
	s := &server{socket: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpapi.New(e, cfg).Serve(ctx, l) }()
	s.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.socket)
		},
	}}
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		if err := s.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// request is one request; headers are "Name: value".
type request struct {
	method, path, body string
	headers            []string
}

func (s *server) start(t *testing.T, r request) *http.Response {
	t.Helper()
	return s.startContext(t, t.Context(), r)
}

func (s *server) startContext(t *testing.T, ctx context.Context, r request) *http.Response {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://fobd"+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range r.headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// call sends a request and reads the whole answer.
func (s *server) call(t *testing.T, r request) (status int, answer api.Line, header http.Header) {
	t.Helper()
	resp := s.start(t, r)
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("answer %q: %v", data, err)
	}
	return resp.StatusCode, answer, resp.Header
}

// fails checks an answer that must be an error.
func (s *server) fails(t *testing.T, r request, status int, code api.Code, part string) {
	t.Helper()
	got, answer, _ := s.call(t, r)
	if answer.Error == nil {
		t.Fatalf("%+v: got status %d without an error, want %d %s", r, got, status, code)
	}
	if got != status || answer.Error.Code != code || !strings.Contains(answer.Error.Message+answer.Error.Hint, part) {
		t.Errorf("%.200v: got %d %s %q (%q), want %d %s with %q", r, got, answer.Error.Code, answer.Error.Message,
			answer.Error.Hint, status, code, part)
	}
}

// touched is an engine whose every operation succeeds at once.
func touched(context.Context, policy.Actor, string, func(any) error, daemon.UI) (any, error) {
	return api.TouchResult{Key: api.Key{ID: "k1", Name: "a key"}}, nil
}
