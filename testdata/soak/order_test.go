//go:build soak

package soak

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// convoy sends requests for one key that enter its queue one after the other: each one begins when the
// one before has heard that it waits, or has ended. Their RP IDs count.
func convoy(ctx context.Context, c *client.Client, key int, y *tally) {
	var running sync.WaitGroup
	defer running.Wait()
	limit := make(chan struct{}, 20)
	for n := 0; ctx.Err() == nil; n++ {
		limit <- struct{}{}
		entered := make(chan struct{})
		once := sync.OnceFunc(func() { close(entered) })
		running.Go(func() {
			defer func() { <-limit }()
			defer once()
			begin := time.Now()
			rp := fmt.Sprintf("n%d.key%d.example", n, key)
			err := c.Do(context.WithoutCancel(ctx), api.OpRegister, api.RegisterRequest{Key: keyName(key), Origin: "https://" + rp, Options: creation(rp)}, nil,
				silent{func(p api.Prompt) {
					if p.Kind == api.PromptWait || p.Kind == api.PromptTouch {
						once()
					}
				}})
			y.end("convoy", patience, time.Since(begin), true, err)
		})
		<-entered
	}
}

// order checks that the requests of convoys got their keys in the order in which they entered. A key that was pulled out
// and put in again has another id, and another queue.
type order struct {
	mu      sync.Mutex
	last    map[string]int // by key
	checked int
	wrong   []string
}

func (o *order) event(e api.Event) {
	if e.Type != api.EventStarted || e.Key == nil {
		return
	}
	var n, key int
	if _, err := fmt.Sscanf(e.RPID, "n%d.key%d.example", &n, &key); err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if before, again := o.last[e.Key.ID]; again {
		o.checked++
		if n <= before && len(o.wrong) < 10 {
			o.wrong = append(o.wrong, fmt.Sprintf("%s: request %d after %d", e.Key.ID, n, before))
		}
	}
	o.last[e.Key.ID] = n
}
