package softkey

import "os"

// FailWrites makes the writes of a FileStore go through write and sync.
func (s *FileStore) FailWrites(write func(f *os.File, b []byte, at int64) (int, error), sync func(f *os.File) error) {
	s.write, s.sync = write, sync
}

// CachedKeys counts the parsed keys of credentials that live in their ids.
func (a *Authenticator) CachedKeys() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(len(a.keys.byID), len(a.keys.order))
}
