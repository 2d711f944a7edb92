package softkey

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/crypto/chacha20poly1305"
)

// The state file is a header and then records, each
//
//	length                   4 bytes, big-endian, of nonce and sealed record
//	check                    4 bytes: CRC-32 (IEEE) of the record's number (8 bytes) and the length
//	nonce                   24 bytes
//	sealed record           the record and 16 bytes of tag
//
// sealed with XChaCha20-Poly1305. The additional data of a record is its number and
// the tag of the record before it (of the first: the header), so that no record can be taken out,
// put in, swapped or brought back. A record that is cut off at the end of the file is
// one that was never confirmed: power was lost while it was written. The check tells that
// from a damaged length.
const (
	fileMagic    = "fobd-softkey-1\n\x00"
	recordHead   = 8
	maxRecord    = 1 << 16
	maxStateFile = 1 << 30
)

// StateError says that a state file can't be used, and why.
type StateError struct {
	Path string
	Err  error
}

// Error implements error.
func (e *StateError) Error() string { return fmt.Sprintf("softkey: state file %s: %v", e.Path, e.Err) }

// Unwrap returns the reason.
func (e *StateError) Unwrap() error { return e.Err }

// Reasons of a [StateError].
var (
	ErrStateDamaged = errors.New("damaged, or sealed with another key")
	ErrStateLocked  = errors.New("in use by another process")
	ErrStateBroken  = errors.New("an earlier write failed; the state can't change until the key is loaded again")
)

// FileStore is a [Store] in a sealed file.
type FileStore struct {
	path    string
	aead    cipher.AEAD
	lock    *os.File // of the lock file, which stays when the state file is replaced
	file    *os.File
	size    int64 // of the confirmed records
	number  uint64
	lastTag []byte
	broken  bool
	// sync and write stand in for failures in tests.
	write func(f *os.File, b []byte, at int64) (int, error)
	sync  func(f *os.File) error
}

// KeyPath is where the key of a state file is, unless it comes from elsewhere.
func KeyPath(path string) string { return path + ".key" }

// OpenFile opens or makes the state file at path and its key at [KeyPath], both with mode 0600,
// and locks it for this process. The error is a [*StateError].
func OpenFile(path string) (*FileStore, error) {
	s := &FileStore{path: path, write: func(f *os.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at) }, sync: (*os.File).Sync}
	if err := s.open(); err != nil {
		s.Close()
		return nil, &StateError{path, err}
	}
	return s, nil
}

func (s *FileStore) open() (err error) {
	// A lock file of its own: the state file is replaced by Rewrite.
	if s.lock, err = os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := flock(s.lock); err != nil {
		return err
	}
	key, err := s.key()
	if err != nil {
		return err
	}
	defer clear(key)
	if s.aead, err = chacha20poly1305.NewX(key); err != nil {
		return err
	}
	s.file, err = os.OpenFile(s.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return s.Rewrite(nil)
	}
	return err
}

func flock(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	if err := raw.Control(func(fd uintptr) { locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) }); err != nil {
		return err
	}
	if errors.Is(locked, syscall.EWOULDBLOCK) {
		return ErrStateLocked
	}
	return locked
}

// key reads the sealing key, or makes it together with the state.
func (s *FileStore) key() ([]byte, error) {
	path := KeyPath(s.path)
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) == chacha20poly1305.KeySize:
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("its key file %s has %d bytes, want %d", path, len(key), chacha20poly1305.KeySize)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if _, err := os.Stat(s.path); err == nil {
		return nil, fmt.Errorf("its key file %s is missing", path)
	}
	key = make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, replaceFile(path, key)
}

// replaceFile writes a file so that after a crash there is the old one or the new one.
func replaceFile(path string, contents []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(contents); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// additional is what a record is bound to.
func additional(number uint64, lastTag []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, number), lastTag...)
}

func check(number uint64, length uint32) uint32 {
	b := binary.BigEndian.AppendUint64(nil, number)
	return crc32.ChecksumIEEE(binary.BigEndian.AppendUint32(b, length))
}

// seal appends a record in its stored form, and returns its tag.
func (s *FileStore) seal(dst, plain []byte, number uint64, lastTag []byte) (out, tag []byte, err error) {
	if len(plain) > maxRecord {
		return nil, nil, fmt.Errorf("record of %d bytes", len(plain))
	}
	var nonce [chacha20poly1305.NonceSizeX]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, nil, err
	}
	length := uint32(len(nonce) + len(plain) + s.aead.Overhead())
	dst = binary.BigEndian.AppendUint32(dst, length)
	dst = binary.BigEndian.AppendUint32(dst, check(number, length))
	dst = append(dst, nonce[:]...)
	dst = s.aead.Seal(dst, nonce[:], plain, additional(number, lastTag))
	return dst, bytes.Clone(dst[len(dst)-s.aead.Overhead():]), nil
}

// Load implements [Store].
func (s *FileStore) Load(apply func(record []byte) error) error {
	if err := s.load(apply); err != nil {
		return &StateError{s.path, err}
	}
	return nil
}

func (s *FileStore) load(apply func(record []byte) error) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxStateFile {
		return fmt.Errorf("%d bytes are too many", info.Size())
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, info.Size()), 1<<16)
	magic := make([]byte, len(fileMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != fileMagic {
		return errors.New("not a state file")
	}
	s.size, s.number, s.lastTag = int64(len(fileMagic)), 0, []byte(fileMagic)
	buf := make([]byte, 0, 4096)
	for {
		var head [recordHead]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break // the end, or a record that was cut off
		} else if err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(head[:])
		n := int(length)
		least := chacha20poly1305.NonceSizeX + s.aead.Overhead()
		if binary.BigEndian.Uint32(head[4:]) != check(s.number, length) || n < least || n > least+maxRecord {
			if s.zeroTail(info.Size()) {
				break
			}
			return fmt.Errorf("record %d: %w", s.number, ErrStateDamaged)
		}
		if int64(n) > info.Size()-s.size-recordHead {
			break // cut off
		}
		sealed := append(buf[:0], make([]byte, n)...)
		if _, err := io.ReadFull(r, sealed); err != nil {
			return err
		}
		plain, err := s.aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], additional(s.number, s.lastTag))
		if err != nil {
			if s.size+recordHead+int64(n) == info.Size() && s.number > 0 {
				break // the last one, of full length but not all of it written
			}
			return fmt.Errorf("record %d: %w", s.number, ErrStateDamaged)
		}
		err = apply(plain)
		clear(plain)
		if err != nil {
			return err
		}
		s.size += recordHead + int64(n)
		s.number++
		s.lastTag = bytes.Clone(sealed[n-s.aead.Overhead():])
	}
	if s.number == 0 && s.size != info.Size() {
		// The first record came with the file, in one rename: no crash cuts it off, and a
		// fresh key must not take the place of what is left.
		return fmt.Errorf("record 0: %w", ErrStateDamaged)
	}
	// What is after the last whole record must not become part of the next.
	if s.size != info.Size() {
		if err := s.file.Truncate(s.size); err != nil {
			return err
		}
		return s.sync(s.file)
	}
	return nil
}

// zeroTail says whether the rest of the file is zero: a file system may have made the
// file longer before the power was lost.
func (s *FileStore) zeroTail(end int64) bool {
	if end-s.size > recordHead+maxRecord+chacha20poly1305.NonceSizeX+int64(s.aead.Overhead()) {
		return false
	}
	rest := make([]byte, end-s.size)
	n, err := s.file.ReadAt(rest, s.size)
	return err == nil && len(bytes.Trim(rest[:n], "\x00")) == 0
}

// Append implements [Store]: one write and one fsync.
func (s *FileStore) Append(record []byte) error {
	if s.broken {
		return &StateError{s.path, ErrStateBroken}
	}
	b, tag, err := s.seal(nil, record, s.number, s.lastTag)
	if err != nil {
		return &StateError{s.path, err}
	}
	if _, err = s.write(s.file, b, s.size); err == nil {
		err = s.sync(s.file)
	}
	if err != nil {
		// What of it is on the disk is unknown. Take it back; if that fails too,
		// nothing may follow it.
		if undo := s.file.Truncate(s.size); undo != nil {
			s.broken = true
		} else if undo := s.sync(s.file); undo != nil {
			s.broken = true
		}
		return &StateError{s.path, err}
	}
	s.size += int64(len(b))
	s.number++
	s.lastTag = tag
	return nil
}

// Rewrite implements [Store]: a new file takes the old one's place.
func (s *FileStore) Rewrite(records [][]byte) error {
	b, number, tag := []byte(fileMagic), uint64(0), []byte(fileMagic)
	var err error
	for _, r := range records {
		if b, tag, err = s.seal(b, r, number, tag); err != nil {
			return &StateError{s.path, err}
		}
		number++
	}
	if err := replaceFile(s.path, b); err != nil {
		return &StateError{s.path, err}
	}
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		s.broken = true // the open file is not the one at path any more
		return &StateError{s.path, err}
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.size, s.number, s.lastTag = f, int64(len(b)), number, tag
	return nil
}

// Close implements [Store] and lets other processes have the file.
func (s *FileStore) Close() error {
	s.broken = true
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
