package hid

import (
	"errors"
	"os"
	"sync"
	"time"
)

// Fanout lets many hosts share one device the way hidraw does: every input report
// goes to every host end, whoever it is for. Make one with [NewFanout].
//
// Each host end holds 64 unread reports; as in the kernel, a reader that is slower
// than that loses the reports that come then, and the others lose nothing.
type Fanout struct {
	device        Device
	input, output int
	writing       chan struct{} // holds a value while a host end writes
	done          chan struct{} // closed when the reading goroutine has ended

	mu   sync.Mutex // guards ends and err
	ends map[*fanoutEnd]bool
	err  error // why there are no reports any more
}

// NewFanout shares out key, which is a device seen from the host: the first end of a
// [NewPipe], for instance. The Fanout owns it and reads it until [Fanout.Close].
func NewFanout(key Device) *Fanout {
	f := &Fanout{
		device:  key,
		writing: make(chan struct{}, 1),
		done:    make(chan struct{}),
		ends:    map[*fanoutEnd]bool{},
	}
	f.input, f.output = key.ReportSizes()
	go f.read()
	return f
}

func (f *Fanout) read() {
	defer close(f.done)
	_ = f.device.SetReadDeadline(time.Time{}) // one that is closed fails at Read, too
	report := make([]byte, f.input)
	for {
		_, err := f.device.Read(report)
		f.mu.Lock()
		switch {
		case err == nil:
			for end := range f.ends {
				end.queue.offer(report)
			}
		case errors.Is(err, ErrReportSize):
			// The device goes on: hosts lose the one report.
		default:
			f.err = ErrGone
			for end := range f.ends {
				end.queue.closeWriter(ErrGone, ErrGone)
			}
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
	}
}

// Connect returns a new host end. It gets the reports that come from now on. When
// the device is gone or the Fanout closed, every call on the end gives [ErrGone].
func (f *Fanout) Connect() Device {
	end := &fanoutEnd{fanout: f, queue: newQueue(f.input, queueLength)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		end.queue.closeWriter(f.err, f.err)
		return end
	}
	f.ends[end] = true
	return end
}

// Close closes the device and waits until it is no longer read. Host ends get [ErrGone].
func (f *Fanout) Close() error {
	err := f.device.Close()
	<-f.done
	return err
}

type fanoutEnd struct {
	fanout *Fanout
	queue  *queue

	mu     sync.Mutex // guards closed
	closed bool
}

func (e *fanoutEnd) Read(report []byte) (int, error) { return e.queue.pop(report) }

// Write takes its turn among the host ends, so that it can wait for those before it
// as well as for the device: each of them up to WriteTimeout.
func (e *fanoutEnd) Write(report []byte) (int, error) {
	f := e.fanout
	if len(report) != f.output {
		return 0, sizeError(len(report), f.output)
	}
	if e.isClosed() {
		return 0, errClosed
	}
	select {
	case f.writing <- struct{}{}:
	default:
		timer := time.NewTimer(WriteTimeout)
		defer timer.Stop()
		select {
		case f.writing <- struct{}{}:
		case <-timer.C:
			return 0, ErrWriteTimeout
		}
	}
	defer func() { <-f.writing }()
	n, err := f.device.Write(report)
	switch {
	case errors.Is(err, os.ErrClosed) && e.isClosed():
		return n, errClosed
	case errors.Is(err, os.ErrClosed):
		return n, ErrGone
	}
	return n, err
}

func (e *fanoutEnd) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

func (e *fanoutEnd) SetReadDeadline(t time.Time) error { return e.queue.setReadDeadline(t) }

func (e *fanoutEnd) ReportSizes() (input, output int) { return e.fanout.input, e.fanout.output }

func (e *fanoutEnd) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.fanout.mu.Lock()
	delete(e.fanout.ends, e)
	e.fanout.mu.Unlock()
	e.queue.closeReader(errClosed, errClosed)
	return nil
}
