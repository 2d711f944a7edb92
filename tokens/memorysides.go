package tokens

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// MemorySides is a source of sides in memory, for emulated tokens and tests. The zero value has none. All methods may be called
// from several goroutines.
type MemorySides struct {
	mu       sync.Mutex // guards what follows
	sides    map[string]Side
	watchers map[chan struct{}]bool
}

// Attach adds a side, in the place of one with the same ID.
func (m *MemorySides) Attach(s Side) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sides == nil {
		m.sides = make(map[string]Side)
	}
	m.sides[s.Info.ID] = s
	m.changed()
}

// Detach takes a side away, if it is there. Its links are not closed.
func (m *MemorySides) Detach(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sides, id)
	m.changed()
}

func (m *MemorySides) changed() {
	for w := range m.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Sides implements [Sides]. It never fails.
func (m *MemorySides) Sides() ([]Side, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.sides), func(a, b Side) int { return strings.Compare(a.Info.ID, b.Info.ID) }), nil
}

// Watch implements [Sides]. It fails only when ctx ends.
func (m *MemorySides) Watch(ctx context.Context, changed func()) error {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	m.mu.Lock()
	if m.watchers == nil {
		m.watchers = make(map[chan struct{}]bool)
	}
	m.watchers[wake] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, wake)
	}()
	for {
		select {
		case <-wake:
			changed()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
