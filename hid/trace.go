package hid

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A trace is text. Its first line names the format and the report sizes, every other
// one an event: seconds since the beginning, what happened, and the report in hexadecimal
// digits without the zero bytes at its end.
//
//	fobd-trace 1 input=64 output=64
//	0.000104832 > ffffffff86000837d0a5c5e4b2f1
//	0.001512007 < ffffffff86001137d0a5c5e4b2f100000001020501020504
//	4.200000000 ! gone
//
// ">" goes to the device, "<" comes from it, and "!" is its end. Empty lines and those
// that begin with "#" say nothing. A trace holds all that crossed the wire, secrets
// among it.
const traceFormat = "fobd-trace 1"

// maxTraceLine bounds a line that is read: the largest report in digits, and more.
const maxTraceLine = 2*maxReport + 256

// maxTraceRecords bounds a trace that is read: an hour of a busy key.
const maxTraceRecords = 1 << 20

// ErrTrace says that a trace is malformed, or that a replay is not like it.
var ErrTrace = errors.New("hid: bad trace")

// TraceKind says what a record is.
type TraceKind byte

// The kinds of records.
const (
	TraceWrite TraceKind = '>' // a report to the device
	TraceRead  TraceKind = '<' // a report from the device
	TraceGone  TraceKind = '!' // the device went away
)

// TraceRecord is one event of a trace.
type TraceRecord struct {
	At     time.Duration // since the beginning
	Kind   TraceKind
	Report []byte // nil for TraceGone
}

// Trace is what passed between a host and a device.
type Trace struct {
	InputSize, OutputSize int
	Records               []TraceRecord
}

// Recorder is a [Device] that writes down what passes through it. Make one with
// [NewRecorder].
type Recorder struct {
	Device
	start time.Time

	mu   sync.Mutex // guards all below
	out  io.Writer
	line []byte
	gone bool
	err  error
}

// NewRecorder returns a device that does what device does and writes a trace to out,
// one line per Write on it. A failure to write does not disturb the device; it ends the
// trace, and Err tells. The recorder owns device but not out.
func NewRecorder(device Device, out io.Writer) *Recorder {
	input, output := device.ReportSizes()
	r := &Recorder{Device: device, start: time.Now(), out: out}
	_, r.err = fmt.Fprintf(out, "%s input=%d output=%d\n", traceFormat, input, output)
	return r
}

// Err returns the first failure to write the trace.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Read implements [Device].
func (r *Recorder) Read(report []byte) (int, error) {
	n, err := r.Device.Read(report)
	r.note(TraceRead, report[:n], err)
	return n, err
}

// Write implements [Device]. A report is in the trace even if it could not be sent.
func (r *Recorder) Write(report []byte) (int, error) {
	// It is written down first, so that its answer does not come before it.
	r.note(TraceWrite, report, nil)
	n, err := r.Device.Write(report)
	if err != nil {
		r.note(TraceWrite, nil, err)
	}
	return n, err
}

func (r *Recorder) note(kind TraceKind, report []byte, err error) {
	switch {
	case errors.Is(err, ErrGone):
		kind, report = TraceGone, nil
	case err != nil:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.gone {
		return
	}
	r.gone = kind == TraceGone
	r.line = appendRecord(r.line[:0], TraceRecord{time.Since(r.start), kind, report})
	_, r.err = r.out.Write(r.line)
}

func appendRecord(dst []byte, r TraceRecord) []byte {
	dst = fmt.Appendf(dst, "%d.%09d %c ", r.At/time.Second, r.At%time.Second, r.Kind)
	if r.Kind == TraceGone {
		return append(dst, "gone\n"...)
	}
	return append(hex.AppendEncode(dst, bytes.TrimRight(r.Report, "\x00")), '\n')
}

// WriteTo writes the trace in the form that [ReadTrace] reads.
func (t *Trace) WriteTo(w io.Writer) (int64, error) {
	b := fmt.Appendf(nil, "%s input=%d output=%d\n", traceFormat, t.InputSize, t.OutputSize)
	for _, r := range t.Records {
		b = appendRecord(b, r)
	}
	n, err := w.Write(b)
	return int64(n), err
}

// ReadTrace reads a trace. The error is [ErrTrace], with the number of the line that is
// wrong, or one of r's.
func ReadTrace(r io.Reader) (*Trace, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxTraceLine)
	var t Trace
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		var err error
		switch {
		case number == 1:
			err = t.parseHead(line)
		case line == "", line[0] == '#':
		case len(t.Records) == maxTraceRecords:
			err = errors.New("too many records")
		default:
			err = t.parseRecord(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrTrace, number, err)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: %w", ErrTrace, lines.Err())
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("hid: read trace: %w", err)
	}
	if t.InputSize == 0 {
		return nil, fmt.Errorf("%w: empty", ErrTrace)
	}
	return &t, nil
}

func (t *Trace) parseHead(line string) error {
	if n, err := fmt.Sscanf(line, traceFormat+" input=%d output=%d", &t.InputSize, &t.OutputSize); n != 2 || err != nil {
		return errors.New("not a trace")
	}
	for _, size := range []int{t.InputSize, t.OutputSize} {
		if size < 1 || size > maxReport {
			return fmt.Errorf("report size %d", size)
		}
	}
	return nil
}

func (t *Trace) parseRecord(line string) error {
	at, rest, _ := strings.Cut(line, " ")
	kind, data, _ := strings.Cut(rest, " ")
	elapsed, err := time.ParseDuration(at + "s")
	if err != nil || elapsed < 0 {
		return errors.New("bad time")
	}
	record := TraceRecord{At: elapsed}
	switch kind {
	case string(TraceGone):
		record.Kind = TraceGone
		if data != "gone" {
			return errors.New("bad end")
		}
	case string(TraceWrite), string(TraceRead):
		record.Kind = TraceKind(kind[0])
		size := t.OutputSize
		if record.Kind == TraceRead {
			size = t.InputSize
		}
		if hex.DecodedLen(len(data)) > size {
			return errors.New("report too long")
		}
		record.Report = make([]byte, size)
		if _, err := hex.Decode(record.Report, []byte(data)); err != nil {
			return errors.New("bad digits")
		}
	default:
		return errors.New("unknown kind of record")
	}
	t.Records = append(t.Records, record)
	return nil
}
