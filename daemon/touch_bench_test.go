package daemon_test

import (
	"context"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// benchEngine is an engine with one emulated key that grants at once.
func benchEngine(b *testing.B) *daemon.Engine {
	b.Helper()
	engine, err := daemon.New(daemon.Config{Rules: policy.Rules{Owner: alice.UID}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	if _, err := engine.Do(ctx, alice, api.OpEmulateAdd, decoder(api.EmulateAddRequest{}), nil); err != nil {
		b.Fatal(err)
	}
	return engine
}

// BenchmarkTouch is a touch in process: queue, device, channel, INIT, selection.
func BenchmarkTouch(b *testing.B) {
	engine := benchEngine(b)
	decode := func(any) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := engine.Do(b.Context(), alice, api.OpTouch, decode, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList is what the engine itself costs.
func BenchmarkList(b *testing.B) {
	engine := benchEngine(b)
	decode := func(any) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := engine.Do(b.Context(), alice, api.OpList, decode, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTouchWithSubscribers is a touch that a thousand subscribers hear of.
func BenchmarkTouchWithSubscribers(b *testing.B) {
	engine := benchEngine(b)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	const subscribers = 1000
	ready := make(chan struct{}, subscribers)
	for range subscribers {
		go func() {
			_ = engine.Events(ctx, alice, func(e api.Event) error {
				if e.Type == api.EventReady {
					ready <- struct{}{}
				}
				return nil
			})
			done <- struct{}{}
		}()
	}
	for range subscribers {
		<-ready
	}
	decode := func(any) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := engine.Do(b.Context(), alice, api.OpTouch, decode, nil); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	for range subscribers {
		<-done
	}
}
