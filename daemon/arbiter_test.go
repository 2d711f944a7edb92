package daemon

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// keysFor returns keys for an arbiter to give away.
func keysFor(t testing.TB, ids ...string) []*tokens.Key {
	t.Helper()
	bus := hid.NewMemoryBus()
	for _, id := range ids {
		if err := bus.Attach(hid.Info{ID: id}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return tokens.NewRegistry(tokens.Config{}, bus).Keys()
}

func claimOf(name string) *claim {
	return &claim{holder: api.Holder{Program: name}, turn: make(chan struct{}, 1)}
}

func TestArbiterTellsEveryHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a arbiter
		k := keysFor(t, "k")[0]
		var releases []func()
		var mu sync.Mutex
		var heard []string
		for _, name := range []string{"a", "b", "c"} {
			go func() {
				release, err := a.acquire(t.Context(), k, claimOf(name), func(h api.Holder) {
					mu.Lock()
					defer mu.Unlock()
					heard = append(heard, name+" hears "+h.Program)
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				releases = append(releases, release)
			}()
			synctest.Wait()
		}
		if got := a.holder(k); got == nil || got.Program != "a" || a.waiting() != 2 {
			t.Errorf("got holder %+v and %d waiting, want a and 2", got, a.waiting())
		}
		for i := range 3 {
			if len(releases) != i+1 {
				t.Fatalf("%d have got the key, want %d", len(releases), i+1)
			}
			releases[i]()
			synctest.Wait()
		}
		want := []string{"b hears a", "c hears a", "c hears b"}
		if !slices.Equal(heard, want) {
			t.Errorf("got %v, want %v", heard, want)
		}
		if len(a.queues) != 0 || a.holder(k) != nil {
			t.Errorf("%d queues are left of keys that nobody wants", len(a.queues))
		}
	})
}

func TestArbiterEndedContext(t *testing.T) {
	var a arbiter
	k := keysFor(t, "k")[0]
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := a.acquire(ctx, k, claimOf("a"), nil); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
	if len(a.queues) != 0 {
		t.Error("the key is taken")
	}
}

// Many take, give up and release at random moments, some of them at the same one. At the
// end nothing is taken, and no two ever had the same key.
func TestArbiterUnderCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a arbiter
		keys := keysFor(t, "k1", "k2", "k3")
		held := make([]atomic.Int32, len(keys))
		var got, gaveUp atomic.Int32
		var wg sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for range 3000 {
			at, patience, use := time.Duration(random.IntN(1000)), time.Duration(random.IntN(200)), time.Duration(random.IntN(3))
			i := random.IntN(len(keys))
			wg.Go(func() {
				time.Sleep(at * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), patience*time.Millisecond)
				defer cancel()
				release, err := a.acquire(ctx, keys[i], claimOf("x"), func(api.Holder) {})
				if err != nil {
					gaveUp.Add(1)
					return
				}
				if n := held[i].Add(1); n != 1 {
					t.Errorf("%d have the key", n)
				}
				time.Sleep(use * time.Millisecond)
				held[i].Add(-1)
				got.Add(1)
				release()
			})
		}
		wg.Wait()
		if len(a.queues) != 0 || a.waiting() != 0 {
			t.Errorf("%d queues are left", len(a.queues))
		}
		if got.Load() == 0 || gaveUp.Load() == 0 {
			t.Errorf("%d got a key and %d gave up: the test shows nothing", got.Load(), gaveUp.Load())
		}
	})
}

// A claim whose turn comes at the moment it gives up passes the key on.
func TestArbiterTurnAndCancelAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a arbiter
		k := keysFor(t, "k")[0]
		for range 200 {
			release, err := a.acquire(t.Context(), k, claimOf("first"), nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			second := make(chan bool, 1)
			go func() {
				release, err := a.acquire(ctx, k, claimOf("second"), func(api.Holder) {})
				if err == nil {
					release()
				}
				second <- true
			}()
			synctest.Wait()
			// By the time the second one notices the end, it is its turn.
			cancel()
			release()
			<-second
			synctest.Wait()
			if len(a.queues) != 0 {
				t.Fatal("the key is stuck")
			}
		}
	})
}

func BenchmarkArbiter(b *testing.B) {
	var a arbiter
	k := keysFor(b, "k")[0]
	mine := claimOf("a")
	b.ReportAllocs()
	for b.Loop() {
		release, err := a.acquire(b.Context(), k, mine, nil)
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}
