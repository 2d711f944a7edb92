package pcsc

import (
	"errors"
	"fmt"
)

// maxEntries bounds a list of states. Names of readers have room for 256.
const maxEntries = 512

// usualEntries is how long a list is before 4:6, in all releases. Distributions have built
// pcscd with longer ones.
const usualEntries = 16

// list asks for the readers, in whichever way the agreed version has. The turn is held.
func (s *Session) list(w wire) ([]Reader, error) {
	if s.minor >= 6 {
		readers, _, err := s.listSized(w)
		return readers, err
	}
	var b []byte
	var err error
	if s.entries > 0 {
		b, err = w.call(cmdStates, nil, s.entries*stateSize)
	} else if b, err = s.readMarked(w, cmdStates, versionSize, stateSize); err == nil {
		// How long the list is was decided when pcscd was compiled.
		s.entries = len(b) / stateSize
	}
	if err != nil {
		return nil, err
	}
	readers := parseStates(b)
	if len(readers) < usualEntries || s.entries != usualEntries || s.server < 6 {
		return readers, nil
	}
	// This server may have cut the list for an old client: be a new one.
	_, _, err = w.version(6)
	switch {
	case err == nil:
		s.minor = 6
		s.client.minor.Store(6)
		return s.list(w)
	case errors.Is(err, ErrStopped):
		_, _, err = w.version(s.minor)
	}
	return readers, err
}

// listSized is list since 4:6. While a wait is registered its notification may arrive in
// the middle; then notified is true, and there are no readers.
func (s *Session) listSized(w wire) (readers []Reader, notified bool, err error) {
	// The answer is a number of states, in 4 bytes, or 8 with a status. It is not needed:
	// the list shows its end by itself.
	size, err := s.readMarked(w, cmdStatesSize, 4+versionSize, 4)
	if err != nil {
		return nil, false, err
	}
	b, err := s.readMarked(w, cmdStatesArray, versionSize, waitSize, stateSize-waitSize)
	if err != nil || len(size) > 8 || len(b)%stateSize != 0 {
		return nil, err == nil, err
	}
	return parseStates(b), false, nil
}

// readMarked sends a request whose answer has an unknown length, and behind it one for the
// version, whose answer marks the end of the first. The mark is looked for where it can be:
// after first bytes, and then after each of the steps, again and again. Nothing behind it
// is read.
func (s *Session) readMarked(w wire, cmd command, first int, steps ...int) ([]byte, error) {
	ask := appendRequest(nil, cmd, nil, nil)
	ask = appendRequest(ask, cmdVersion, structure(major, s.minor, 0), nil)
	if _, err := w.Write(ask); err != nil {
		return nil, err
	}
	var b []byte
	for n, i := first, 0; len(b) <= maxEntries*stateSize; n, i = steps[i%len(steps)], i+1 {
		more, err := w.read(n)
		if err != nil {
			return nil, err
		}
		b = append(b, more...)
		// No reader's name begins with a byte 4.
		answer, mark := b[:len(b)-versionSize], b[len(b)-versionSize:]
		if field(mark, 0) == major && field(mark, 8) == uint32(success) {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("%w: list of readers without an end", ErrMalformed)
}
