package audit

import (
	"errors"
	"fmt"
	"os"
)

// rotate begins the next file. If that can't be done, the old one grows beyond its size.
func (w *writer) rotate() error {
	// A line must not be on the disk before the one it hangs on.
	if err := w.flush(); err != nil {
		return err
	}
	old, kept := w.tail, len(w.entries)
	if err := w.create(old.number + 1); err != nil {
		w.tail = old
		w.setHead(old.last)
		w.entries = w.entries[:kept]
		w.config.Log.Error("audit: cannot begin a new file, the old one grows on", "file", fileName(old.number), "err", err)
		return nil
	}
	old.file.Close()
	w.prune()
	return nil
}

// create makes the next file and its first line, both durable.
func (w *writer) create(number int64) error {
	name := fileName(number)
	f, err := w.folder.root.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = errors.New("it is there already; move it away")
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("audit: cannot begin %s: %w", name, err)
	}
	w.tail = tail{file: w.config.wrap(f), number: number, last: w.last, safeHead: w.last}
	if err := w.header(); err != nil {
		// Nothing may hang on this line: the next attempt makes another one.
		err = errors.Join(err, w.file.Truncate(0), w.folder.root.Remove(name))
		w.file.Close()
		w.file = nil
		return err
	}
	return nil
}

// header writes the first line of a file.
func (w *writer) header() error {
	if err := w.note(Record{Operation: OpBegin, Version: Version, File: w.number}); err != nil {
		return err
	}
	w.begin = w.size
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.folder.sync(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// prune deletes the oldest files, after a line that says so is on the disk. What can't be
// deleted now is tried again with the next file.
func (w *writer) prune() {
	if err := w.tryPrune(); err != nil {
		w.config.Log.Error("audit: cannot delete old files", "err", err)
	}
}

func (w *writer) tryPrune() error {
	if w.config.Keep == 0 {
		return nil
	}
	list, err := numbers(w.folder.root.FS())
	if err != nil || len(list) <= w.config.Keep {
		return err
	}
	list = list[:len(list)-w.config.Keep]
	detail := fmt.Sprintf("%d files are kept", w.config.Keep)
	if err := w.note(Record{Operation: OpDrop, File: list[len(list)-1], Detail: detail}); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	// One after the other, so that no crash leaves a gap.
	for _, number := range list {
		if err := w.folder.root.Remove(fileName(number)); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if err := w.folder.sync(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	return nil
}
