// Package registry knows people, their tokens for one-time codes and their security keys, which lie in a [store.Store]. It checks
// codes: it enrols tokens by two codes in a row, takes a code once, learns how a clock drifts, slows down who guesses, and follows
// a token from import to retirement.
//
// What says yes is an update of the store that is durable before the answer: a code is taken once, over restarts
// and by several daemons on one database.
package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// Limits say how a code is looked for and how guessing is slowed down. Zero members have defaults.
type Limits struct {
	// Window is how many time steps before and after a token's own time are accepted. Default: 1 (RFC 6238, section 5.2).
	Window uint64
	// LookAhead is how many counters ahead are accepted. Default: 10 (RFC 4226, section 7.4).
	LookAhead uint64
	// Resync is how many steps before and after, or counters ahead, two codes in a row are looked for. Default: 1000.
	Resync uint64
	// Tokens is how many a person can have. Default: 8.
	Tokens int
	// Free is how many wrong codes have no delay. Default: 3. Each one more doubles it, from a second to MaxDelay, 15 minutes by default.
	Free     int
	MaxDelay time.Duration
	// Lock is after how many wrong codes in a row a token is locked. Default: 20 (RFC 4226, section 7.3).
	Lock int
}

func (l *Limits) setDefaults() {
	for _, v := range []struct {
		limit *uint64
		to    uint64
	}{{&l.Window, 1}, {&l.LookAhead, 10}, {&l.Resync, 1000}} {
		if *v.limit == 0 {
			*v.limit = v.to
		}
	}
	for _, v := range []struct {
		limit *int
		to    int
	}{{&l.Tokens, 8}, {&l.Free, 3}, {&l.Lock, 20}} {
		if *v.limit == 0 {
			*v.limit = v.to
		}
	}
	if l.MaxDelay == 0 {
		l.MaxDelay = 15 * time.Minute
	}
}

// delay is how long nothing is looked at after so many wrong codes.
func (l Limits) delay(failures int) time.Duration {
	over := failures - l.Free
	if over <= 0 {
		return 0
	}
	if over > 20 {
		return l.MaxDelay
	}
	return min(time.Second<<(over-1), l.MaxDelay)
}

// Config says what a [Service] works with.
type Config struct {
	Store  store.Store
	Sealer *Sealer
	Limits Limits
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service checks codes. Its methods may be called from several goroutines.
type Service struct {
	cfg Config

	mu         sync.Mutex // guards challenges
	challenges map[string]challenge
}

// New returns a service.
func New(cfg Config) *Service {
	cfg.Limits.setDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, challenges: map[string]challenge{}}
}

// Errors of a service.
var (
	// ErrWrong is the one answer about a code that is not accepted: wrong, used before, too many wrong ones, a token that is not
	// active, a user who is not there. [Outcome] says which, for the audit log.
	ErrWrong = errors.New("registry: the code is not accepted; wait for the next one, and after several wrong ones a while longer")
	// ErrState says that a token is in a state in which this cannot be done.
	ErrState = errors.New("registry: not in this state")
	// ErrTooMany says that a person has as many tokens as may be.
	ErrTooMany = errors.New("registry: too many tokens")
)

// Outcome is what became of a code.
type Outcome string

// The outcomes.
const (
	Accepted  Outcome = "accepted"
	Wrong     Outcome = "wrong"
	Replayed  Outcome = "replayed"
	Throttled Outcome = "throttled"
	Unknown   Outcome = "unknown" // no such user, or no active token
)

// Result says what matched.
type Result struct {
	Outcome Outcome
	// Serial is the token, empty for a recovery code.
	Serial string
	// Counter is the counter or the time step that matched.
	Counter uint64
	// Drift is the token's, in steps, afterwards.
	Drift int64
	// Recovery says that it was a recovery code.
	Recovery bool
	// Until is when codes are looked at again, with Throttled and after wrong ones.
	Until time.Time
}

// span is where codes of a token are looked for around its own time, and where replays are. ok is false before
// its first step.
func (s *Service) span(k *store.Token, now time.Time, before, after uint64) (first, last uint64, ok bool) {
	if k.Params.Kind == otp.HOTP {
		return k.Next, k.Next + after, true
	}
	own, ok := k.Params.Step(now)
	if !ok {
		return 0, 0, false
	}
	switch {
	case k.Drift >= 0:
		own += uint64(k.Drift)
	case uint64(-k.Drift) > own:
		own = 0
	default:
		own -= uint64(-k.Drift)
	}
	return own - min(own, before), own + after, true
}

// open prepares a token's seed.
func (s *Service) open(k *store.Token) (*otp.Key, error) {
	seed, err := s.cfg.Sealer.Open(k.Seed, k.Serial)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return otp.NewKey(k.Params, seed)
}

// accepts says whether a token's codes count now.
func accepts(k *store.Token, now time.Time) bool { return HasCodes(k) && usable(k, now) }

// take sets a token to what comes after an accepted code.
func (s *Service) take(k *store.Token, at uint64, now time.Time) {
	k.Next = at + 1
	if k.Params.Kind != otp.HOTP {
		if step, ok := k.Params.Step(now); ok {
			k.Drift = int64(at) - int64(step)
		}
	}
	k.Failures, k.LockedUntil, k.LastUsed, k.Changed = 0, time.Time{}, now, now
}

// miss notes a wrong code.
func (s *Service) miss(k *store.Token, now time.Time) {
	k.Failures++
	k.Changed = now
	if k.Failures >= s.cfg.Limits.Lock && k.State == store.Active {
		k.State = store.Locked
	}
}

// Verify checks a code of a user, of whichever token of theirs, or a recovery code. When it returns without an error the code is
// spent, durably. A code that is not accepted is an [ErrWrong], whatever the reason; Result has the reason.
func (s *Service) Verify(ctx context.Context, user, code string) (result Result, err error) {
	code = otp.Clean(code)
	err = s.cfg.Store.Together(ctx, func(tx store.Tx) (err error) {
		result, err = s.verify(tx, user, code)
		return err
	})
	if err != nil {
		return Result{}, fmt.Errorf("registry: nothing was accepted: %w", err)
	}
	if result.Outcome != Accepted {
		return result, ErrWrong
	}
	return result, nil
}

func (s *Service) verify(tx store.Tx, name, code string) (Result, error) {
	now := s.cfg.Now()
	u, err := tx.User(name)
	if errors.Is(err, store.ErrNotFound) {
		s.waste(code)
		return Result{Outcome: Unknown}, nil
	}
	if err != nil {
		return Result{}, err
	}
	list, err := tx.Tokens(store.Filter{Owner: name})
	if err != nil {
		return Result{}, err
	}
	throttled := now.Before(u.LockedUntil)
	var hit *store.Token
	var at uint64
	replayed, looked := false, 0
	for _, k := range list {
		if !accepts(k, now) {
			continue
		}
		found, ok, err := s.shows(k, code, now)
		if err != nil {
			// One token that cannot be opened keeps nobody from using another.
			s.cfg.Log.Error("token", "serial", k.Serial, "error", err)
			continue
		}
		looked++
		switch {
		case ok && found < k.Next:
			replayed = true
		case ok && hit == nil:
			hit, at = k, found
		}
	}
	recovery, err := s.recovery(tx, name, code, now)
	if err != nil {
		return Result{}, err
	}
	if looked == 0 {
		s.waste(code)
	}
	switch {
	case throttled:
		return Result{Outcome: Throttled, Until: u.LockedUntil}, nil
	case hit != nil:
		s.take(hit, at, now)
		if err := tx.SaveToken(hit); err != nil {
			return Result{}, err
		}
		return Result{Outcome: Accepted, Serial: hit.Serial, Counter: at, Drift: hit.Drift}, s.used(tx, u, now)
	case recovery != nil:
		recovery.Used = now
		if err := tx.SaveRecoveryCode(recovery); err != nil {
			return Result{}, err
		}
		return Result{Outcome: Accepted, Recovery: true}, s.used(tx, u, now)
	case replayed:
		// Known to whoever has the token, or has seen it; no guess.
		return Result{Outcome: Replayed}, nil
	}
	u.Failures++
	if d := s.cfg.Limits.delay(u.Failures); d > 0 {
		u.LockedUntil = now.Add(d)
	}
	for _, k := range list {
		if accepts(k, now) {
			s.miss(k, now)
			if err := tx.SaveToken(k); err != nil {
				return Result{}, err
			}
		}
	}
	outcome := Wrong
	if looked == 0 {
		outcome = Unknown
	}
	return Result{Outcome: outcome, Until: u.LockedUntil}, tx.SaveUser(u)
}

// shows looks for a code of a token around its own counter or time.
func (s *Service) shows(k *store.Token, code string, now time.Time) (at uint64, ok bool, err error) {
	key, err := s.open(k)
	if err != nil {
		return 0, false, err
	}
	first, last, ok := s.span(k, now, s.cfg.Limits.Window, s.after(k))
	if !ok {
		return 0, false, nil
	}
	at, ok = key.Scan(code, first, last)
	return at, ok, nil
}

// after is how far ahead a code may be.
func (s *Service) after(k *store.Token) uint64 {
	if k.Params.Kind == otp.HOTP {
		return s.cfg.Limits.LookAhead
	}
	return s.cfg.Limits.Window
}

// used notes that a user was let in.
func (s *Service) used(tx store.Tx, u *store.User, now time.Time) error {
	u.Failures, u.LockedUntil, u.LastUsed = 0, time.Time{}, now
	return tx.SaveUser(u)
}

// waste takes the time that looking at a token takes, so that an answer does not tell who has one.
func (s *Service) waste(code string) {
	key, err := otp.NewKey(otp.Parameters{Kind: otp.TOTP}.Default(), make([]byte, 20))
	if err == nil {
		key.Scan(code, 1, 1+2*s.cfg.Limits.Window)
	}
}
