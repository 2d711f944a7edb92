package hid

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// closeGrace is how long Close waits for a write that is under way. After that the
// descriptor is closed, and the lock released, once the kernel is done with it.
const closeGrace = 100 * time.Millisecond

// hidrawDevice reads through the runtime poller. Writing to hidraw is synchronous USB
// I/O that no deadline ends, so it has a goroutine of its own, which also owns the
// closing of the file: os.File.Close waits for writes.
type hidrawDevice struct {
	file          *os.File
	input, output int

	requests chan struct{} // frame is to be written
	results  chan error    // of the last request
	frame    []byte        // report number 0, report; the writer's between request and result
	closed   chan struct{} // closed by Close
	finished chan struct{} // closed when the writer has ended

	// For Write alone.
	pending bool // a write has timed out here and goes on in the kernel
	timer   *time.Timer

	mu sync.Mutex // guards the file's deadline against Close
}

func newHidrawDevice(file *os.File, input, output int) *hidrawDevice {
	d := &hidrawDevice{
		file: file, input: input, output: output,
		requests: make(chan struct{}),
		results:  make(chan error, 1),
		frame:    make([]byte, 1+output),
		closed:   make(chan struct{}),
		finished: make(chan struct{}),
		timer:    time.NewTimer(WriteTimeout),
	}
	d.timer.Stop()
	go d.writer()
	return d
}

func (d *hidrawDevice) writer() {
	defer close(d.finished)
	defer d.file.Close()
	for {
		select {
		case <-d.requests:
			_, err := d.file.Write(d.frame)
			d.results <- err
		case <-d.closed:
			return
		}
	}
}

// Read gives a report as the kernel does: without report number, because there is
// none in the descriptor.
func (d *hidrawDevice) Read(report []byte) (int, error) {
	if len(report) < d.input {
		return 0, errShortBuffer
	}
	n, err := d.file.Read(report[:d.input])
	switch {
	case err != nil:
		return 0, d.explain("read", err)
	case n != d.input:
		return 0, sizeError(n, d.input)
	}
	return n, nil
}

func (d *hidrawDevice) Write(report []byte) (int, error) {
	if len(report) != d.output {
		return 0, sizeError(len(report), d.output)
	}
	d.timer.Reset(WriteTimeout)
	defer d.timer.Stop()
	if d.pending {
		select {
		case <-d.results: //nolint:errcheck // of a report whose writer has given up
			d.pending = false
		case <-d.timer.C:
			return 0, ErrWriteTimeout
		case <-d.closed:
			return 0, errClosed
		}
	}
	copy(d.frame[1:], report)
	select {
	case d.requests <- struct{}{}:
	case <-d.closed:
		return 0, errClosed
	}
	select {
	case err := <-d.results:
		if err != nil {
			return 0, d.explain("write", err)
		}
		return len(report), nil
	case <-d.timer.C:
		d.pending = true
		return 0, ErrWriteTimeout
	case <-d.closed:
		return 0, errClosed
	}
}

// explain turns the kernel's errors into those of Device.
func (d *hidrawDevice) explain(verb string, err error) error {
	select {
	case <-d.closed:
		return errClosed
	default:
	}
	return explainKernel(verb, err)
}

// explainKernel turns the errors of a file of hidraw into those of this package.
func explainKernel(verb string, err error) error {
	switch {
	case errors.Is(err, os.ErrClosed):
		return errClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errDeadline
	case errors.Is(err, unix.ETIMEDOUT):
		return ErrWriteTimeout
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO), errors.Is(err, unix.ENODEV),
		errors.Is(err, unix.ENXIO), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ESHUTDOWN),
		errors.Is(err, unix.ECONNRESET):
		return ErrGone
	}
	return fmt.Errorf("hid: %s: %w", verb, err)
}

func (d *hidrawDevice) SetReadDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.closed:
		return errClosed
	default:
	}
	if err := d.file.SetReadDeadline(t); err != nil {
		return d.explain("set deadline", err)
	}
	return nil
}

func (d *hidrawDevice) ReportSizes() (input, output int) { return d.input, d.output }

// Close unblocks Read and Write and releases the lock.
func (d *hidrawDevice) Close() error {
	d.mu.Lock()
	select {
	case <-d.closed:
		d.mu.Unlock()
		return nil
	default:
	}
	close(d.closed)
	_ = d.file.SetDeadline(time.Unix(1, 0)) // a file that has none is not blocked either
	d.mu.Unlock()

	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-d.finished:
	case <-grace.C:
	}
	return nil
}
