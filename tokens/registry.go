package tokens

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/internal/pause"
)

// The waits between attempts to watch a bus that fails: doubled from the first to the
// last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Event is a key that came or went.
type Event struct {
	Kind hid.EventKind
	Key  *Key
}

// Config says how a [Registry] behaves. The zero value is usable.
type Config struct {
	// Notify, if not nil, is told of every change, one call at a time and in order. It
	// must not block and must not call the Registry.
	Notify func(Event)
	// Channel holds the times that keys are allowed.
	Channel ctaphid.Config
	// Log gets a line when a bus fails. Default: nowhere.
	Log *slog.Logger
	// Sides are where keys and tokens are found that keep accounts for one-time codes.
	Sides []Sides
}

// Registry is the list of the keys attached to several buses. All methods may be called
// from several goroutines.
type Registry struct {
	cfg   Config
	buses []hid.Bus

	mu      sync.Mutex // guards what follows, and the order of calls of Notify
	keys    map[string]*Key
	sides   map[string]sourced
	changed chan struct{} // closed, and replaced, by every change
	// alone are the devices that have shown no FIDO interface, since when; settled is when the next of them is a key, nil for never.
	alone   map[string]time.Time
	settled *time.Timer
	filled  bool // for the first time
	ended   bool // Run has
}

// NewRegistry returns the list of the keys on buses. It is filled once at once, and kept
// by [Registry.Run]. Buses should not give the same ID to different devices: the first one
// stays.
func NewRegistry(cfg Config, buses ...hid.Bus) *Registry {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Registry{cfg: cfg, buses: buses, keys: make(map[string]*Key), sides: make(map[string]sourced), changed: make(chan struct{}), alone: make(map[string]time.Time)}
	for _, bus := range buses {
		r.scan(bus)
	}
	for _, source := range cfg.Sides {
		r.scanSides(source)
	}
	r.filled = true
	return r
}

// Run keeps the list until ctx ends, and returns the context's cause. A bus that fails is
// tried again after a while; the others go on.
func (r *Registry) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, bus := range r.buses {
		wg.Go(func() { r.watch(ctx, bus) })
	}
	for _, source := range r.cfg.Sides {
		wg.Go(func() { r.watchSides(ctx, source) })
	}
	wg.Wait()
	<-ctx.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.arrangeIn(0)
	return context.Cause(ctx)
}

func (r *Registry) watch(ctx context.Context, bus hid.Bus) {
	r.retry(ctx, func(ctx context.Context) error {
		r.scan(bus)
		return bus.Watch(ctx, func(e hid.Event) { r.event(bus, e) })
	})
}

// retry runs watch again and again until ctx ends.
func (r *Registry) retry(ctx context.Context, watch func(ctx context.Context) error) {
	retry := firstRetry
	for {
		began := time.Now()
		err := watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastRetry {
			retry = firstRetry
		}
		r.cfg.Log.WarnContext(ctx, "cannot watch for keys", "error", err, "retry", retry)
		if pause.For(ctx, retry) != nil {
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// scan makes the list agree with what a bus has now.
func (r *Registry) scan(bus hid.Bus) {
	infos, err := bus.Devices()
	if err != nil {
		r.cfg.Log.Warn("cannot list keys", "error", err)
		return
	}
	here := make(map[string]bool, len(infos))
	for _, info := range infos {
		here[info.ID] = true
		r.event(bus, hid.Event{Kind: hid.Attached, Info: info})
	}
	for _, k := range r.Keys() {
		if k.bus == bus && !here[k.ID()] {
			r.detach(k)
		}
	}
}

// Refresh makes the list agree at once with what the buses have, without waiting for their
// events.
func (r *Registry) Refresh() {
	for _, bus := range r.buses {
		r.scan(bus)
	}
	for _, source := range r.cfg.Sides {
		r.scanSides(source)
	}
}

// event takes over a change on a bus.
func (r *Registry) event(bus hid.Bus, e hid.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.keys[e.Info.ID]
	switch e.Kind {
	case hid.Attached:
		if old != nil && (old.bus != bus || old.info == e.Info) {
			return
		}
		if old != nil {
			r.remove(old)
		}
		k := newKey(e.Info, bus)
		r.keys[k.ID()] = k
		r.arrange()
		r.tell(Event{hid.Attached, k})
	case hid.Detached:
		if old != nil && old.bus == bus {
			r.remove(old)
			r.arrange()
		}
	}
}

// detach takes a key off the list, if it is still on it.
func (r *Registry) detach(k *Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys[k.ID()] == k {
		r.remove(k)
		r.arrange()
	}
}

// remove takes a key off the list. r.mu is held.
func (r *Registry) remove(k *Key) {
	delete(r.keys, k.ID())
	if k.FIDO() {
		// Its other interfaces are gone as well: their source says so a little later, or that they are not.
		for _, s := range k.Sides() {
			delete(r.sides, s.Info.ID)
		}
	}
	k.gone(hid.ErrGone)
	r.tell(Event{hid.Detached, k})
}

// tell says that something changed. r.mu is held.
func (r *Registry) tell(e Event) {
	r.wake()
	if r.cfg.Notify != nil {
		r.cfg.Notify(e)
	}
}

// wake ends the wait of those who wait for a change. r.mu is held.
func (r *Registry) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Keys returns the attached keys, sorted by ID.
func (r *Registry) Keys() []*Key {
	keys, _ := r.Snapshot()
	return keys
}

// Snapshot returns the attached keys, sorted by ID, and a channel that is closed when
// that is no longer true.
func (r *Registry) Snapshot() ([]*Key, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := slices.SortedFunc(maps.Values(r.keys), func(a, b *Key) int { return strings.Compare(a.ID(), b.ID()) })
	return keys, r.changed
}

// Key returns the attached key with an ID, or [ErrNotFound].
func (r *Registry) Key(id string) (*Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.keys[id]; k != nil {
		return k, nil
	}
	return nil, ErrNotFound
}

// Open takes a key for one operation. Where another program holds it, Open calls waiting
// (if not nil) once per holder and waits until it is free or ctx ends. The caller closes
// the Conn. The error is [hid.ErrGone] when the key is pulled out meanwhile.
func (r *Registry) Open(ctx context.Context, k *Key, waiting func(hid.Holder)) (*Conn, error) {
	if !k.FIDO() {
		return nil, ErrNoFIDO
	}
	ctx, cancel := k.While(ctx)
	defer cancel()
	dev, err := k.bus.Open(ctx, k.ID(), waiting)
	if err != nil {
		if errors.Is(err, hid.ErrNotFound) {
			// The bus knows better.
			r.detach(k)
		}
		return nil, k.explain(ctx, err)
	}
	c, err := r.connect(ctx, k, dev)
	if err != nil {
		dev.Close()
		return nil, k.explain(ctx, err)
	}
	return c, nil
}

// explain turns the errors of a key that was pulled out, however they show, into
// [hid.ErrGone], and those of a context into its cause.
func (k *Key) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case k.here.Err() != nil:
		return hid.ErrGone
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return context.Cause(ctx)
	}
	return err
}
