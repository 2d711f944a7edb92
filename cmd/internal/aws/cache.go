package aws

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"
)

// early is how long before its end a session is not given out any more.
const early = 5 * time.Minute

// Cache keeps sessions, sealed, until they expire. The key is apart from them, where it does not outlive the login: a copied home, or
// a backup, has no session that can be used.
type Cache struct {
	dir string
	key []byte
}

// OpenCache uses files in dir, which are sealed with the key in keyFile. Both are made if they are not there.
func OpenCache(dir, keyFile string) (*Cache, error) {
	for _, d := range []string{dir, filepath.Dir(keyFile)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("aws: cache: %w", err)
		}
	}
	key, err := os.ReadFile(keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, chacha20poly1305.KeySize)
		_, _ = rand.Read(key) // never fails
		if err := writeNew(keyFile, key); err != nil {
			return nil, fmt.Errorf("aws: cache: %w", err)
		}
		// Another one may have been first.
		if key, err = os.ReadFile(keyFile); err != nil {
			return nil, fmt.Errorf("aws: cache: %w", err)
		}
	case err != nil:
		return nil, fmt.Errorf("aws: cache: %w", err)
	}
	if len(key) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("aws: cache: the key file %s has %d bytes, want %d: remove it, and a new one is made", keyFile, len(key), chacha20poly1305.KeySize)
	}
	return &Cache{dir, key}, nil
}

// Close forgets the key.
func (c *Cache) Close() { clear(c.key) }

// writeNew writes a file whole, unless it is there.
func writeNew(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return err
}

// replace writes a file whole, in the place of one that is there.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Lock keeps other processes from getting the same session, so that of many that need it one asks for a touch. It waits until ctx ends.
func (c *Cache) Lock(ctx context.Context, id string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, id+".lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("aws: cache: %w", err)
	}
	locked := make(chan error, 1)
	go func() { locked <- flock(f) }()
	select {
	case err := <-locked:
		if err != nil {
			return nil, errors.Join(fmt.Errorf("aws: cache: %w", err), f.Close())
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		// Whoever has it lets it go in the end; nobody waits for that here.
		go func() { _ = errors.Join(<-locked, f.Close()) }()
		return nil, context.Cause(ctx)
	}
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Load gives a session that is good for a while yet, or nil. What cannot be opened is not there: the key has changed with the login.
func (c *Cache) Load(id string, now time.Time) *Session {
	sealed, err := os.ReadFile(filepath.Join(c.dir, id+".session"))
	if err != nil || len(sealed) < chacha20poly1305.NonceSizeX {
		return nil
	}
	aead, err := chacha20poly1305.NewX(c.key)
	if err != nil {
		return nil
	}
	plain, err := aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], []byte(id))
	if err != nil {
		return nil
	}
	defer clear(plain)
	var s Session
	if json.Unmarshal(plain, &s) != nil || !now.Add(early).Before(s.Expires) {
		return nil
	}
	return &s
}

// Save keeps a session.
func (c *Cache) Save(id string, s *Session) error {
	plain, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("aws: cache: %w", err)
	}
	defer clear(plain)
	aead, err := chacha20poly1305.NewX(c.key)
	if err != nil {
		return fmt.Errorf("aws: cache: %w", err)
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	if err := replace(filepath.Join(c.dir, id+".session"), aead.Seal(nonce, nonce, plain, []byte(id))); err != nil {
		return fmt.Errorf("aws: cache: %w", err)
	}
	return nil
}

// Used says until when the codes of an account are spent: AWS takes none twice. It is zero if nothing is known.
func (c *Cache) Used(account string) time.Time {
	text, err := os.ReadFile(filepath.Join(c.dir, hashed(account)+".used"))
	if err != nil {
		return time.Time{}
	}
	t, _ := time.Parse(time.RFC3339, string(text)) // zero for what is no time
	return t
}

// Spend notes that a code is spent that is shown until then, before it is sent. It is false if that was noted before, by this process or
// another one: of many, one gets true.
func (c *Cache) Spend(ctx context.Context, account string, until time.Time) (bool, error) {
	unlock, err := c.Lock(ctx, hashed("codes of "+account))
	if err != nil {
		return false, err
	}
	defer unlock()
	if !until.After(c.Used(account)) {
		return false, nil
	}
	if err := replace(filepath.Join(c.dir, hashed(account)+".used"), []byte(until.UTC().Format(time.RFC3339))); err != nil {
		return false, fmt.Errorf("aws: cache: %w", err)
	}
	return true, nil
}
