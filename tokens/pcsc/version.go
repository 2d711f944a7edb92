package pcsc

import (
	"errors"
	"fmt"
)

// The versions of the protocol that are known here.
const (
	major    = 4
	minMinor = 4
	maxMinor = 6
)

// version asks for a version, and returns the server's.
func (w wire) version(minor uint32) (serverMajor, serverMinor uint32, err error) {
	b, err := w.call(cmdVersion, structure(major, minor, 0), versionSize)
	if err != nil {
		return 0, 0, err
	}
	return field(b, 0), field(b, 4), status(b)
}

// negotiate agrees on a version, beginning with first (0 for the oldest), and returns it
// with the server's newest. A server that does not take what is asked for names its own
// and keeps the connection open.
func (w wire) negotiate(first uint32) (minor, server uint32, err error) {
	if first < minMinor || first > maxMinor {
		first = minMinor
	}
	serverMajor, server, err := w.version(first)
	if errors.Is(err, ErrStopped) {
		if serverMajor != major || server < minMinor {
			return 0, 0, fmt.Errorf("%w (it has %d:%d, wanted is %d:%d to %d:%d)", ErrVersion, serverMajor, server, major, minMinor, major, maxMinor)
		}
		// One that is newer than all we know may still take our newest.
		first = min(server, maxMinor)
		if serverMajor, server, err = w.version(first); errors.Is(err, ErrStopped) {
			return 0, 0, fmt.Errorf("%w (it has %d:%d and refuses %d:%d)", ErrVersion, serverMajor, server, major, first)
		}
	}
	if err != nil {
		return 0, 0, err
	}
	return first, server, nil
}
