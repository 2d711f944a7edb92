package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// What [Open] and [Log.Append] return, to be found with errors.Is.
var (
	// ErrInUse is for a folder that another log is open in.
	ErrInUse = errors.New("audit: the log is in use")
	// ErrClosed is for a log after [Log.Close].
	ErrClosed = errors.New("audit: the log is closed")
)

// SyncPolicy says when lines are made to outlast a power failure. Whatever it is, lines outlast
// the end of the process from the moment that [Log.Append] has returned.
type SyncPolicy string

// The policies. The empty one is SyncInterval.
const (
	SyncAlways   SyncPolicy = "always"   // before Append returns
	SyncInterval SyncPolicy = "interval" // within syncDelay after Append has returned
	SyncNever    SyncPolicy = "never"    // when the kernel gets round to it
)

// syncDelay is the time that SyncInterval lets lines collect in.
const syncDelay = time.Second

// DefaultMaxSize is the size of a file that ends it, in bytes, where [Config] names none.
const DefaultMaxSize = 64 << 20

const minMaxSize = 4 << 10

// Config says where a log is and how it is kept. Dir is all that it needs.
type Config struct {
	// Dir is the log's folder. It is made if it is not there, for this user alone; nobody else
	// may be able to write to it.
	Dir string
	// MaxSize is how many bytes a file gets before the next one begins, 4 KiB or more; 0 means
	// DefaultMaxSize. A file with a single record can be larger.
	MaxSize int64
	// Keep is how many files are kept, the current one included; 0 means all.
	Keep int
	Sync SyncPolicy
	// Mirror, if not nil, gets each line after it was written, the log's own ones as well, in
	// their order. It must return soon, for the log waits for it, must not call the log's
	// methods, and must not change what it gets.
	Mirror func(Entry)
	// Log gets what no caller of Append hears of. Nil means nowhere.
	Log *slog.Logger
	// Now is the clock for records that come without a time. Nil means time.Now.
	Now func() time.Time

	wrap func(file) file // for tests
}

func (c *Config) check() error {
	if c.MaxSize == 0 {
		c.MaxSize = DefaultMaxSize
	}
	if c.Sync == "" {
		c.Sync = SyncInterval
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.wrap == nil {
		c.wrap = func(f file) file { return f }
	}
	switch {
	case c.MaxSize < minMaxSize:
		return fmt.Errorf("audit: a file of at most %d bytes is too small; give it %d or more", c.MaxSize, minMaxSize)
	case c.Keep < 0:
		return fmt.Errorf("audit: cannot keep %d files; 0 keeps all", c.Keep)
	case c.Sync != SyncAlways && c.Sync != SyncInterval && c.Sync != SyncNever:
		return fmt.Errorf("audit: unknown sync policy %q; use %q, %q or %q", c.Sync, SyncAlways, SyncInterval, SyncNever)
	}
	return nil
}

// Log is an open log. Its methods can be called from several goroutines at once.
type Log struct {
	config   Config
	queue    chan *request
	stop     chan struct{} // closed by Close
	finished chan struct{} // closed when the writer has ended
	requests sync.Pool
	writer   *writer
	once     sync.Once
	closeErr error

	mu      sync.Mutex // guards below
	head    Head       // of what is written
	trouble error      // of the last attempt to write
}

// request is a record on its way to the writer.
type request struct {
	record  Record
	encoder encoder
	durable bool
	done    chan error // has room for the answer
}

// Open opens the log in a folder, or begins one, and holds the folder until [Log.Close]. What a
// crash has left behind the last whole line goes to a file of its own, beside the one it was in.
// Open does not check the chain; see [Verify].
func Open(config Config) (*Log, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	folder, err := openFolder(config.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		config:   config,
		queue:    make(chan *request, 256),
		stop:     make(chan struct{}),
		finished: make(chan struct{}),
		requests: sync.Pool{New: func() any { return &request{done: make(chan error, 1)} }},
	}
	w := newWriter(l, folder)
	l.writer = w
	if err := w.resume(); err != nil {
		_ = w.shut()
		return nil, err
	}
	w.prune()
	w.mirror()
	go w.run()
	return l, nil
}

// Append writes a record. It returns when the record is in the file and, if durable or the
// policy asks for it, on the disk, together with those of others that came meanwhile. The record
// is the caller's again.
//
// An error means that the record is not in the log, or not for sure: it then may be in the file
// but not on the disk. The next Append tries again, and once it succeeds, the log says how many
// records it lost. See [Log.Err] for how things are.
//
// ctx bounds the wait, not the writing: if it ends first, Append returns an error that wraps its
// cause, while the record is still written. For records about a cancelled call, hand over
// [context.WithoutCancel] of its context.
func (l *Log) Append(ctx context.Context, r *Record, durable bool) error {
	if r.Operation == "" || own(r.Operation) {
		return fmt.Errorf("audit: operation %q is empty or the log's own; use another", r.Operation)
	}
	q := l.requests.Get().(*request)
	q.record, q.durable = *r, durable
	q.record.Version, q.record.File = 0, 0
	if q.record.Time.IsZero() {
		q.record.Time = l.config.Now()
	}
	if err := q.encode(); err != nil {
		return err
	}
	select {
	case l.queue <- q:
	default:
		select {
		case l.queue <- q:
		case <-l.stop:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("audit: the record is not written, as too many wait for the disk: %w", context.Cause(ctx))
		}
	}
	select {
	case err := <-q.done:
		l.requests.Put(q)
		return err
	case <-l.finished:
	case <-ctx.Done():
	}
	// Of several reasons to go on, take the answer.
	select {
	case err := <-q.done:
		return err
	case <-l.finished:
		return ErrClosed
	default:
		return fmt.Errorf("audit: the record still waits for the disk: %w", context.Cause(ctx))
	}
}

func (q *request) encode() error {
	if year := q.record.Time.UTC().Year(); year < 0 || year > 9999 {
		return fmt.Errorf("audit: RFC 3339 has no year %d", year)
	}
	q.encoder.buf = q.encoder.buf[:0]
	q.record.code(&q.encoder)
	return nil
}

// Head names the last line that is written. Kept in another place, it lets [Verify] find that
// the end of the log was cut off or replaced.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Err tells why records can't be written, or were not made durable, at present; nil if they are.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

// Close writes what waits, makes everything durable, and lets the folder go. Calls after the
// first one return the same.
func (l *Log) Close() error {
	l.once.Do(func() {
		close(l.stop)
		<-l.finished
		l.closeErr = l.writer.shut()
	})
	return l.closeErr
}
