package registry

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// A backup is a gzip file of lines, each a JSON object with one member: "fobd" first (what it is), then "user", "token",
// "recovery" and "key" in any number, and "end" with how many there are and a keyed hash of all lines before.
// Seeds and private keys stay sealed in it.

const backupVersion = 1

// maxLine bounds a line of a backup, in bytes.
const maxLine = 64 << 10

type backupLine struct {
	Head     *backupHead         `json:"fobd,omitempty"`
	User     *store.User         `json:"user,omitempty"`
	Token    *store.Token        `json:"token,omitempty"`
	Recovery *store.RecoveryCode `json:"recovery,omitempty"`
	Key      *store.SigningKey   `json:"key,omitempty"`
	End      *backupEnd          `json:"end,omitempty"`
}

type backupHead struct {
	Version int       `json:"backup"`
	Taken   time.Time `json:"taken"`
}

type backupEnd struct {
	Lines int    `json:"lines"` // before this one
	Hash  []byte `json:"hash"`
}

// Contents says what a backup or a store has.
type Contents struct {
	Users, Tokens, Keys int
	// Taken is when a backup was made.
	Taken time.Time
	// Resync are tokens that must be enrolled again after a restoration, by two codes.
	Resync []string
}

// Errors of backups.
var (
	// ErrBackup says that a backup is damaged, cut off, or not one.
	ErrBackup = errors.New("registry: not a backup, or a damaged one")
	// ErrNotEmpty says that a backup is not put back over what is there.
	ErrNotEmpty = errors.New("registry: there are people or tokens already; a backup is only put back into an empty store, so that no counter goes back")
)

// Backup writes all that the store has at one moment.
func (s *Service) Backup(ctx context.Context, w io.Writer) (c Contents, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		z := gzip.NewWriter(w)
		out := &backupWriter{to: z, mac: s.backupMAC()}
		c = Contents{Taken: s.cfg.Now()}
		out.line(backupLine{Head: &backupHead{backupVersion, c.Taken}})
		users, err := tx.Users()
		if err != nil {
			return err
		}
		for _, u := range users {
			out.line(backupLine{User: u})
		}
		c.Users = len(users)
		err = eachToken(tx, func(k *store.Token) error {
			c.Tokens++
			out.line(backupLine{Token: k})
			return out.err
		})
		if err != nil {
			return err
		}
		codes, err := tx.RecoveryCodes("")
		if err != nil {
			return err
		}
		for _, code := range codes {
			out.line(backupLine{Recovery: code})
		}
		keys, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		for _, key := range keys {
			out.line(backupLine{Key: key})
		}
		c.Keys = len(keys)
		out.line(backupLine{End: &backupEnd{out.lines, out.mac.Sum(nil)}})
		return errors.Join(out.err, z.Close())
	})
	if err != nil {
		return Contents{}, fmt.Errorf("registry: backup: %w", err)
	}
	return c, nil
}

// eachToken visits all tokens, a page at a time.
func eachToken(tx store.Tx, visit func(*store.Token) error) error {
	const page = 1000
	for after := ""; ; {
		list, err := tx.Tokens(store.Filter{After: after, Limit: page})
		if err != nil {
			return err
		}
		for _, k := range list {
			after = k.Serial
			if err := visit(k); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// backupMAC is keyed with what knows seeds again, so that a backup of another store is told from ours.
func (s *Service) backupMAC() hash.Hash {
	return hmac.New(sha256.New, s.cfg.Sealer.Fingerprint([]byte("backup")))
}

type backupWriter struct {
	to    io.Writer
	mac   hash.Hash
	lines int
	err   error
}

func (w *backupWriter) line(l backupLine) {
	if w.err != nil {
		return
	}
	data, err := json.Marshal(l)
	if err == nil {
		data = append(data, '\n')
		w.mac.Write(data)
		_, err = w.to.Write(data)
	}
	w.lines++
	w.err = err
}

// readBackup gives the lines of a backup, in their order, after it was checked from beginning to end.
func (s *Service) readBackup(data []byte) (lines []backupLine, taken time.Time, err error) {
	// The first time nothing is kept: a few bytes that nobody has vouched for can be much when they are unpacked.
	if err := s.eachLine(data, func(backupLine) {}); err != nil {
		return nil, taken, err
	}
	err = s.eachLine(data, func(l backupLine) { lines = append(lines, l) })
	if err != nil {
		return nil, taken, err
	}
	return lines, lines[0].Head.Taken, nil
}

// eachLine visits the lines of a backup, and says behind the last one whether it is what was written.
func (s *Service) eachLine(data []byte, visit func(backupLine)) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrBackup, why) }
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return bad("it is not compressed by gzip")
	}
	in := bufio.NewScanner(z)
	in.Buffer(make([]byte, 4096), maxLine)
	mac := s.backupMAC()
	for n := 0; in.Scan(); n++ {
		var l backupLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return bad(fmt.Sprintf("line %d cannot be read", n+1))
		}
		switch {
		case n == 0 && (l.Head == nil || l.Head.Version != backupVersion):
			return bad("it does not begin as one of this version")
		case n > 0 && l.End != nil:
			if l.End.Lines != n || !hmac.Equal(l.End.Hash, mac.Sum(nil)) {
				return bad("it was changed, or was made with another key file")
			}
			if in.Scan() || in.Err() != nil {
				return bad("it goes on after its end")
			}
			return nil
		}
		mac.Write(in.Bytes())
		mac.Write([]byte{0x0a})
		visit(l)
	}
	return bad("it is cut off")
}

// Restore puts a backup into an empty store, whole or not at all. The error is an [ErrBackup] or an [ErrNotEmpty].
//
// What was used after the backup is not known. So that no code is taken twice, time tokens go on with the next step
// from now; an active counter token is only assigned afterwards, until it is enrolled again by two codes, and recovery codes are void.
func (s *Service) Restore(ctx context.Context, data []byte) (c Contents, err error) {
	lines, taken, err := s.readBackup(data)
	if err != nil {
		return Contents{}, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		c = Contents{Taken: taken}
		users, err := tx.Users()
		if err != nil {
			return err
		}
		tokens, err := tx.Tokens(store.Filter{Limit: 1})
		if err != nil {
			return err
		}
		if len(users)+len(tokens) > 0 {
			return ErrNotEmpty
		}
		now := s.cfg.Now()
		var list []*store.Token
		for _, l := range lines {
			switch {
			case l.User != nil:
				c.Users++
				err = tx.SaveUser(l.User)
			case l.Token != nil:
				c.Tokens++
				if err = s.openable(l.Token); err == nil && s.forward(l.Token, now) {
					c.Resync = append(c.Resync, l.Token.Serial)
				}
				list = append(list, l.Token)
			case l.Key != nil:
				c.Keys++
				err = tx.SaveSigningKey(l.Key)
			}
			if err != nil {
				return err
			}
		}
		return tx.AddTokens(list...)
	})
	if err != nil {
		return Contents{}, fmt.Errorf("registry: nothing was restored: %w", err)
	}
	return c, nil
}

// forward brings a token of a backup to where no code from before now is taken. It says whether that needs two codes.
func (s *Service) forward(k *store.Token, now time.Time) (resync bool) {
	switch k.Params.Kind {
	case otp.TOTP, otp.Steam:
		if _, last, ok := s.span(k, now, s.cfg.Limits.Window, s.cfg.Limits.Window); ok {
			k.Next = max(k.Next, last+1)
		}
	case otp.HOTP, otp.OCRA:
		if k.State == store.Active {
			k.State = store.Assigned
			return true
		}
	}
	return false
}

// openable fails unless a token's seed can be opened with the keys that are there.
func (s *Service) openable(k *store.Token) error {
	if k.Credential != nil {
		return nil
	}
	seed, err := s.cfg.Sealer.Open(k.Seed, k.Serial)
	clear(seed)
	return err
}

// Check looks at all that the store has: the database itself, and whether each seed can be opened.
func (s *Service) Check(ctx context.Context) (c Contents, err error) {
	if err := s.cfg.Store.Check(ctx); err != nil {
		return c, err
	}
	var errs []error
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		c, errs = Contents{}, nil
		users, err := tx.Users()
		if err != nil {
			return err
		}
		c.Users = len(users)
		keys, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		c.Keys = len(keys)
		return eachToken(tx, func(k *store.Token) error {
			c.Tokens++
			if err := s.openable(k); err != nil && len(errs) < maxErrors {
				errs = append(errs, err)
			}
			return nil
		})
	})
	return c, errors.Join(append(errs, err)...)
}

// maxErrors bounds how many tokens a check names.
const maxErrors = 100

// CheckBackup looks at a backup without putting it anywhere.
func (s *Service) CheckBackup(data []byte) (c Contents, err error) {
	lines, taken, err := s.readBackup(data)
	c.Taken = taken
	var errs []error
	for _, l := range lines {
		switch {
		case l.User != nil:
			c.Users++
		case l.Token != nil:
			c.Tokens++
			if err := s.openable(l.Token); err != nil && len(errs) < maxErrors {
				errs = append(errs, err)
			}
		case l.Key != nil:
			c.Keys++
		}
	}
	return c, errors.Join(append(errs, err)...)
}

// Reseal seals anew what was sealed with another key than the first, and says how many that were.
func (s *Service) Reseal(ctx context.Context) (n int, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		n = 0
		keys, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		for _, k := range keys {
			fresh, err := s.resealed(k.Private, signingPlace+k.ID)
			if err != nil {
				return err
			}
			if fresh != nil {
				n++
				k.Private = fresh
				if err := tx.SaveSigningKey(k); err != nil {
					return err
				}
			}
		}
		return eachToken(tx, func(k *store.Token) error {
			if k.Credential != nil {
				return nil
			}
			fresh, err := s.resealed(k.Seed, k.Serial)
			if err != nil || fresh == nil {
				return err
			}
			n++
			return tx.Reseal(k.Serial, fresh)
		})
	})
	if err != nil {
		return 0, fmt.Errorf("registry: nothing was sealed anew: %w", err)
	}
	return n, nil
}

// resealed is nil for what is sealed with the first key.
func (s *Service) resealed(sealed []byte, place string) ([]byte, error) {
	if !s.cfg.Sealer.Stale(sealed) {
		return nil, nil
	}
	secret, err := s.cfg.Sealer.Open(sealed, place)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return s.cfg.Sealer.Seal(secret, place), nil
}
