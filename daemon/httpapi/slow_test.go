package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
)

func TestBodyThatDoesNotArrive(t *testing.T) {
	s := serve(t, engine{do: touched}, httpapi.Config{BodyTimeout: 20 * time.Millisecond})
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/touch HTTP/1.1\r\nHost: fobd\r\nContent-Length: 2\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer api.Line
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusBadRequest || answer.Error == nil || answer.Error.Code != api.CodeInvalidRequest {
		t.Errorf("got %d %+v", resp.StatusCode, answer.Error)
	}
}

// The time for the body must not become a time for the operation.
func TestOperationOutlivesTheTimeForItsBody(t *testing.T) {
	s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, _ daemon.UI) (any, error) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
			return api.TouchResult{}, nil
		}
	}}, httpapi.Config{BodyTimeout: 20 * time.Millisecond})
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		status, answer, _ := s.call(t, request{path: "/v1/touch", body: "{}", headers: []string{"Accept: " + accept}})
		if status != http.StatusOK {
			t.Errorf("%s: got %d %+v", accept, status, answer.Error)
		}
	}
}

// A client that does not take its lines is one that has hung up.
func TestStreamThatNobodyReads(t *testing.T) {
	ended := make(chan struct{})
	s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, ui daemon.UI) (any, error) {
		defer close(ended)
		for ctx.Err() == nil {
			ui.Show(api.Prompt{Kind: api.PromptTouch, Message: strings.Repeat("m", 64<<10)})()
		}
		return nil, ctx.Err()
	}}, httpapi.Config{BodyTimeout: 20 * time.Millisecond})
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/touch HTTP/1.1\r\nHost: fobd\r\nAccept: application/x-ndjson\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the operation goes on")
	}
}

// A subscriber that pauses gets one lost event for what it missed, and then goes on;
// nobody waits for it. The engine is the real one.
func TestSlowSubscriberLosesEventsOnly(t *testing.T) {
	bus := hid.NewMemoryBus()
	e, err := daemon.New(daemon.Config{Sources: []hid.Bus{bus}, Rules: policy.Rules{Owner: me().UID}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	s := serve(t, e, httpapi.Config{})

	subscribe := func() func() api.Event {
		resp := s.start(t, request{method: http.MethodGet, path: "/v1/events"})
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		return func() api.Event {
			var e api.Event
			if !lines.Scan() || json.Unmarshal(lines.Bytes(), &e) != nil {
				t.Fatalf("line %q: %v", lines.Bytes(), lines.Err())
			}
			return e
		}
	}
	slow, quick := subscribe(), subscribe()
	for _, next := range []func() api.Event{slow, quick} {
		if e := next(); e.Type != api.EventReady {
			t.Fatalf("got %+v, want ready", e)
		}
	}
	// Each of these is longer than the engine's own part of an event, to fill the socket soon.
	plug := func(id string) {
		t.Helper()
		info := hid.Info{ID: id, Product: strings.Repeat("p", 8<<10), UsagePage: hid.UsagePageFIDO, Usage: hid.UsageFIDO, InputSize: 64, OutputSize: 64}
		if err := bus.Attach(info, func() (hid.Device, error) { return nil, hid.ErrNotFound }); err != nil {
			t.Fatal(err)
		}
		for e := quick(); e.Type != api.EventAttached || e.Key.ID != id; e = quick() {
		}
	}
	const rounds = 1500
	for range rounds {
		plug("k")
		bus.Detach("k")
		for e := quick(); e.Type != api.EventDetached; e = quick() {
		}
	}
	var lost uint64
	got := 0
	for lost == 0 {
		if e := slow(); e.Type == api.EventLost {
			lost = e.Lost
		} else {
			got++
		}
	}
	if got+int(lost) != 2*rounds {
		t.Errorf("got %d events and %d lost, want %d together", got, lost, 2*rounds)
	}
	plug("last")
	if e := slow(); e.Type != api.EventAttached || e.Key.ID != "last" {
		t.Errorf("after the lost event: got %+v, want the last key attached", e)
	}
}
