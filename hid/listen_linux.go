package hid

import (
	"context"
	"os"
	"sync/atomic"
	"time"
)

var _ Listener = (*LinuxBus)(nil)

// Listen implements [Listener]: hidraw gives every input report to all who have the node
// open. It takes no lock.
func (b *LinuxBus) Listen(ctx context.Context, id string) (Ear, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	node, err := b.find(id)
	if err != nil {
		return nil, err
	}
	file, err := b.openNode(ctx, node, b.quiet)
	if err != nil {
		return nil, err
	}
	return &hidrawEar{file: file, input: node.info.InputSize}, nil
}

// hidrawEar reads through the runtime poller: no thread waits, and nothing wakes up before
// there is a report.
type hidrawEar struct {
	file   *os.File
	input  int
	closed atomic.Bool
}

func (e *hidrawEar) Read(report []byte) (int, error) {
	if len(report) < e.input {
		return 0, errShortBuffer
	}
	n, err := e.file.Read(report[:e.input])
	switch {
	case err != nil:
		return 0, explainKernel("read", err)
	case n != e.input:
		return 0, sizeError(n, e.input)
	}
	return n, nil
}

func (e *hidrawEar) SetReadDeadline(t time.Time) error {
	if err := e.file.SetReadDeadline(t); err != nil {
		if e.closed.Load() {
			return errClosed // os says that in another way here
		}
		return explainKernel("set deadline", err)
	}
	return nil
}

func (e *hidrawEar) ReportSize() int { return e.input }

func (e *hidrawEar) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	return e.file.Close()
}

// Holder implements [Listener]. Programs on libfido2 are in the table of locks. Browsers take
// no lock: they are looked for among those who have the node open, as far as /proc shows
// that to this user.
func (b *LinuxBus) Holder(id string) Holder {
	node, err := b.find(id)
	if err != nil {
		return Holder{}
	}
	pid := 0
	if file, err := b.quiet(node.info.Path); err == nil {
		pid = b.holderOf(file).PID
		file.Close()
	}
	if pid == 0 || pid == os.Getpid() {
		pid = writer(b.processes, node.info.Path, os.Getpid())
	}
	if pid == 0 {
		return Holder{}
	}
	return Holder{PID: pid, Program: b.processes.Name(pid)}
}

// writer returns the number of the process that has a node open for writing, other than self, and 0
// if there is none, or several of which it is not known who it is. Who only listens, as we do, is
// not who waits for a touch.
func writer(p Processes, path string, self int) int {
	found := 0
	for _, o := range p.Openers(path) {
		if o.PID == self || !o.Writes {
			continue
		}
		if found != 0 {
			return 0
		}
		found = o.PID
	}
	return found
}
