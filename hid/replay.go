package hid

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// Replay is a [Device] made of a trace. Make one with [NewReplay].
//
// Every write has to be the trace's next one; else it gives [ErrTrace]. What the device
// sent up to the following write can then be read, at once: a replay has the order of
// the trace, not its time.
type Replay struct {
	trace *Trace
	match func(want, got []byte) bool
	queue *queue

	mu     sync.Mutex // guards all below
	next   int        // index of the first record that has not been replayed
	closed bool
}

// NewReplay returns a device that behaves as in trace. match, if not nil, decides
// whether a report that is written is the one of the trace; nil means equal bytes.
func NewReplay(trace *Trace, match func(want, got []byte) bool) *Replay {
	if match == nil {
		match = bytes.Equal
	}
	reads := 0
	for _, record := range trace.Records {
		if record.Kind == TraceRead {
			reads++
		}
	}
	r := &Replay{trace: trace, match: match, queue: newQueue(trace.InputSize, max(reads, 1))}
	r.advance()
	return r
}

// advance makes what comes before the next write readable. It needs r.mu.
func (r *Replay) advance() {
	for ; r.next < len(r.trace.Records); r.next++ {
		switch record := r.trace.Records[r.next]; record.Kind {
		case TraceRead:
			r.queue.offer(record.Report)
		case TraceGone:
			r.queue.closeWriter(ErrGone, ErrGone)
		default:
			return
		}
	}
}

// Rest returns the number of records that have not come to pass yet. Reports that
// nobody has read count as passed.
func (r *Replay) Rest() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.trace.Records) - r.next
}

// Write checks a report against the trace. The error says where they differ, not how.
func (r *Replay) Write(report []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.trace.Records) - 1
	switch {
	case r.closed:
		return 0, errClosed
	case len(report) != r.trace.OutputSize:
		return 0, sizeError(len(report), r.trace.OutputSize)
	case r.next > last && last >= 0 && r.trace.Records[last].Kind == TraceGone:
		return 0, ErrGone
	case r.next > last:
		return 0, fmt.Errorf("%w: a write after its end", ErrTrace)
	case !r.match(r.trace.Records[r.next].Report, report):
		return 0, fmt.Errorf("%w: the write differs from record %d", ErrTrace, r.next+1)
	}
	r.next++
	r.advance()
	return len(report), nil
}

// Read implements [Device]. At the end of a trace without the device's end, it waits.
func (r *Replay) Read(report []byte) (int, error) { return r.queue.pop(report) }

// SetReadDeadline implements [Device].
func (r *Replay) SetReadDeadline(t time.Time) error { return r.queue.setReadDeadline(t) }

// ReportSizes implements [Device].
func (r *Replay) ReportSizes() (input, output int) { return r.trace.InputSize, r.trace.OutputSize }

// Close implements [Device].
func (r *Replay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.queue.closeReader(errClosed, errClosed)
	return nil
}
