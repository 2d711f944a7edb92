package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// resume opens the last file where its last whole line ends, or begins the first one.
func (w *writer) resume() error {
	root := w.folder.root
	list, err := numbers(root.FS())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		w.resumed = Head{}
		return w.create(1)
	}
	number := list[len(list)-1]
	name := fileName(number)
	end, err := findEnd(w.folder, number)
	if err != nil {
		return err
	}
	last := end.head
	for i := len(list) - 2; i >= 0 && last == (Head{}); i-- {
		// The file has no whole line, not even its first one, which hangs on the file before.
		before, err := findEnd(w.folder, list[i])
		if err != nil {
			return err
		}
		last = before.head
	}
	torn := ""
	if end.torn > 0 {
		if torn, err = w.moveAside(name, end); err != nil {
			return fmt.Errorf("audit: cannot move half a line out of %s: %w", name, err)
		}
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	w.resumed = last
	w.tail = tail{file: w.config.wrap(f), number: number, size: end.size, last: last, safeHead: last}
	w.setHead(last)
	if err := w.goOn(end, torn); err != nil {
		w.file.Close()
		w.file = nil
		return fmt.Errorf("audit: cannot go on with %s: %w", name, err)
	}
	return nil
}

// goOn makes a file that was opened again fit for new lines.
func (w *writer) goOn(end fileEnd, torn string) error {
	w.torn = end.torn > 0
	if err := w.cut(); err != nil {
		return err
	}
	if w.size == 0 {
		if err := w.header(); err != nil {
			return err
		}
	}
	if torn != "" {
		if err := w.note(Record{Operation: OpTorn, File: w.number, Detail: torn}); err != nil {
			return err
		}
	}
	// What was written before may have been left to the kernel.
	w.safe, w.unsure = 0, false
	return w.flush()
}

// fileEnd says how far the lines of a file go.
type fileEnd struct {
	head Head  // of the last whole line, zero if there is none
	size int64 // bytes up to its end
	torn int64 // bytes behind it
}

// findEnd finds the last line that holds by itself.
func findEnd(folder *folder, number int64) (fileEnd, error) {
	var end fileEnd
	file, err := folder.root.Open(fileName(number))
	if err != nil {
		return end, fmt.Errorf("audit: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return end, fmt.Errorf("audit: %w", err)
	}
	total := info.Size()
	// Most often it is the last one: look from behind, for a line and half of one.
	start := max(0, total-2*maxLine)
	part := make([]byte, total-start)
	if _, err := file.ReadAt(part, start); err != nil {
		return end, fmt.Errorf("audit: %w", err)
	}
	var h hasher
	if feed := bytes.LastIndexByte(part, '\n'); feed >= 0 {
		line := part[bytes.LastIndexByte(part[:feed], '\n')+1 : feed]
		if link, err := h.open(line); err == nil {
			size := start + int64(feed) + 1
			return fileEnd{Head{link.seq, link.hash}, size, total - size}, nil
		}
	}
	lines := newLineReader(io.NewSectionReader(file, 0, total))
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			end.torn = total - end.size
			return end, nil
		case errors.Is(err, errLong):
		case err != nil:
			return end, fmt.Errorf("audit: %w", err)
		default:
			if link, err := h.open(line); err == nil {
				end.head, end.size = Head{link.seq, link.hash}, lines.offset
			}
		}
	}
}

// moveAside copies what is behind the last whole line into a file of its own, durable, and says
// so in a sentence for the log.
func (w *writer) moveAside(name string, end fileEnd) (string, error) {
	from, err := w.folder.root.Open(name)
	if err != nil {
		return "", err
	}
	defer from.Close()
	side := name + ".torn-" + stamp(w.config.Now())
	to, err := w.folder.root.OpenFile(side, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, sum), io.NewSectionReader(from, end.size, end.torn))
	err = errors.Join(err, to.Sync(), to.Close(), w.folder.sync())
	if err != nil {
		return "", errors.Join(err, w.folder.root.Remove(side))
	}
	w.config.Log.Warn("audit: moved half a line aside", "file", side, "bytes", end.torn)
	return fmt.Sprintf("%d bytes behind number %d are moved to %s, SHA-256 %x", end.torn, end.head.Seq, side, sum.Sum(nil)), nil
}
