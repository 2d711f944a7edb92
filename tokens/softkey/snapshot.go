package softkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/fobd/fobd/ctap2"
)

// snapshotForm is how a snapshot begins; the name of the profile and the end of the line follow.
const snapshotForm = "fobd softkey snapshot 1 "

// MaxSnapshot is the longest snapshot that is restored, in bytes.
const MaxSnapshot = 64 << 20

// ErrSnapshot says that something is no snapshot, or not one of a key of this kind.
var ErrSnapshot = errors.New("softkey: bad snapshot")

// A snapshot is the line of [snapshotForm], the records as a Store has them, each after its length in
// four bytes, and the SHA-256 of all that.

func (a *Authenticator) snapshotHead() []byte {
	return []byte(snapshotForm + string(a.cfg.Profile) + "\n")
}

// snapshotRecords takes a snapshot apart.
func (a *Authenticator) snapshotRecords(data []byte) ([][]byte, error) {
	if len(data) > MaxSnapshot {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrSnapshot, MaxSnapshot)
	}
	line, _, ok := bytes.Cut(data, []byte("\n"))
	rest, head := bytes.CutPrefix(data, a.snapshotHead())
	switch {
	case !ok || !bytes.HasPrefix(line, []byte(snapshotForm)):
		return nil, fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	case !head:
		return nil, fmt.Errorf("%w: of profile %.32q", ErrSnapshot, line[len(snapshotForm):])
	}
	end := len(data) - sha256.Size
	if sum := sha256.Sum256(data[:max(0, end)]); len(rest) < sha256.Size || !bytes.Equal(data[end:], sum[:]) {
		return nil, fmt.Errorf("%w: it is damaged", ErrSnapshot)
	}
	rest = rest[:len(rest)-sha256.Size]
	var records [][]byte
	for len(rest) > 0 {
		if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, fmt.Errorf("%w: it is damaged", ErrSnapshot)
		}
		n := binary.BigEndian.Uint32(rest)
		records, rest = append(records, rest[4:4+n]), rest[4+n:]
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrSnapshot)
	}
	return records, nil
}

// Snapshot returns the whole state that lasts: secrets, counter, PIN, configuration, credentials, large
// blobs and fingers. What a power cycle clears is not in it, nor are the faults and the clock. Whoever
// has it has the key.
func (a *Authenticator) Snapshot() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	records, err := a.records()
	if err != nil {
		return nil, err
	}
	data := a.snapshotHead()
	for _, r := range records {
		data = append(binary.BigEndian.AppendUint32(data, uint32(len(r))), r...)
	}
	sum := sha256.Sum256(data)
	return append(data, sum[:]...), nil
}

// Restore puts the key back to a snapshot of a key of the same profile, as if it had been
// plugged in then: a command that waits for the person ends. It happens as a whole or, with an error,
// not at all, also in the Store. The signature counter may go back by it, as it never does otherwise:
// relying parties may take the key for a cloned one. A clone is a new key that is restored. The random
// numbers of a key with a Seed are the same each time that it was restored to the same snapshot.
func (a *Authenticator) Restore(data []byte) error {
	stored, err := a.snapshotRecords(data)
	if err != nil {
		return err
	}
	to := &Authenticator{cfg: a.cfg}
	for i, b := range stored {
		var r record
		err := ctap2.Unmarshal(b, &r)
		if err == nil {
			err = to.apply(&r)
		}
		if err != nil {
			return fmt.Errorf("%w: record %d: %w", ErrSnapshot, i, err)
		}
	}
	for _, c := range to.state.discoverable.list {
		if _, err := c.key(); err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
	}
	if a.cfg.Seed != nil {
		to.state.starts++
	}
	records, err := to.records()
	if err != nil {
		return err
	}
	defer a.interrupt()()
	if err := a.rewrite(records); err != nil {
		return err
	}
	a.state, a.keys = to.state, keyCache{}
	if a.cfg.Seed != nil {
		a.rand = rand.NewChaCha8(seed(a.cfg.Seed, a.state.starts))
	}
	a.powerUp()
	return nil
}

// rewrite replaces all that is stored.
func (a *Authenticator) rewrite(records [][]byte) error {
	if err := a.write(); err != nil {
		return fmt.Errorf("softkey: restore: %w", err)
	}
	if a.cfg.Store == nil {
		return nil
	}
	if err := a.cfg.Store.Rewrite(slices.Clone(records)); err != nil {
		return fmt.Errorf("softkey: restore: %w", err)
	}
	return nil
}
