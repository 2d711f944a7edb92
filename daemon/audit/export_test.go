package audit

// File is what the writer needs of a file.
type File = file

// Wrap puts something between the writer and its files.
func (c *Config) Wrap(wrap func(File) File) { c.wrap = wrap }

// MaxLine is the size of the longest line.
const MaxLine = maxLine

// AppendLine makes the line after a head.
func AppendLine(head Head, r Record) ([]byte, Head, error) {
	q := request{record: r}
	if err := q.encode(); err != nil {
		return nil, head, err
	}
	line, head := (&hasher{}).appendLine(nil, head, q.encoder.buf)
	return line, head, nil
}

// ParseLine reads a line without its line feed.
func ParseLine(line []byte) (Entry, error) {
	l, err := (&hasher{}).open(line)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Seq: l.seq, Prev: l.prev, Hash: l.hash}
	return e, (&decoder{}).record(l.members, &e.Record)
}

// Armed says whether the log has a timer.
func (l *Log) Armed() bool { return l.writer.armed.Load() }

// Seal makes a line of any members.
func Seal(head Head, members []byte) ([]byte, Head) {
	return (&hasher{}).appendLine(nil, head, members)
}
