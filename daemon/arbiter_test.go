package daemon

import (
	"context"
	"errors"
	"fmt"
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
	return &claim{holder: api.Holder{Program: name}, hears: true, news: make(chan struct{}, 1)}
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
				release, err := a.acquire(t.Context(), k, claimOf(name), func(p place) {
					mu.Lock()
					defer mu.Unlock()
					heard = append(heard, fmt.Sprintf("%s is %d of %d after %s", name, p.Position, p.Waiting, p.Holder.Program))
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
			time.Sleep(2 * placeInterval)
			synctest.Wait()
		}
		want := []string{"b is 1 of 1 after a", "c is 2 of 2 after a", "c is 1 of 1 after b"}
		if !slices.Equal(heard, want) {
			t.Errorf("got %v, want %v", heard, want)
		}
		if len(a.queues) != 0 || a.holder(k) != nil {
			t.Errorf("%d queues are left of keys that nobody wants", len(a.queues))
		}
	})
}

// waits queues claims of users, named "alice 1" and so on, and returns how they get the key: each
// gives it up when the test says so.
type turns struct {
	t     *testing.T
	a     arbiter
	key   *tokens.Key
	order []string
	next  chan struct{}
	wg    sync.WaitGroup
}

func (q *turns) join(ctx context.Context, name string, uid uint32, waiting func(place)) {
	c := claimOf(name)
	c.uid = uid
	q.wg.Go(func() {
		release, err := q.a.acquire(ctx, q.key, c, waiting)
		if err != nil {
			return
		}
		q.order = append(q.order, name)
		<-q.next
		release()
	})
	synctest.Wait()
}

// One user's thousand requests do not keep another one's waiting, and everyone's own come in order.
func TestArbiterUsersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &turns{t: t, key: keysFor(t, "k")[0], next: make(chan struct{})}
		quiet := func(place) {}
		places := map[string]place{}
		q.join(t.Context(), "a0", 1, quiet)
		for _, w := range []struct {
			name string
			uid  uint32
		}{{"a1", 1}, {"a2", 1}, {"a3", 1}, {"b1", 2}, {"b2", 2}, {"c1", 3}} {
			q.join(t.Context(), w.name, w.uid, func(p place) {
				if places[w.name] == (place{}) {
					places[w.name] = p
				}
			})
		}
		// Where each one was told it was when it came; a2 and a3 were before b1 and c1 came.
		for name, want := range map[string]int{"a1": 1, "a2": 2, "a3": 3, "b1": 2, "b2": 4, "c1": 3} {
			if got := places[name]; got.Position != want || got.Holder.Program != "a0" {
				t.Errorf("%s is told %+v, want place %d", name, got, want)
			}
		}
		for range 7 {
			q.next <- struct{}{}
			synctest.Wait()
		}
		q.wg.Wait()
		if want := []string{"a0", "a1", "b1", "c1", "a2", "b2", "a3"}; !slices.Equal(q.order, want) {
			t.Errorf("got %v, want %v", q.order, want)
		}
		if len(q.a.queues) != 0 {
			t.Error("a queue is left")
		}
	})
}

// Whoever gives up makes room, and those behind hear of it.
func TestArbiterTellsOfNewPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &turns{t: t, key: keysFor(t, "k")[0], next: make(chan struct{})}
		q.join(t.Context(), "holder", 1, nil)
		ctx, cancel := context.WithCancel(t.Context())
		q.join(ctx, "first", 2, func(place) {})
		var heard []place
		q.join(t.Context(), "second", 2, func(p place) { heard = append(heard, p) })
		mute := 0
		c := claimOf("mute")
		c.hears = false
		q.wg.Go(func() {
			if release, err := q.a.acquire(t.Context(), q.key, c, func(place) { mute++ }); err == nil {
				release()
			}
		})
		synctest.Wait()
		cancel()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(heard); got != 2 || heard[0].Position != 2 || heard[1].Position != 1 || heard[1].Waiting != 2 {
			t.Errorf("heard %+v, want places 2 of 2 and 1 of 2", heard)
		}
		// A queue that moves all the time is told a few times a second only.
		heard = nil
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			q.join(ctx, "comes", 9, func(place) {})
			cancel()
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if got := len(heard); got > 5 {
			t.Errorf("heard of %d places in a second", got)
		}
		q.next <- struct{}{}
		synctest.Wait()
		q.next <- struct{}{}
		q.wg.Wait()
		if mute != 1 {
			t.Errorf("one that does not want to hear was told %d times", mute)
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
				release, err := a.acquire(ctx, keys[i], claimOf("x"), func(place) {})
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
				release, err := a.acquire(ctx, k, claimOf("second"), func(place) {})
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
