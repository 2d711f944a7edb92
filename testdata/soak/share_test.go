//go:build soak

package soak

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
	"github.com/fobd/fobd/tokens/softkey"
)

// span is how long each side is measured.
const span = 10 * time.Second

// BenchmarkShare compares what 1,000 programs get out of 8 keys through the daemon with what the same
// keys do alone, in the same run: registrations, assertions and touches in turns, by a person who
// needs 10 ms for each, so that the keys and not the processors are what is scarce. The load's own
// work is on the same processors, on the daemon's side.
func BenchmarkShare(b *testing.B) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 0} {
		name := fmt.Sprintf("touch-in-%v", delay)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				alone := softkeysAlone(b, delay)
				shared := throughDaemon(b, delay)
				b.ReportMetric(alone, "alone-ops/s")
				b.ReportMetric(shared, "shared-ops/s")
				b.ReportMetric(100*shared/alone, "share-%")
			}
		})
	}
}

// softkeysAlone measures keys that get messages from programs of their own, without anything between.
func softkeysAlone(b *testing.B, delay time.Duration) float64 {
	ctx, cancel := context.WithTimeout(b.Context(), span)
	defer cancel()
	var done atomic.Int64
	var running sync.WaitGroup
	hash := sha256.Sum256([]byte("soak"))
	for range keys {
		key, err := softkey.New(softkey.Config{})
		if err != nil {
			b.Fatal(err)
		}
		defer key.Close()
		if delay > 0 {
			if err := key.SetPresence(softkey.PresenceDelay, delay); err != nil {
				b.Fatal(err)
			}
		}
		running.Go(func() {
			c := ctap2.NewClient(key, nil)
			for n := 0; ; n++ {
				made, err := c.MakeCredential(ctx, &ctap2.MakeCredentialRequest{
					ClientDataHash: hash[:], RP: ctap2.RP{ID: "soak.example"}, User: ctap2.User{ID: []byte{1}},
					PubKeyCredParams: []ctap2.CredentialParameter{{Type: ctap2.TypePublicKey, Alg: cose.ES256}},
				})
				if err == nil {
					done.Add(1)
					data, err := made.ParsedAuthData()
					if err != nil {
						b.Error(err)
						return
					}
					_, err = c.GetAssertion(ctx, &ctap2.GetAssertionRequest{
						RPID: "soak.example", ClientDataHash: hash[:],
						AllowList: []ctap2.CredentialDescriptor{{Type: ctap2.TypePublicKey, ID: data.CredentialID}},
					})
				}
				if err == nil {
					done.Add(1)
					err = c.Selection(ctx)
				}
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	running.Wait()
	return float64(done.Load()) / span.Seconds()
}

// throughDaemon measures the same with programs that share the keys.
func throughDaemon(b *testing.B, delay time.Duration) float64 {
	presence := "grant"
	if delay > 0 {
		presence = "delay"
	}
	d := start(b, presence, delay)
	ctx, cancel := context.WithTimeout(b.Context(), span)
	defer cancel()
	y := &tally{ends: map[string]int{}}
	var done atomic.Int64
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			p := &program{c: client.New(d.socket), y: y, rp: fmt.Sprintf("p%d.example", i)}
			defer p.c.Close()
			key := keyName(i % keys)
			for n := i; ctx.Err() == nil; n++ { // not all begin with the same
				var err error
				switch {
				case n%3 == 1 && p.credential != nil:
					err = p.assert(ctx, key)
				case n%3 == 2:
					err = p.c.Do(ctx, api.OpTouch, api.TouchRequest{Key: key}, nil, nil)
				default:
					err = p.register(ctx, key)
				}
				if err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
				if err == nil {
					done.Add(1)
				}
			}
		})
	}
	running.Wait()
	rate := float64(done.Load()) / span.Seconds()
	b.ReportMetric(100*d.usage().cpu.Seconds()/span.Seconds()/2, "daemon-cpu-%")
	d.stop()
	return rate
}
