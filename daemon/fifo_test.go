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
