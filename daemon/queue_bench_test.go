package daemon_test

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
	"github.com/fobd/fobd/daemon/httpapi"
)

// compareTouches asks for touches through the socket, in turns of two daemons with a key that grants at
// once, and reports what the second one adds.
func compareTouches(b *testing.B, engines [2]*daemon.Engine) {
	var clients [2]*client.Client
	for i, engine := range engines {
		socket := filepath.Join(b.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- engine.Run(ctx) }()
		go func() { done <- httpapi.New(engine, httpapi.Config{}).Serve(ctx, l) }()
		clients[i] = client.New(socket)
		defer func() {
			clients[i].Close()
			cancel()
			for range 2 {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		}()
		if err := clients[i].Do(b.Context(), api.OpEmulateAdd, api.EmulateAddRequest{Presence: "grant"}, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	var took [2][]time.Duration
	for b.Loop() {
		for i, c := range clients {
			begin := time.Now()
			if err := c.Do(b.Context(), api.OpTouch, nil, nil, nil); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(begin))
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	for name, percent := range map[string]int{"p50": 50, "p99": 99} {
		at := func(i int) float64 { return float64(took[i][len(took[i])*percent/100].Nanoseconds()) / 1000 }
		b.ReportMetric(at(0), name+"-without-µs")
		b.ReportMetric(at(1)-at(0), name+"-added-µs")
	}
}

// BenchmarkQueue compares a daemon with its queue to one without.
func BenchmarkQueue(b *testing.B) {
	engines := [2]*daemon.Engine{comparedEngine(b, daemon.Config{}), comparedEngine(b, daemon.Config{})}
	daemon.WithoutQueue(engines[0])
	compareTouches(b, engines)
}
