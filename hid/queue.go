package hid

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// queueLength is the number of reports that wait for a reader, the same as in
// the kernel's hidraw (HIDRAW_BUFFER_SIZE).
const queueLength = 64

var (
	errClosed      = fmt.Errorf("hid: %w", os.ErrClosed)
	errDeadline    = fmt.Errorf("hid: read: %w", os.ErrDeadlineExceeded)
	errShortBuffer = fmt.Errorf("%w: buffer is shorter than an input report", ErrReportSize)
)

// reportSize returns n, or the default where n is no size.
func reportSize(n int) int {
	if n < 1 {
		return DefaultReportSize
	}
	return n
}

func sizeError(got, want int) error {
	return fmt.Errorf("%w: %d bytes, want %d", ErrReportSize, got, want)
}

// queue is a bounded ring of reports of one size with one reading side. It waits
// with condition variables and timers only, so that testing/synctest sees through
// it, and allocates nothing per report.
type queue struct {
	mu       sync.Mutex // guards all below
	readable sync.Cond
	writable sync.Cond
	ring     []byte // slots of size bytes
	size     int
	slots    int
	first    int // slot of the oldest report
	count    int

	readDeadline time.Time
	readTimer    *time.Timer
	writeTimer   *time.Timer

	readErr  error // what readers get at once
	ended    error // what readers get once the ring is empty
	writeErr error // what writers get at once
}

func newQueue(size, slots int) *queue {
	q := &queue{ring: make([]byte, slots*size), size: size, slots: slots}
	q.readable.L = &q.mu
	q.writable.L = &q.mu
	return q
}

// pop reads the oldest report.
func (q *queue) pop(report []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.readErr != nil:
			return 0, q.readErr
		case len(report) < q.size:
			return 0, errShortBuffer
		case !q.readDeadline.IsZero() && !time.Now().Before(q.readDeadline):
			return 0, errDeadline
		case q.count > 0:
			n := copy(report, q.slot(0))
			q.first = (q.first + 1) % q.slots
			q.count--
			q.writable.Broadcast()
			return n, nil
		case q.ended != nil:
			return 0, q.ended
		}
		q.readable.Wait()
	}
}

// push appends a report and waits for room up to [WriteTimeout].
func (q *queue) push(report []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(report) != q.size {
		return sizeError(len(report), q.size)
	}
	var limit time.Time
	for q.writeErr == nil && q.count == q.slots {
		now := time.Now()
		switch {
		case limit.IsZero():
			limit = now.Add(WriteTimeout)
			if q.writeTimer == nil {
				q.writeTimer = time.AfterFunc(WriteTimeout, q.wakeWriters)
			} else {
				q.writeTimer.Reset(WriteTimeout)
			}
		case !now.Before(limit):
			return ErrWriteTimeout
		}
		q.writable.Wait()
	}
	if !limit.IsZero() {
		q.writeTimer.Stop()
	}
	return q.append(report)
}

// offer appends a report if there is room and says whether there was.
func (q *queue) offer(report []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(report) == q.size && q.count < q.slots && q.append(report) == nil
}

// append needs q.mu and room.
func (q *queue) append(report []byte) error {
	if q.writeErr != nil {
		return q.writeErr
	}
	copy(q.slot(q.count), report)
	q.count++
	q.readable.Signal()
	return nil
}

func (q *queue) slot(i int) []byte {
	at := (q.first + i) % q.slots * q.size
	return q.ring[at : at+q.size]
}

func (q *queue) wakeReaders() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.readable.Broadcast()
}

func (q *queue) wakeWriters() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writable.Broadcast()
}

func (q *queue) setReadDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.readErr != nil {
		return q.readErr
	}
	q.readDeadline = time.Time{}
	if !t.IsZero() {
		// Adding to now keeps the monotonic clock, which the timer uses, too.
		now := time.Now()
		left := t.Sub(now)
		q.readDeadline = now.Add(left)
		if q.readTimer == nil {
			q.readTimer = time.AfterFunc(left, q.wakeReaders)
		} else {
			q.readTimer.Reset(left)
		}
	} else if q.readTimer != nil {
		q.readTimer.Stop()
	}
	q.readable.Broadcast()
	return nil
}

// closeReader ends the reading side: its readers get readErr, writers writeErr
// unless they have an error already.
func (q *queue) closeReader(readErr, writeErr error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.readErr == nil {
		q.readErr = readErr
	}
	if q.writeErr == nil {
		q.writeErr = writeErr
	}
	q.stop()
}

// closeWriter ends the writing side: readers get the queued reports, then
// readErr; writers get writeErr.
func (q *queue) closeWriter(readErr, writeErr error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended == nil {
		q.ended = readErr
	}
	q.writeErr = writeErr
	q.stop()
}

// stop needs q.mu.
func (q *queue) stop() {
	for _, timer := range []*time.Timer{q.readTimer, q.writeTimer} {
		if timer != nil && q.readErr != nil {
			timer.Stop()
		}
	}
	q.readable.Broadcast()
	q.writable.Broadcast()
}
