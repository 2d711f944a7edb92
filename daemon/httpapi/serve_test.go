package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

func TestEventsArriveAtOnce(t *testing.T) {
	next := make(chan api.Event)
	ended := make(chan error, 1)
	s := serve(t, engine{events: func(ctx context.Context, _ policy.Actor, send func(api.Event) error) error {
		for {
			select {
			case e := <-next:
				if err := send(e); err != nil {
					return err
				}
			case <-ctx.Done():
				ended <- ctx.Err()
				return ctx.Err()
			}
		}
	}}, httpapi.Config{})
	go func() { next <- api.Event{Type: api.EventReady} }()
	ctx, cancel := context.WithCancel(t.Context())
	resp := s.startContext(t, ctx, request{method: http.MethodGet, path: "/v1/events"})
	if got := resp.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	for i, want := range []api.EventType{api.EventReady, api.EventAttached, api.EventDetached} {
		if i > 0 {
			next <- api.Event{Type: want}
		}
		var e api.Event
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &e) != nil || e.Type != want {
			t.Fatalf("got line %q (%v), want %s", lines.Bytes(), lines.Err(), want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after hanging up: got %v", err)
	}
}

func TestEventsDenied(t *testing.T) {
	s := serve(t, engine{events: func(_ context.Context, who policy.Actor, _ func(api.Event) error) error {
		return &policy.DeniedError{Actor: who, Action: policy.Action{Operation: "events"}, Decision: policy.Decision{Effect: policy.Deny}}
	}}, httpapi.Config{})
	s.fails(t, request{method: http.MethodGet, path: "/v1/events"}, 403, api.CodeDenied, "no")
	s.fails(t, request{method: http.MethodGet, path: "/v1/events", headers: []string{"Accept: text/event-stream"}},
		406, api.CodeInvalidRequest, "application/x-ndjson")
}

// A subscriber that never reads must not keep the daemon from stopping.
func TestStopWithASubscriberThatDoesNotRead(t *testing.T) {
	blocked := make(chan struct{})
	s := serve(t, engine{events: func(_ context.Context, _ policy.Actor, send func(api.Event) error) error {
		big := api.Event{Type: api.EventPrompt, Program: strings.Repeat("p", 64<<10)}
		for i := 0; ; i++ {
			if i == 2 {
				close(blocked)
			}
			if err := send(big); err != nil {
				return err
			}
		}
	}}, httpapi.Config{ShutdownTimeout: time.Minute})
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /v1/events HTTP/1.1\r\nHost: fobd\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-blocked
	begin := time.Now()
	if err := s.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("stopping took %v", d)
	}
}

func TestStopWaitsForRunningOperations(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, _ daemon.UI) (any, error) {
		close(begun)
		select {
		case <-finish:
			return nil, &api.Error{Code: api.CodeShuttingDown, Message: "bye"}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}, httpapi.Config{})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		s.fails(t, request{path: "/v1/touch"}, 503, api.CodeShuttingDown, "bye")
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for { // until the listener is closed
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-stopped:
		t.Fatalf("Serve returned %v while an operation ran", err)
	default:
	}
	close(finish)
	<-answered
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestStopHangsUpAfterTheTimeout(t *testing.T) {
	begun := make(chan struct{})
	s := serve(t, engine{do: func(ctx context.Context, _ policy.Actor, _ string, _ func(any) error, _ daemon.UI) (any, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}}, httpapi.Config{ShutdownTimeout: 10 * time.Millisecond})
	failed := make(chan error, 1)
	go func() {
		resp, err := s.http.Post("http://fobd/v1/touch", "application/json", strings.NewReader("{}"))
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-begun
	if err := s.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request of a client that was hung up on succeeded")
	}
}

func TestTooManyConnectionsAreTurnedAway(t *testing.T) {
	s := serve(t, engine{do: touched}, httpapi.Config{MaxUserConnections: 2})
	open := func() (net.Conn, string) {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, "POST /v1/touch HTTP/1.1\r\nHost: fobd\r\nContent-Length: 0\r\n\r\n")
		status, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return c, strings.TrimSpace(status)
	}
	first, status := open()
	if status != "HTTP/1.1 200 OK" {
		t.Fatalf("first connection: got %q", status)
	}
	if _, status = open(); status != "HTTP/1.1 200 OK" {
		t.Fatalf("second connection: got %q", status)
	}
	if _, status = open(); status != "HTTP/1.1 429 Too Many Requests" {
		t.Fatalf("third connection: got %q", status)
	}
	first.Close()
	for { // until the server has seen it
		if _, status = open(); status == "HTTP/1.1 200 OK" {
			return
		}
	}
}
