package daemon_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Users take turns at a key, and what one user wants comes in the order in which it was asked for, also
// when some who wait give up. What is compared with is a list for each user.
func TestUsersTakeTurnsAndEachIsServedInOrder(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { takeTurns(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func takeTurns(t *testing.T, random *rand.Rand) {
	const requests = 60
	users := []uint32{0, alice.UID} // all that the policy lets in
	l := newLab(t)
	k := newToy()
	l.plug("k1", k, toyServer)
	var got []int
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		_ = l.engine.Events(watching, alice, func(e api.Event) error {
			if e.Type == api.EventHolder && e.Holder != nil {
				got = append(got, e.Holder.PID)
			}
			return nil
		})
	}()
	synctest.Wait()
	type asked struct {
		user, pid int
		cancel    context.CancelFunc
		done      chan error
	}
	var all []*asked
	ask := func(user int) {
		ctx, cancel := context.WithCancel(t.Context())
		a := &asked{user, len(all) + 1, cancel, make(chan error, 1)}
		all = append(all, a)
		who := policy.Actor{UID: users[user], PID: a.pid, Program: "p"}
		go func() {
			_, err := l.engine.Do(ctx, who, api.OpTouch, decoder(api.TouchRequest{Key: "k1", TimeoutMS: 600000}), nil)
			a.done <- err
		}()
		synctest.Wait() // it waits before the next one comes
	}
	for range requests {
		ask(random.IntN(len(users)))
	}
	// Some give up; not the first, which has the key.
	var left []*asked
	queues := make([][]int, len(users))
	var turns []int
	for i, a := range all {
		if i > 0 && random.IntN(4) == 0 {
			a.cancel()
			synctest.Wait()
			if err := <-a.done; daemon.ErrorOf(err).Code != api.CodeCancelled {
				t.Errorf("request %d was cancelled: got %v", a.pid, err)
			}
			continue
		}
		left = append(left, a)
		if i > 0 {
			queues[a.user] = append(queues[a.user], a.pid)
		}
	}
	// The order in which users came is that of their first request that was not given up, but for one
	// whose first one was: its turn is where it was.
	for _, a := range all[1:] {
		if !slices.Contains(turns, a.user) {
			turns = append(turns, a.user)
		}
	}
	want := []int{all[0].pid}
	for len(want) < len(left) {
		user := turns[0]
		turns = append(turns[1:], user)
		if q := queues[user]; len(q) > 0 {
			want = append(want, q[0])
			queues[user] = q[1:]
		}
	}
	for range left {
		k.touches <- struct{}{}
		time.Sleep(time.Second)
	}
	for _, a := range left {
		if err := <-a.done; err != nil {
			t.Errorf("request %d: %v", a.pid, err)
		}
		a.cancel()
	}
	synctest.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

// The same holds at every moment while requests come, give up and are served in any order. Nothing is computed beforehand:
// whoever gets the key has waited longest of its user, and does not get it a second time before a user who has waited since
// the first time.
func TestUsersTakeTurnsWhileRequestsComeAndGo(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { comeAndGo(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func comeAndGo(t *testing.T, random *rand.Rand) {
	const steps = 400
	users := []uint32{0, alice.UID} // all that the policy lets in
	l := newLab(t)
	k := newToy()
	l.plug("k1", k, toyServer)
	var got []int // whose turn it was, in the order in which the daemon says so
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		_ = l.engine.Events(watching, alice, func(e api.Event) error {
			if e.Type == api.EventHolder && e.Holder != nil {
				got = append(got, e.Holder.PID)
			}
			return nil
		})
	}()
	synctest.Wait()
	type asked struct {
		user, pid int
		before    int // how often the key was given to somebody before it asked
		cancel    context.CancelFunc
		done      chan error
	}
	var holder *asked
	var waiting []*asked // oldest first
	last, seen, twice := -1, 0, 0
	// settle looks who has got the key since.
	settle := func() {
		synctest.Wait()
		for ; seen < len(got); seen++ {
			i := slices.IndexFunc(waiting, func(a *asked) bool { return a.pid == got[seen] })
			if i < 0 {
				t.Fatalf("request %d got the key and does not wait", got[seen])
			}
			holder = waiting[i]
			for _, a := range waiting[:i] {
				if a.user == holder.user {
					t.Errorf("request %d got the key before %d of the same user", holder.pid, a.pid)
				}
			}
			waiting = slices.Delete(waiting, i, i+1)
			if holder.user == last {
				twice++
				for _, a := range waiting {
					if a.user != last && a.before < seen {
						t.Errorf("user %d got the key twice, with request %d, while request %d of the other one waited", last, holder.pid, a.pid)
					}
				}
			}
			last = holder.user
		}
		if holder == nil && len(waiting) > 0 {
			t.Fatalf("%d wait for a key that nobody has", len(waiting))
		}
	}
	end := func(a *asked, want api.Code) {
		a.cancel()
		err := <-a.done
		if e := daemon.ErrorOf(err); want == "" && err != nil || want != "" && (e == nil || e.Code != want) {
			t.Errorf("request %d: got %v, want %q", a.pid, err, want)
		}
	}
	serve := func() {
		now := holder
		holder = nil
		k.touches <- struct{}{}
		time.Sleep(time.Second)
		settle()
		end(now, "")
	}
	for pid := range steps {
		switch n := random.IntN(10); {
		case n < 5:
			ctx, cancel := context.WithCancel(t.Context())
			a := &asked{random.IntN(len(users)), pid + 1, len(got), cancel, make(chan error, 1)}
			who := policy.Actor{UID: users[a.user], PID: a.pid, Program: "p"}
			waiting = append(waiting, a)
			go func() {
				_, err := l.engine.Do(ctx, who, api.OpTouch, decoder(api.TouchRequest{Key: "k1", TimeoutMS: 600000}), nil)
				a.done <- err
			}()
			settle()
		case n < 6 && len(waiting) > 0:
			i := random.IntN(len(waiting))
			a := waiting[i]
			waiting = slices.Delete(waiting, i, i+1)
			end(a, api.CodeCancelled)
			settle()
		case n < 7 && holder != nil:
			a := holder
			holder = nil
			end(a, api.CodeCancelled)
			settle()
		case holder != nil:
			serve()
		}
	}
	for holder != nil {
		serve()
	}
	if len(got) < steps/4 || twice == 0 {
		t.Errorf("the key was given %d times, %d of them to the same user again: too little to judge", len(got), twice)
	}
}
