package registry

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// Seed is a token as a vendor delivers it.
type Seed struct {
	Serial, Manufacturer, Model, Issuer string
	Params                              otp.Parameters
	Secret                              []byte
	Counter                             uint64
	Drift                               int64
	Starts, Expires                     time.Time
}

// Verdict is what became of a token of an import.
type Verdict string

// The verdicts.
const (
	Added       Verdict = "new"
	Known       Verdict = "known"       // with the same seed
	Conflicting Verdict = "conflicting" // the serial number is there with another seed
	Refused     Verdict = "refused"
)

// Line says what became of one token, and why.
type Line struct {
	Serial  string
	Verdict Verdict
	Reason  string
	// SameSeed is another token that has the same seed.
	SameSeed string
}

// ErrImport says that nothing was imported, for what the lines say.
var ErrImport = errors.New("registry: nothing was imported: a file is taken whole or not at all")

// errDry undoes an import that was only tried.
var errDry = errors.New("registry: only tried")

// ImportOptions say how tokens are imported.
type ImportOptions struct {
	// Dry only tries.
	Dry bool
	// Progress, if set, is called with how many of the new tokens are in the database, before all of them count.
	Progress func(done, of int)
}

// importPiece is how many tokens are added between two calls of Progress.
const importPiece = 1024

// Import adds tokens: all, or with an [ErrImport] none. There is a line for each.
func (s *Service) Import(ctx context.Context, seeds []Seed, o ImportOptions) (lines []Line, err error) {
	now := s.cfg.Now()
	// What takes time comes before the database is locked.
	made := make([]*store.Token, len(seeds))
	reasons := make([]string, len(seeds))
	serials, prints := make([]string, 0, len(seeds)), make([][]byte, 0, len(seeds))
	for i := range seeds {
		if made[i], err = s.make(&seeds[i], now); err != nil {
			reasons[i] = err.Error()
			continue
		}
		serials, prints = append(serials, made[i].Serial), append(prints, made[i].Fingerprint)
	}
	add := func(tx store.Tx) error {
		there, err := tx.Alike(serials, prints)
		if err != nil {
			return err
		}
		known := make(kin, len(there)+len(seeds))
		for _, k := range there {
			known.add(k)
		}
		lines = make([]Line, 0, len(seeds))
		fresh := make([]*store.Token, 0, len(seeds))
		bad := false
		for i, k := range made {
			if k == nil {
				lines = append(lines, Line{Serial: seeds[i].Serial, Verdict: Refused, Reason: reasons[i]})
				bad = true
				continue
			}
			line := known.judge(k)
			if line.Verdict == Added {
				fresh = append(fresh, k)
				known.add(k)
			}
			lines = append(lines, line)
			bad = bad || line.Verdict == Conflicting
		}
		switch {
		case bad:
			return ErrImport
		case o.Dry:
			return errDry
		}
		done := 0
		for piece := range slices.Chunk(fresh, importPiece) {
			if err := tx.AddTokens(piece...); err != nil {
				return err
			}
			if done += len(piece); o.Progress != nil {
				o.Progress(done, len(fresh))
			}
		}
		return nil
	}
	// Another daemon may add the same tokens at the same time: then they are known.
	for tries := 3; tries > 0; tries-- {
		if err = s.cfg.Store.Update(ctx, add); !errors.Is(err, store.ErrExists) {
			break
		}
	}
	if errors.Is(err, errDry) {
		err = nil
	}
	return lines, err
}

// make is a seed as a token of the registry.
func (s *Service) make(d *Seed, now time.Time) (*store.Token, error) {
	p := d.Params.Default()
	if err := errors.Join(p.Check(), otp.CheckSeed(d.Secret)); err != nil {
		return nil, err
	}
	print := s.cfg.Sealer.Fingerprint(d.Secret)
	serial := d.Serial
	if serial == "" {
		// An authenticator app has none. It is the same for the same seed.
		serial = fmt.Sprintf("%s%x", appPrefix, print[:6])
	}
	return &store.Token{
		Serial: serial, Manufacturer: d.Manufacturer, Model: d.Model, Issuer: d.Issuer, Params: p,
		Seed: s.cfg.Sealer.Seal(d.Secret, serial), Fingerprint: print, State: store.Imported,
		Next: d.Counter, Drift: d.Drift, Starts: d.Starts, Expires: d.Expires, Imported: now, Changed: now,
	}, nil
}

// appPrefix begins the serial numbers of authenticator apps, which have none of their own.
const appPrefix = "app-"

// kin finds tokens by serial number and by seed: "s" and the serial, or "f" and the fingerprint.
type kin map[string]*store.Token

func (m kin) add(k *store.Token) {
	m["s"+k.Serial] = k
	if print := "f" + string(k.Fingerprint); m[print] == nil || k.Serial < m[print].Serial {
		m[print] = k
	}
}

// judge says what becomes of a token.
func (m kin) judge(k *store.Token) Line {
	line := Line{Serial: k.Serial, Verdict: Added}
	if have := m["s"+k.Serial]; have != nil {
		line.Verdict = Known
		if subtle.ConstantTimeCompare(have.Fingerprint, k.Fingerprint) != 1 || have.Params != k.Params {
			line.Verdict, line.Reason = Conflicting, "the serial number is there with another seed or other parameters"
		}
		return line
	}
	if same := m["f"+string(k.Fingerprint)]; same != nil {
		line.SameSeed = same.Serial
	}
	return line
}
