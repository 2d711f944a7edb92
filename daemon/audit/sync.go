package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// syncer is the part of the writer that makes lines durable.
type syncer struct {
	waiting  []*request // want the next sync
	inFlight []*request // want the one that runs
	running  bool
	late     bool // the timer went off meanwhile
	results  chan syncResult

	timer *time.Timer
	armed atomic.Bool // whether it runs; atomic for tests to look at
}

// syncResult is what became of a sync of the first size bytes.
type syncResult struct {
	size int64
	head Head
	err  error
}

func (s *syncer) init() {
	s.results = make(chan syncResult, 1)
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
}

// schedule sees to it that what is written will be durable when it has to be. A log with nothing
// to make durable has no timer.
func (w *writer) schedule() {
	switch {
	case len(w.waiting) > 0 && !w.running:
		w.startSync()
	case w.config.Sync != SyncNever && w.size > w.safe && !w.armed.Load():
		w.timer.Reset(syncDelay)
		w.armed.Store(true)
	}
}

func (w *writer) disarm() {
	w.timer.Stop()
	w.armed.Store(false)
}

func (w *writer) onTimer() {
	w.armed.Store(false)
	switch {
	case w.running:
		w.late = true
	case w.file != nil && w.size > w.safe:
		w.startSync()
	}
}

// startSync begins a sync beside the writer. Lines are written meanwhile.
func (w *writer) startSync() {
	w.disarm()
	w.late, w.running = false, true
	w.inFlight, w.waiting = w.waiting, w.inFlight[:0]
	sync := w.sync()
	go func() { w.results <- sync() }()
}

// sync gives a function that syncs what is written by now, and touches nothing of the writer's.
func (w *writer) sync() func() syncResult {
	t, folder := w.tail, w.folder
	return func() syncResult {
		r := syncResult{size: t.size, head: t.last}
		if t.unsure {
			r.err = folder.rewrite(&t)
		}
		if r.err == nil {
			r.err = t.file.Sync()
		}
		return r
	}
}

// afterSync takes the result of startSync's sync.
func (w *writer) afterSync(r syncResult) {
	w.running = false
	err := w.settle(r)
	if err != nil && len(w.inFlight) == 0 {
		w.config.Log.Error("audit: lines are not on the disk yet", "err", err)
	}
	for i, q := range w.inFlight {
		q.done <- err
		w.inFlight[i] = nil
	}
	w.inFlight = w.inFlight[:0]
	if w.late && w.size > w.safe {
		w.startSync()
		return
	}
	w.late = false
	w.schedule()
}

// settle notes what a sync has done.
func (w *writer) settle(r syncResult) error {
	if r.err != nil {
		// From now on the kernel may take the lost lines for written (fsync(2), EIO), so that a
		// further sync alone would prove nothing: see rewrite.
		w.unsure = true
		err := fmt.Errorf("audit: lines behind number %d are not on the disk for sure, and the next record tries again: %w", w.safeHead.Seq, r.err)
		w.setTrouble(err)
		return err
	}
	if w.unsure {
		w.setTrouble(nil)
	}
	w.safe, w.safeHead, w.unsure = r.size, r.head, false
	return nil
}

// wait waits for the sync that runs.
func (w *writer) wait() {
	for w.running {
		w.afterSync(<-w.results)
	}
}

// flush makes everything durable before it returns.
func (w *writer) flush() error {
	w.wait()
	w.disarm()
	if w.safe == w.size && !w.unsure {
		return nil
	}
	return w.settle(w.sync()())
}

// repair undoes what an earlier failure has left, so that the file is fit for new lines.
func (w *writer) repair() error {
	if w.file == nil {
		return w.resume()
	}
	if err := w.cut(); err != nil {
		return err
	}
	if !w.unsure {
		return nil
	}
	err := w.flush()
	if !errors.Is(err, errForgotten) {
		return err
	}
	// The disk has kept less than was written: go on where what it has ends.
	was := w.last.Seq
	w.file.Close()
	w.file = nil
	if err := w.resume(); err != nil {
		return err
	}
	if is := w.resumed.Seq; was > is {
		w.lost, w.why = w.lost+int(was-is), err
	}
	return nil
}

// errForgotten is for lines that were written but can't be read back.
var errForgotten = errors.New("the disk has lost lines")

// rewrite writes what is not on the disk for sure over itself, so that the next sync has to put
// it there, if it still is the chain that was written.
func (f *folder) rewrite(t *tail) error {
	file, err := f.root.OpenFile(fileName(t.number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	head, hasher := t.safeHead, hasher{}
	lines := newLineReader(io.NewSectionReader(file, t.safe, t.size-t.safe))
	for head != t.last {
		at := t.safe + lines.offset
		line, err := lines.next()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLong) {
			return err
		}
		link, failure := hasher.open(line)
		if err != nil || failure != nil || link.prev != head.Hash {
			return fmt.Errorf("%w behind number %d", errForgotten, head.Seq)
		}
		if _, err := file.WriteAt(append(line[:len(line):len(line)], '\n'), at); err != nil {
			return err
		}
		head = Head{link.seq, link.hash}
	}
	return nil
}
