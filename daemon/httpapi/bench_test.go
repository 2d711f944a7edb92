package httpapi_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// house is a real engine with emulated keys behind a real socket.
type house struct {
	engine *daemon.Engine
	socket string
}

func me() policy.Actor {
	return policy.Actor{UID: uint32(os.Geteuid()), PID: os.Getpid(), User: "me", Program: "test"}
}

// open starts an engine with one emulated key for each of keys.
func open(t testing.TB, keys ...api.EmulateAddRequest) *house {
	t.Helper()
	engine, err := daemon.New(daemon.Config{
		Rules: policy.Rules{Owner: uint32(os.Geteuid())}, Verifier: relyingparty.Verifier{},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{engine: engine, socket: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- engine.Run(ctx) }()
	go func() { done <- httpapi.New(engine, httpapi.Config{}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	for _, k := range keys {
		if err := client.New(h.socket).Do(t.Context(), api.OpEmulateAdd, k, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// BenchmarkTouch asks for a touch of a key that grants at once, in turns through the
// socket and in process: the differences are what the socket adds.
func BenchmarkTouch(b *testing.B) {
	h := open(b, api.EmulateAddRequest{Name: "bench", Presence: "grant"})
	c := client.New(h.socket)
	defer c.Close()
	nothing := func(any) error { return nil }
	var socket, inside []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		if _, err := h.engine.Do(b.Context(), me(), api.OpTouch, nothing, nil); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if err := c.Do(b.Context(), api.OpTouch, nil, nil, nil); err != nil {
			b.Fatal(err)
		}
		inside = append(inside, between.Sub(begin))
		socket = append(socket, time.Since(between))
	}
	slices.Sort(socket)
	slices.Sort(inside)
	for name, percent := range map[string]int{"p50": 50, "p99": 99} {
		i := len(socket) * percent / 100
		b.ReportMetric(float64(inside[i].Nanoseconds())/1000, name+"-inside-µs")
		b.ReportMetric(float64((socket[i]-inside[i]).Nanoseconds())/1000, name+"-added-µs")
	}
}

// BenchmarkRoundTrip is the socket's way alone, with an engine that does nothing.
func BenchmarkRoundTrip(b *testing.B) {
	h := &house{socket: filepath.Join(b.TempDir(), "s")}
	l, err := net.Listen("unix", h.socket)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpapi.New(engine{do: touched}, httpapi.Config{}).Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	c := client.New(h.socket)
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Do(b.Context(), api.OpTouch, nil, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}
