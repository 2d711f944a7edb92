package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// listenRetries are the waits before a key that could not be listened to is tried again: the
// permissions of a node that has just appeared may be late.
var listenRetries = []time.Duration{3 * time.Second, 30 * time.Second}

// watchForeign tells of the touches that programs which go around the daemon wait for,
// until ctx ends. It sleeps while nothing happens: what wakes it are keys that come and
// reports that a key sends. Emulated keys of the engine's own bus are left out: nothing
// but the engine reaches them.
func (e *Engine) watchForeign(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	heard := make(map[*tokens.Key]bool)
	for {
		keys, changed := e.keys.Snapshot()
		for k := range heard {
			if !slices.Contains(keys, k) {
				delete(heard, k)
			}
		}
		for _, k := range keys {
			if heard[k] || !k.FIDO() || k.On(e.emulated.bus) {
				continue
			}
			heard[k] = true
			wg.Go(func() { e.listen(ctx, k) })
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// listen listens to one key until it is gone or ctx ends.
func (e *Engine) listen(ctx context.Context, k *tokens.Key) {
	for attempt := 0; ; attempt++ {
		err := k.Foreign(ctx, func(waiting bool) {
			if !waiting {
				e.events.foreignOver(k.ID())
				return
			}
			h := outsider(k.Holder())
			h.Since = time.Now().Format(time.RFC3339)
			e.events.foreign(k.ID(), h)
		})
		switch {
		case ctx.Err() != nil, errors.Is(err, hid.ErrGone), errors.Is(err, hid.ErrNotFound):
			return
		case errors.Is(err, tokens.ErrDeaf) || attempt >= len(listenRetries):
			e.log.WarnContext(ctx, "touches that other programs wait for are not noticed", "key", k.ID(), "error", err)
			return
		}
		timer := time.NewTimer(listenRetries[attempt])
		select {
		case <-timer.C:
		case <-k.Gone():
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// foreign tells that a program outside waits for a touch of an attached key.
func (b *broadcaster) foreign(id string, h api.Holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, attached := b.keys[id]
	if !attached {
		return
	}
	if b.touches == nil {
		b.touches = make(map[string]api.Holder)
	}
	b.touches[id] = h
	b.tell(foreignEvent(api.EventForeign, key, h))
}

// foreignOver tells that nobody outside waits for a touch of a key any more.
func (b *broadcaster) foreignOver(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endForeign(id)
}

// endForeign needs b.mu.
func (b *broadcaster) endForeign(id string) {
	h, open := b.touches[id]
	if !open {
		return
	}
	delete(b.touches, id)
	b.tell(foreignEvent(api.EventForeignOver, b.keys[id], h))
}

func foreignEvent(kind api.EventType, key api.Key, h api.Holder) api.Event {
	return api.Event{Type: kind, Key: &key, Holder: &h}
}
