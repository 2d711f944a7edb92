package hid

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// NewStream returns a device at the other end of a connection that carries whole
// reports one after another, with nothing between them. Read gives reports of
// inputSize, Write takes reports of outputSize bytes; a size below 1 means
// [DefaultReportSize]. At the key's side of the connection the two are swapped.
//
// The device owns conn. A report that arrives in pieces is put together, across
// deadlines, too. When the other side has hung up, Read gives [ErrGone], together with
// [io.ErrUnexpectedEOF] if it did so within a report. A report that could be sent
// only in part leaves the stream unusable, so the connection is closed and later calls
// give [ErrGone].
func NewStream(conn net.Conn, inputSize, outputSize int) Device {
	return &stream{
		connection: connection{conn: conn, output: reportSize(outputSize)},
		report:     make([]byte, reportSize(inputSize)),
	}
}

type stream struct {
	connection
	report []byte // the report that is being received, for Read alone
	have   int    // the bytes of it that are there
}

func (s *stream) Read(report []byte) (int, error) {
	if len(report) < len(s.report) {
		return 0, errShortBuffer
	}
	for s.have < len(s.report) {
		n, err := s.conn.Read(s.report[s.have:])
		s.have += n
		if err == nil || s.have == len(s.report) {
			continue
		}
		if errors.Is(err, io.EOF) && s.have > 0 && !s.closed.Load() {
			return 0, fmt.Errorf("%w: %w after %d of %d bytes", ErrGone, io.ErrUnexpectedEOF, s.have, len(s.report))
		}
		return 0, s.explain("read", err)
	}
	s.have = 0
	return copy(report, s.report), nil
}

func (s *stream) Write(report []byte) (int, error) {
	n, err := s.connection.Write(report)
	if err != nil && n > 0 {
		s.conn.Close()
	}
	return n, err
}

func (s *stream) ReportSizes() (input, output int) { return len(s.report), s.output }
