package audit

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits of what one write takes.
const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// file is what the writer needs of an *os.File that is open for appending.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// tail is the file that grows, and how far it is.
type tail struct {
	file   file
	number int64
	begin  int64 // bytes of the first line
	size   int64 // bytes of the whole lines
	last   Head  // of them
	torn   bool  // a failed write may have left bytes behind them

	safe     int64 // bytes that are on the disk
	safeHead Head  // of the last line among them
	unsure   bool  // a sync has failed, so that the kernel may have forgotten what is behind safe
}

// writer puts lines into files. Its fields belong to the goroutine of run, or to whoever has not
// begun it yet or has waited for its end. Only syncs run beside it, one at a time.
type writer struct {
	*Log
	tail // its file is nil if resume has to be called
	syncer
	folder *folder
	hasher hasher

	resumed Head // what resume found

	lost int // records since the last one that was written
	why  error

	batch   []*request
	buf     []byte
	entries []Entry // for the mirror
}

func newWriter(l *Log, f *folder) *writer {
	w := &writer{Log: l, folder: f}
	w.syncer.init()
	return w
}

// run ends after Close was called.
func (w *writer) run() {
	defer close(w.finished)
	for {
		select {
		case q := <-w.queue:
			w.commit(q)
		case r := <-w.results:
			w.afterSync(r)
		case <-w.timer.C:
			w.onTimer()
		case <-w.stop:
			for {
				select {
				case q := <-w.queue:
					w.commit(q)
					continue
				default:
				}
				return
			}
		}
	}
}

// commit writes a request and those that wait behind it.
func (w *writer) commit(first *request) {
	w.batch = append(w.batch[:0], first)
	limit := int(min(maxBatchBytes, w.config.MaxSize/4))
	size := overhead + len(first.encoder.buf)
	for len(w.batch) < maxBatch && size < limit {
		select {
		case q := <-w.queue:
			w.batch = append(w.batch, q)
			size += overhead + len(q.encoder.buf)
			continue
		default:
		}
		break
	}
	err := w.write(w.batch, int64(size))
	if err != nil || !w.unsure {
		w.setTrouble(err)
	}
	if err != nil {
		w.lost += len(w.batch)
		w.why = err
		for _, q := range w.batch {
			q.done <- err
		}
		w.mirror()
		return
	}
	for _, q := range w.batch {
		if q.durable || w.config.Sync == SyncAlways {
			w.waiting = append(w.waiting, q)
		} else {
			q.done <- nil
		}
	}
	w.mirror()
	w.schedule()
}

// write makes lines of requests, of at most size bytes, and puts them into the file.
func (w *writer) write(batch []*request, size int64) error {
	if err := w.repair(); err != nil {
		return err
	}
	if w.size > w.begin && w.size+size > w.config.MaxSize {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	if w.lost > 0 {
		detail := fmt.Sprintf("%d records could not be written: %v", w.lost, w.why)
		if err := w.note(Record{Operation: OpGap, File: w.number, Detail: detail}); err != nil {
			return err
		}
		w.config.Log.Warn("audit: writing again", "lost", w.lost, "err", w.why)
		w.lost, w.why = 0, nil
	}
	w.buf = w.buf[:0]
	head := w.last
	kept := len(w.entries)
	for _, q := range batch {
		prev := head.Hash
		w.buf, head = w.hasher.appendLine(w.buf, head, q.encoder.buf)
		if w.config.Mirror != nil {
			w.entries = append(w.entries, Entry{head.Seq, q.record, prev, head.Hash})
		}
	}
	if err := w.put(w.buf, head); err != nil {
		w.entries = w.entries[:kept]
		return err
	}
	return nil
}

// note writes a record of the log's own.
func (w *writer) note(r Record) error {
	r.Time, r.FrontEnd, r.Result = w.config.Now(), FrontEndDaemon, ResultOK
	q := request{record: r}
	if err := q.encode(); err != nil {
		return err
	}
	line, head := w.hasher.appendLine(nil, w.last, q.encoder.buf)
	prev := w.last.Hash
	if err := w.put(line, head); err != nil {
		return err
	}
	if w.config.Mirror != nil {
		w.entries = append(w.entries, Entry{head.Seq, q.record, prev, head.Hash})
	}
	return nil
}

// put appends whole lines to the file, all or none.
func (w *writer) put(lines []byte, head Head) error {
	if _, err := w.file.Write(lines); err != nil {
		w.torn = true
		err = fmt.Errorf("audit: the record is not in the log, and the next one tries again: %w", err)
		return errors.Join(err, w.cut())
	}
	w.size += int64(len(lines))
	w.setHead(head)
	return nil
}

func (w *writer) setHead(head Head) {
	w.last = head
	w.mu.Lock()
	w.head = head
	w.mu.Unlock()
}

// cut removes what a failed write has left.
func (w *writer) cut() error {
	if !w.torn {
		return nil
	}
	if err := w.file.Truncate(w.size); err != nil {
		return fmt.Errorf("audit: cannot cut half a line off: %w", err)
	}
	w.torn = false
	return nil
}

func (w *writer) setTrouble(err error) {
	w.mu.Lock()
	w.trouble = err
	w.mu.Unlock()
}

// mirror hands on what was written since it was called last.
func (w *writer) mirror() {
	for i := range w.entries {
		w.config.Mirror(w.entries[i])
	}
	clear(w.entries)
	w.entries = w.entries[:0]
}

// shut makes all durable and closes everything, after run has ended.
func (w *writer) shut() error {
	var err error
	if w.file != nil {
		err = w.flush()
		err = errors.Join(err, w.file.Close())
	}
	w.timer.Stop()
	w.folder.close()
	return err
}

// stamp is a time as it stands in names of files.
func stamp(t time.Time) string { return t.UTC().Format("20060102T150405.000000000Z") }
