package audit

import (
	"bufio"
	"errors"
	"io"
)

// errLong is for lines that the log would not write. It can be read on behind them.
var errLong = errors.New("it is longer than any line of the log")

// lineReader reads lines in constant memory.
type lineReader struct {
	r      *bufio.Reader
	offset int64 // of the next line
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, maxLine)}
}

func (l *lineReader) reset(r io.Reader) {
	l.r.Reset(r)
	l.offset = 0
}

// next gives a line without its line feed, until the next call. At the end it gives io.EOF and
// what stands behind the last line feed.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.offset += int64(len(line))
	if err == nil {
		return line[:len(line)-1], nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.r.ReadSlice('\n')
		l.offset += int64(len(line))
	}
	if err != nil {
		return nil, err
	}
	return nil, errLong
}
