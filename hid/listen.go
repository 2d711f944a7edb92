package hid

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// Listener is a [Bus] on which it can be heard what devices say to all programs.
type Listener interface {
	// Listen opens a device for listening only: nobody is kept from it, and nothing is sent
	// to it. The error is [ErrNotFound] when the device is not attached (any more).
	Listen(ctx context.Context, id string) (Ear, error)
	// Holder says which program has a device: the one that took it, or the only one that
	// could write to it. It is the zero Holder when that cannot be known.
	Holder(id string) Holder
}

// Ear hears every input report of a device from its making on. One that is not read for too
// long misses some. Read, SetReadDeadline and Close are as with [Device].
type Ear interface {
	Read(report []byte) (int, error)
	SetReadDeadline(t time.Time) error
	// ReportSize is the input report size.
	ReportSize() int
	io.Closer
}

var (
	_ Listener = (*MemoryBus)(nil)
	_ Ear      = (*memoryEar)(nil)
)

// Listen implements [Listener]. What is heard are the reports that the program which has
// the device reads.
func (b *MemoryBus) Listen(ctx context.Context, id string) (Ear, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	entry := b.devices[id]
	if entry == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	ear := &memoryEar{bus: b, entry: entry, queue: newQueue(entry.info.InputSize, queueLength)}
	if entry.ears == nil {
		entry.ears = make(map[*memoryEar]bool)
	}
	entry.ears[ear] = true
	entry.heard.Store(true)
	return ear, nil
}

// Holder implements [Listener]: it is this process.
func (b *MemoryBus) Holder(id string) Holder {
	b.mu.Lock()
	defer b.mu.Unlock()
	if entry := b.devices[id]; entry != nil && entry.taken {
		return Holder{PID: os.Getpid()}
	}
	return Holder{}
}

// hear gives a report to all who listen.
func (b *MemoryBus) hear(entry *memoryEntry, report []byte) {
	if !entry.heard.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for ear := range entry.ears {
		ear.queue.offer(report)
	}
}

type memoryEar struct {
	bus   *MemoryBus
	entry *memoryEntry
	queue *queue
}

func (e *memoryEar) Read(report []byte) (int, error) { return e.queue.pop(report) }

func (e *memoryEar) SetReadDeadline(t time.Time) error { return e.queue.setReadDeadline(t) }

func (e *memoryEar) ReportSize() int { return e.entry.info.InputSize }

func (e *memoryEar) Close() error {
	e.bus.mu.Lock()
	delete(e.entry.ears, e)
	e.entry.heard.Store(len(e.entry.ears) > 0)
	e.bus.mu.Unlock()
	e.queue.closeReader(errClosed, errClosed)
	return nil
}
