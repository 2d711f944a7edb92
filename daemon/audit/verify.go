package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

// Report is what [Verify] found.
type Report struct {
	// Files and Lines are how many are whole, up to the fault if there is one.
	Files int    `json:"files"`
	Lines uint64 `json:"lines"`
	// FirstSeq is the number of the first line that is left, First its time.
	FirstSeq uint64    `json:"firstSeq"`
	First    time.Time `json:"first,omitzero"`
	// Head is the last whole line, Last its time.
	Head Head      `json:"head"`
	Last time.Time `json:"last,omitzero"`
	// Dropped is how many files in front of the first one were deleted, as the log itself says,
	// because only so many are kept. The chain is checked from the first one that is left.
	Dropped int64 `json:"dropped,omitempty"`
	// Torn counts the times that bytes had to be moved out of the log, Gaps those that records
	// could not be written. The log's own records say more: see [OpTorn] and [OpGap].
	Torn int `json:"torn,omitempty"`
	Gaps int `json:"gaps,omitempty"`
	// Unfinished is how many bytes stand behind the last line: one that is being written just
	// now, or that a crash has torn. The next Open moves them aside.
	Unfinished int64 `json:"unfinished,omitempty"`
	// Fault is the first thing that is wrong, nil if nothing is.
	Fault *Fault `json:"fault,omitempty"`
}

// Fault is a place where a log is not what was written.
type Fault struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // counts from 1; 0 for the file as such
	// Seq is the number that was expected there, 0 if none was.
	Seq     uint64 `json:"seq,omitempty"`
	Problem string `json:"problem"`
}

// Error gives file:line and the problem.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return fmt.Sprintf("audit: %s: %s", f.File, f.Problem)
	}
	return fmt.Sprintf("audit: %s:%d: %s", f.File, f.Line, f.Problem)
}

// Verify checks a log's chain from its first line to its last, in constant memory. It can run
// while the log is written. Only if it is told heads that were kept elsewhere, see [Log.Head],
// it can find that the end was cut off, or that someone made a new chain. Heads with number 0
// are ignored.
//
// A fault is returned as an error that is a [*Fault], too. Other errors mean that the log could
// not be read to its end, so that the report says nothing.
func Verify(ctx context.Context, fsys fs.FS, heads ...Head) (Report, error) {
	heads = slices.DeleteFunc(slices.Clone(heads), func(h Head) bool { return h.Seq == 0 })
	slices.SortFunc(heads, func(a, b Head) int { return cmp.Compare(a.Seq, b.Seq) })
	for tries := 10; ; tries-- {
		v := &verifier{heads: heads, lines: newLineReader(nil)}
		list, err := numbers(fsys)
		if err != nil {
			return v.report, err
		}
		if err = v.run(ctx, fsys, list); err == nil && v.report.Fault != nil {
			err = v.report.Fault
		}
		if err == nil || tries == 1 {
			return v.report, err
		}
		// It may look so because the log has begun a file meanwhile, or deleted one.
		if now, _ := numbers(fsys); slices.Equal(now, list) {
			return v.report, err
		}
	}
}

type verifier struct {
	report  Report
	heads   []Head // that are still to come
	lines   *lineReader
	hasher  hasher
	decoder decoder
	record  Record
	dropped int64 // the highest number that a line says is deleted
}

// run checks files, which must be all of the folder's.
func (v *verifier) run(ctx context.Context, fsys fs.FS, list []int64) error {
	if len(list) == 0 {
		return errors.New("audit: there is no log in this folder")
	}
	for i, number := range list {
		if i > 0 && number != list[i-1]+1 {
			v.fault(fileName(list[i-1]+1), 0, "the file is missing")
			return nil
		}
		file, err := fsys.Open(fileName(number))
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		err = v.file(ctx, file, number, i == len(list)-1)
		file.Close()
		if err != nil || v.report.Fault != nil {
			return err
		}
		v.report.Files++
	}
	if first := list[0]; first > 1 {
		if v.dropped < first-1 {
			v.fault(fileName(v.dropped+1), 0, "the file is missing, and no line says that it was deleted because it was old")
			return nil
		}
		v.report.Dropped = first - 1
	}
	if len(v.heads) > 0 {
		v.fault(fileName(list[len(list)-1]), 0, fmt.Sprintf("the end is cut off: the last line has number %d, line %d is expected", v.report.Head.Seq, v.heads[0].Seq))
	}
	return nil
}

func (v *verifier) fault(file string, line int, problem string) {
	if v.report.Fault == nil {
		v.report.Fault = &Fault{File: file, Line: line, Seq: v.expected(), Problem: problem}
	}
}

// expected is the number of the next line, 0 if it can be any.
func (v *verifier) expected() uint64 {
	if v.report.Lines == 0 {
		return 0
	}
	return v.report.Head.Seq + 1
}

// file checks all lines of a file.
func (v *verifier) file(ctx context.Context, r io.Reader, number int64, last bool) error {
	name := fileName(number)
	v.lines.reset(r)
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := v.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			switch {
			case last:
				v.report.Unfinished = int64(len(line))
			case len(line) > 0:
				v.fault(name, n, "the line is cut off")
			case n == 1:
				v.fault(name, 0, "the file is empty")
			}
			return nil
		case errors.Is(err, errLong):
			v.fault(name, n, err.Error())
			return nil
		case err != nil:
			return fmt.Errorf("audit: %w", err)
		}
		if problem := v.line(line, n, number); problem != "" {
			v.fault(name, n, problem)
			return nil
		}
	}
}

// line checks one line, the n-th of a file, and says what is wrong with it.
func (v *verifier) line(line []byte, n int, number int64) string {
	l, err := v.hasher.open(line)
	if err != nil {
		return err.Error()
	}
	if problem := v.place(l, number); problem != "" {
		return problem
	}
	if err := v.decoder.record(l.members, &v.record); err != nil {
		return err.Error()
	}
	switch r := &v.record; r.Operation {
	case OpBegin:
		switch {
		case n > 1:
			return "a file begins in the middle of another one"
		case r.Version != Version:
			return fmt.Sprintf("the file has version %d of the format, this program knows version %d", r.Version, Version)
		case r.File != number:
			return fmt.Sprintf("the file was %s when it was written", fileName(r.File))
		}
	case OpDrop:
		v.dropped = max(v.dropped, r.File)
	case OpTorn:
		v.report.Torn++
	case OpGap:
		v.report.Gaps++
	}
	if n == 1 && v.record.Operation != OpBegin {
		return "the first line of the file is missing"
	}
	head := Head{l.seq, l.hash}
	for len(v.heads) > 0 && v.heads[0].Seq <= l.seq {
		if want := v.heads[0]; want.Seq < l.seq {
			return fmt.Sprintf("line %d is expected, but the log begins with this line: older files are deleted", want.Seq)
		} else if want != head {
			return fmt.Sprintf("line %d is expected to have hash %s: the log was written anew", want.Seq, want.Hash)
		}
		v.heads = v.heads[1:]
	}
	if v.report.Lines == 0 {
		v.report.FirstSeq, v.report.First = l.seq, v.record.Time
	}
	v.report.Lines++
	v.report.Head, v.report.Last = head, v.record.Time
	return ""
}

// place checks that a line, which holds by itself, hangs on the one before.
func (v *verifier) place(l link, number int64) string {
	want := v.expected()
	if want == 0 {
		if number > 1 || l.seq == 1 && l.prev == (Hash{}) {
			return ""
		}
		if l.seq > 1 {
			return fmt.Sprintf("it has number %d: the lines before it are missing", l.seq)
		}
		return "it has a line before it, but is the first one"
	}
	switch {
	case l.seq > want:
		return fmt.Sprintf("it has number %d instead of %d: lines are missing or have changed places", l.seq, want)
	case l.seq < want:
		return fmt.Sprintf("it has number %d instead of %d: it is there twice or has changed its place", l.seq, want)
	case l.prev != v.report.Head.Hash:
		return "it does not hang on the line before: that one, or this one, was replaced"
	}
	return ""
}
