package daemon

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// maxBehind is how many events wait for a subscriber before the next ones are lost.
const maxBehind = 256

// broadcaster hands every event to every subscriber, and knows what is there for those who
// come later. It never waits for a subscriber. The zero value is usable.
type broadcaster struct {
	mu          sync.Mutex // guards what follows
	keys        map[string]api.Key
	prompts     map[string]shown      // by id
	last        uint64                // number of the last prompt
	holders     map[string]api.Holder // by key: whose operation has taken it
	touches     map[string]api.Holder // by key: who outside waits for a touch
	subscribers map[*subscriber]struct{}
}

// shown is a prompt with its number, which tells the order in which prompts came.
type shown struct {
	number uint64
	prompt api.Prompt
}

// subscriber is what one stream has not sent yet. Its fields are guarded by the
// broadcaster's lock.
type subscriber struct {
	behind []*api.Event // shared with others; never changed
	sent   []*api.Event // the list that was sent last, for its room
	lost   uint64
	news   chan struct{} // has room for one
}

// key tells of a key that came or went.
func (b *broadcaster) key(change tokens.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := describe(change.Key)
	if change.Kind == hid.Attached {
		if b.keys == nil {
			b.keys = make(map[string]api.Key)
		}
		b.keys[key.ID] = key
		b.tell(api.Event{Type: api.EventAttached, Key: &key})
		return
	}
	b.endForeign(key.ID)
	delete(b.keys, key.ID)
	b.tell(api.Event{Type: api.EventDetached, Key: &key})
}

// holder tells that a key changed hands; nil is nobody.
func (b *broadcaster) holder(k *tokens.Key, now *api.Holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now == nil {
		delete(b.holders, k.ID())
	} else {
		if b.holders == nil {
			b.holders = make(map[string]api.Holder)
		}
		b.holders[k.ID()] = *now
	}
	if len(b.subscribers) > 0 {
		key := describe(k)
		b.tell(api.Event{Type: api.EventHolder, Key: &key, Holder: now})
	}
}

// prompt tells that somebody is wanted.
func (b *broadcaster) prompt(p api.Prompt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.prompts == nil {
		b.prompts = make(map[string]shown)
	}
	b.last++
	b.prompts[p.ID] = shown{b.last, p}
	b.tell(promptEvent(api.EventPrompt, p))
}

// promptEvent leaves out what is for the program that asked alone.
func promptEvent(kind api.EventType, p api.Prompt) api.Event {
	p.Lease = ""
	return api.Event{Type: kind, Operation: p.Operation, Program: p.Program, PID: p.PID, User: p.User, RPID: p.RPID, Prompt: &p}
}

// withdraw tells that a prompt is over.
func (b *broadcaster) withdraw(p api.Prompt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.prompts, p.ID)
	b.tell(promptEvent(api.EventWithdrawn, api.Prompt{ID: p.ID, Kind: p.Kind, Operation: p.Operation}))
}

// publish tells of anything else.
func (b *broadcaster) publish(e api.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell(e)
}

// tell hands an event to all. b.mu is held.
func (b *broadcaster) tell(e api.Event) {
	if len(b.subscribers) == 0 {
		return
	}
	e.Time = time.Now().Format(time.RFC3339Nano)
	shared := &e
	for s := range b.subscribers {
		if len(s.behind) >= maxBehind {
			s.lost++
			continue
		}
		s.behind = append(s.behind, shared)
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

// subscribe begins with what is there now.
func (b *broadcaster) subscribe() *subscriber {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &subscriber{news: make(chan struct{}, 1)}
	now := time.Now().Format(time.RFC3339Nano)
	add := func(e api.Event) {
		e.Time = now
		s.behind = append(s.behind, &e)
	}
	for _, key := range slices.SortedFunc(maps.Values(b.keys), func(x, y api.Key) int { return strings.Compare(x.ID, y.ID) }) {
		add(api.Event{Type: api.EventAttached, Key: &key})
	}
	for _, id := range slices.Sorted(maps.Keys(b.holders)) {
		if key, ok := b.keys[id]; ok {
			now := b.holders[id]
			add(api.Event{Type: api.EventHolder, Key: &key, Holder: &now})
		}
	}
	for _, s := range slices.SortedFunc(maps.Values(b.prompts), func(x, y shown) int { return cmp.Compare(x.number, y.number) }) {
		add(promptEvent(api.EventPrompt, s.prompt))
	}
	for _, id := range slices.Sorted(maps.Keys(b.touches)) {
		add(foreignEvent(api.EventForeign, b.keys[id], b.touches[id]))
	}
	add(api.Event{Type: api.EventReady})
	s.news <- struct{}{}
	if b.subscribers == nil {
		b.subscribers = make(map[*subscriber]struct{})
	}
	b.subscribers[s] = struct{}{}
	return s
}

func (b *broadcaster) unsubscribe(s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribers, s)
}

// maxRoom is how much room for events a subscriber keeps while nothing happens.
const maxRoom = 16

// next takes what a subscriber has not sent yet. The list is valid until the next call.
func (b *broadcaster) next(s *subscriber) []*api.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := s.behind
	if s.lost > 0 {
		events = append(events, &api.Event{Type: api.EventLost, Time: time.Now().Format(time.RFC3339Nano), Lost: s.lost})
		s.lost = 0
	}
	clear(s.sent)
	s.behind, s.sent = s.sent[:0], events
	if cap(events) > maxRoom {
		s.sent = nil
	}
	return events
}

// stream sends events until ctx ends, whose cause it then returns, or send fails.
func (b *broadcaster) stream(ctx context.Context, send func(api.Event) error) error {
	s := b.subscribe()
	defer b.unsubscribe(s)
	for {
		select {
		case <-s.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, e := range b.next(s) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := send(*e); err != nil {
				return err
			}
		}
	}
}
