package ctaphid

import (
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
)

// past is a read deadline that has passed on any clock.
var past = time.Unix(1, 0)

// deadline owns a device's read deadline while a context may end the reads from
// another goroutine (by context.AfterFunc), so that neither undoes what the
// other has set.
type deadline struct {
	dev hid.Device

	mu      sync.Mutex // guards what follows and SetReadDeadline
	expired bool       // the context has ended
	closed  bool       // the context no longer matters
}

// set lets reads go on until t; the zero time is for ever. It has no effect on
// reads that the context has ended.
func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expired && !d.closed {
		t = past
	}
	return d.dev.SetReadDeadline(t)
}

// expire ends reads at once. It is what runs when the context ends.
func (d *deadline) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.expired = true
	// A device that cannot be told fails its reads by itself.
	_ = d.dev.SetReadDeadline(past)
}

// release makes expire harmless, also one that is running already.
func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}
