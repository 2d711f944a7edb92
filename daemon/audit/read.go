package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Query chooses lines. Members that are zero choose all.
type Query struct {
	// After leaves out the lines up to this number. With the number of the last line of a page,
	// it gives the next page.
	After uint64
	// Since and Until bound the time: not before Since, and before Until.
	Since, Until time.Time
	// User, Operation and Key must be what the line has. Operation may be one of the log's own.
	User, Operation, Key string
	// Limit is the most lines that are given: the first ones, or if Last is set, the last ones. Then
	// all of them are held in memory until the end of the log is reached.
	Limit int
	Last  bool
}

func (q *Query) matches(r *Record) bool {
	return (q.Since.IsZero() || !r.Time.Before(q.Since)) &&
		(q.Until.IsZero() || r.Time.Before(q.Until)) &&
		(q.User == "" || r.User == q.User) &&
		(q.Operation == "" || r.Operation == q.Operation) &&
		(q.Key == "" || r.Key == q.Key)
}

// Read gives the lines that a query chooses, oldest first. It can run while the log is written,
// and gives lines that are complete when it comes to them. It does not check the chain, but a line
// that isn't whole by itself is given as an error, after which the next line comes. Any other
// error is the last that is given.
//
// Entries share memory with each other: their UID and Policies must not be changed.
func Read(ctx context.Context, fsys fs.FS, q Query) iter.Seq2[Entry, error] {
	if q.Last && q.Limit > 0 {
		return last(ctx, fsys, q)
	}
	return func(yield func(Entry, error) bool) {
		list, err := numbers(fsys)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		r := &reader{query: q, lines: newLineReader(nil), yield: yield}
		if q.After > 0 {
			list = r.skip(fsys, list)
		}
		for _, number := range list {
			if !r.file(ctx, fsys, number) {
				return
			}
		}
	}
}

// last gives the last lines of a query, and errors at once.
func last(ctx context.Context, fsys fs.FS, q Query) iter.Seq2[Entry, error] {
	limit := q.Limit
	q.Limit, q.Last = 0, false
	return func(yield func(Entry, error) bool) {
		var ring []Entry
		next := 0
		for entry, err := range Read(ctx, fsys, q) {
			switch {
			case err != nil:
				if !yield(Entry{}, err) {
					return
				}
			case len(ring) < limit:
				ring = append(ring, entry)
			default:
				ring[next] = entry
				next = (next + 1) % limit
			}
		}
		for i := range ring {
			if !yield(ring[(next+i)%len(ring)], nil) {
				return
			}
		}
	}
}

type reader struct {
	query   Query
	lines   *lineReader
	hasher  hasher
	decoder decoder
	entry   Entry
	given   int
	yield   func(Entry, error) bool
}

// skip leaves out the files that are before query.After as a whole.
func (r *reader) skip(fsys fs.FS, list []int64) []int64 {
	for len(list) > 1 {
		first, err := r.first(fsys, list[1])
		if err != nil || first > r.query.After+1 {
			break
		}
		list = list[1:]
	}
	return list
}

// first gives the number of a file's first line.
func (r *reader) first(fsys fs.FS, number int64) (uint64, error) {
	file, err := fsys.Open(fileName(number))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	r.lines.reset(file)
	line, err := r.lines.next()
	if err != nil {
		return 0, err
	}
	l, err := r.hasher.open(line)
	return l.seq, err
}

// file gives the lines of a file, and false if no more are wanted.
func (r *reader) file(ctx context.Context, fsys fs.FS, number int64) bool {
	name := fileName(number)
	file, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true // deleted since it was listed, because it was old
	}
	if err != nil {
		r.yield(Entry{}, fmt.Errorf("audit: %w", err))
		return false
	}
	defer file.Close()
	r.lines.reset(file)
	for n := 1; ; n++ {
		if n%1024 == 1 && ctx.Err() != nil {
			r.yield(Entry{}, context.Cause(ctx))
			return false
		}
		line, err := r.lines.next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil && !errors.Is(err, errLong) {
			r.yield(Entry{}, fmt.Errorf("audit: %w", err))
			return false
		}
		if err == nil {
			err = r.line(line)
		}
		switch {
		case err != nil:
			if !r.yield(Entry{}, &Fault{File: name, Line: n, Problem: err.Error()}) {
				return false
			}
		case r.entry.Seq > r.query.After && r.query.matches(&r.entry.Record):
			r.given++
			if !r.yield(r.entry, nil) || r.given == r.query.Limit {
				return false
			}
		}
	}
}

// line reads a line into entry.
func (r *reader) line(line []byte) error {
	l, err := r.hasher.open(line)
	if err != nil {
		return err
	}
	r.entry.Seq, r.entry.Prev, r.entry.Hash = l.seq, l.prev, l.hash
	return r.decoder.record(l.members, &r.entry.Record)
}
