package hid

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// MemoryBus is a [Bus] of devices inside this program: emulated keys and tests.
// Make one with [NewMemoryBus].
type MemoryBus struct {
	mu       sync.Mutex // guards all below and the fields of devices
	devices  map[string]*memoryEntry
	watchers map[chan struct{}]bool
}

type memoryEntry struct {
	info    Info
	connect func() (Device, error)
	gone    chan struct{} // closed by Detach
	holder  *memoryDevice // nil while nobody has it, or while it is being connected
	taken   bool
	waiting []chan struct{} // each closed when it is its turn
	ears    map[*memoryEar]bool
	heard   atomic.Bool // there are ears
}

// NewMemoryBus returns a bus without devices.
func NewMemoryBus() *MemoryBus {
	return &MemoryBus{devices: map[string]*memoryEntry{}, watchers: map[chan struct{}]bool{}}
}

// Attach puts a device on the bus. Each Open calls connect for a host end of its
// own, which must have info's report sizes; connect may be called from several
// goroutines, but only one end is open at a time. Report sizes and usage that are
// zero become those of FIDO. It is an error if info.ID is empty or attached.
func (b *MemoryBus) Attach(info Info, connect func() (Device, error)) error {
	if info.ID == "" {
		return errors.New("hid: device without an ID")
	}
	info.InputSize, info.OutputSize = reportSize(info.InputSize), reportSize(info.OutputSize)
	if info.UsagePage == 0 && info.Usage == 0 {
		info.UsagePage, info.Usage = UsagePageFIDO, UsageFIDO
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.devices[info.ID] != nil {
		return fmt.Errorf("hid: device %s is attached already", info.ID)
	}
	b.devices[info.ID] = &memoryEntry{info: info, connect: connect, gone: make(chan struct{})}
	b.changed()
	return nil
}

// Detach takes a device off the bus, as if it were unplugged: its open end returns
// [ErrGone], and who waits for it gets [ErrNotFound]. It does nothing if there is no
// such device.
func (b *MemoryBus) Detach(id string) {
	b.mu.Lock()
	entry := b.devices[id]
	if entry == nil {
		b.mu.Unlock()
		return
	}
	delete(b.devices, id)
	close(entry.gone)
	holder := entry.holder
	for ear := range entry.ears {
		ear.queue.closeWriter(ErrGone, ErrGone)
	}
	b.changed()
	b.mu.Unlock()
	if holder != nil {
		holder.unplug()
	}
}

// changed needs b.mu.
func (b *MemoryBus) changed() {
	for wake := range b.watchers {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Devices implements [Bus]. It never fails.
func (b *MemoryBus) Devices() ([]Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	infos := make([]Info, 0, len(b.devices))
	for _, id := range slices.Sorted(maps.Keys(b.devices)) {
		infos = append(infos, b.devices[id].info)
	}
	return infos, nil
}

// Watch implements [Bus]. A device that comes and goes while event runs may stay
// unmentioned.
func (b *MemoryBus) Watch(ctx context.Context, event func(Event)) error {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	b.mu.Lock()
	b.watchers[wake] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.watchers, wake)
		b.mu.Unlock()
	}()

	known := map[string]*memoryEntry{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
		b.mu.Lock()
		now := maps.Clone(b.devices)
		b.mu.Unlock()
		for _, id := range slices.Sorted(maps.Keys(known)) {
			if now[id] != known[id] {
				event(Event{Kind: Detached, Info: known[id].info})
			}
		}
		for _, id := range slices.Sorted(maps.Keys(now)) {
			if now[id] != known[id] {
				event(Event{Kind: Attached, Info: now[id].info})
			}
		}
		known = now
	}
}

// Open implements [Bus]. Those who wait get the device in the order of their calls;
// waiting is told this process's number.
func (b *MemoryBus) Open(ctx context.Context, id string, waiting func(Holder)) (Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	entry := b.devices[id]
	if entry == nil {
		b.mu.Unlock()
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if entry.taken {
		turn := make(chan struct{})
		entry.waiting = append(entry.waiting, turn)
		b.mu.Unlock()
		if waiting != nil {
			waiting(Holder{PID: os.Getpid()})
		}
		if err := b.wait(ctx, entry, turn); err != nil {
			return nil, err
		}
	} else {
		entry.taken = true
		b.mu.Unlock()
	}

	inner, err := entry.connect()
	if err != nil {
		b.release(entry)
		return nil, fmt.Errorf("hid: open %s: %w", id, err)
	}
	device := &memoryDevice{
		Device:  inner,
		release: func() { b.release(entry) },
		hear:    func(report []byte) { b.hear(entry, report) },
	}
	b.mu.Lock()
	attached := b.devices[id] == entry
	if attached {
		entry.holder = device
	}
	b.mu.Unlock()
	if !attached {
		device.Close()
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return device, nil
}

// wait waits for turn. The entry is the caller's when it returns nil.
func (b *MemoryBus) wait(ctx context.Context, entry *memoryEntry, turn chan struct{}) error {
	var err error
	select {
	case <-turn:
		return nil
	case <-entry.gone:
		err = fmt.Errorf("%w: %s", ErrNotFound, entry.info.ID)
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	at := slices.Index(entry.waiting, turn)
	if at >= 0 {
		entry.waiting = slices.Delete(entry.waiting, at, at+1)
	}
	b.mu.Unlock()
	if at < 0 { // the turn came at the same moment: pass it on
		b.release(entry)
	}
	return err
}

// release gives the entry to the next in the queue.
func (b *MemoryBus) release(entry *memoryEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entry.holder = nil
	if len(entry.waiting) == 0 {
		entry.taken = false
		return
	}
	close(entry.waiting[0])
	entry.waiting = entry.waiting[1:]
}

// memoryDevice tells the bus when it is closed, and tells its user when the bus
// closed it.
type memoryDevice struct {
	Device
	release   func()
	hear      func(report []byte) // for who listens
	once      sync.Once
	closed    atomic.Bool // by its user
	unplugged atomic.Bool
}

func (d *memoryDevice) Read(report []byte) (int, error) {
	n, err := d.Device.Read(report)
	if err == nil {
		d.hear(report[:n])
	}
	return n, d.explain(err)
}

func (d *memoryDevice) Write(report []byte) (int, error) {
	n, err := d.Device.Write(report)
	return n, d.explain(err)
}

func (d *memoryDevice) explain(err error) error {
	if err != nil && d.unplugged.Load() && !d.closed.Load() && errors.Is(err, os.ErrClosed) {
		return ErrGone
	}
	return err
}

func (d *memoryDevice) unplug() {
	d.unplugged.Store(true)
	d.Device.Close()
}

func (d *memoryDevice) Close() error {
	d.closed.Store(true)
	var err error
	d.once.Do(func() {
		err = d.Device.Close()
		d.release()
	})
	return err
}
