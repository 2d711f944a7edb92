package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/api"
)

// fake is a daemon that gives canned answers and records what it was asked.
type fake struct {
	socket string
	// answers holds, by operation, an [*api.Error], the result, or a func(*fakeCall).
	answers  map[string]any
	requests map[string]json.RawMessage
	prompted chan string // bodies of answers to prompts
	events   []api.Event
}

// fakeCall is a streamed operation at the fake.
type fakeCall struct {
	t       *testing.T
	f       *fake
	ctx     context.Context
	w       http.ResponseWriter
	request json.RawMessage
}

func (c *fakeCall) line(l api.Line) {
	_ = json.NewEncoder(c.w).Encode(l)
	c.w.(http.Flusher).Flush()
}

func newFake(t *testing.T) *fake {
	t.Helper()
	// Not t.TempDir: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &fake{
		socket: filepath.Join(dir, "s"), answers: map[string]any{},
		requests: map[string]json.RawMessage{}, prompted: make(chan string, 16),
	}
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		for _, e := range f.events {
			_ = json.NewEncoder(w).Encode(e)
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /v1/prompts/{id}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.prompted <- string(body)
		fmt.Fprint(w, "{}")
	})
	mux.HandleFunc("DELETE /v1/prompts/{id}", func(w http.ResponseWriter, _ *http.Request) {
		f.prompted <- "DELETE"
		fmt.Fprint(w, "{}")
	})
	mux.HandleFunc("POST /v1/{op}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		op := r.PathValue("op")
		f.requests[op] = body
		stream := strings.Contains(r.Header.Get("Accept"), "ndjson")
		switch answer := f.answers[op].(type) {
		case nil:
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(api.Line{Error: &api.Error{Code: api.CodeUnknownOperation, Message: "no operation " + op}})
		case func(*fakeCall):
			answer(&fakeCall{t: t, f: f, ctx: r.Context(), w: w, request: body})
		case *api.Error:
			if !stream {
				w.WriteHeader(http.StatusConflict)
			}
			_ = json.NewEncoder(w).Encode(api.Line{Error: answer})
		default:
			if stream {
				answer = api.Line{Result: answer}
			}
			_ = json.NewEncoder(w).Encode(answer)
		}
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return f
}

// result is what one run of the program gave.
type result struct {
	status   int
	out, err string
}

// fob runs the program against the fake.
func (f *fake) fob(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errs}
	status := a.main(t.Context(), append([]string{"--socket", f.socket}, args...))
	return result{status: status, out: out.String(), err: errs.String()}
}
