package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"time"

	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

// challengeTime is how long a challenge can be answered.
const challengeTime = 5 * time.Minute

// maxChallenges bounds those that are open at once.
const maxChallenges = 4096

// challenge is a question that a token was asked. It is kept in memory: whoever asked must be asked again.
type challenge struct {
	question string
	expires  time.Time
}

// Challenge makes a question for a token that answers challenges (RFC 6287), in place of one from before. It can be answered once,
// until it expires.
func (s *Service) Challenge(ctx context.Context, serial string) (question string, expires time.Time, err error) {
	k, err := s.Token(ctx, serial)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("token %s: %w", serial, err)
	}
	suite, err := s.suite(k)
	if err != nil {
		return "", time.Time{}, err
	}
	question, now := suite.newQuestion(), s.cfg.Now()
	expires = now.Add(challengeTime)
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, c := range s.challenges {
		if !now.Before(c.expires) {
			delete(s.challenges, other)
		}
	}
	if len(s.challenges) >= maxChallenges {
		return "", time.Time{}, fmt.Errorf("%w: %d challenges are open", ErrTooMany, len(s.challenges))
	}
	s.challenges[serial] = challenge{question, expires}
	return question, expires, nil
}

type suite struct{ otp.Suite }

// suite is that of a token that can be asked by us.
func (s *Service) suite(k *store.Token) (suite, error) {
	if err := in(k, store.Assigned, store.Active); err != nil {
		return suite{}, err
	}
	if k.Params.Kind != otp.OCRA {
		return suite{}, fmt.Errorf("%w: token %s answers no challenges: it is a %s token", ErrState, k.Serial, k.Params.Kind)
	}
	parsed, err := otp.ParseSuite(k.Params.Suite)
	if err != nil {
		return suite{}, err
	}
	if parsed.PIN != "" || parsed.Session > 0 {
		return suite{}, fmt.Errorf("%w: token %s answers with a PIN or session information (%s), which nobody keeps here", ErrState, k.Serial, k.Params.Suite)
	}
	return suite{parsed}, nil
}

// letters are those of a challenge of letters and digits, without those that look alike.
const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// newQuestion makes a challenge of the length that the suite has (RFC 6287, section 5.1, QFxx).
func (s suite) newQuestion() string {
	set := "0123456789"
	switch s.Format {
	case 'A':
		set = letters
	case 'H':
		set = "0123456789ABCDEF"
	}
	question := make([]byte, s.Length)
	for i := range question {
		n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(set)))) // never fails
		question[i] = set[n.Int64()]
	}
	return string(question)
}

// Answer checks what a token answers to its challenge, which is void after a right answer, as is the counter. An assigned token becomes
// active. A wrong answer is an [ErrWrong], whatever the reason; Result has the reason.
func (s *Service) Answer(ctx context.Context, serial, code string) (result Result, err error) {
	code = otp.Clean(code)
	asked, open := s.takeChallenge(serial)
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		result = Result{Outcome: Wrong, Serial: serial}
		k, err := tx.Token(serial)
		if err != nil {
			return fmt.Errorf("token %s: %w", serial, err)
		}
		parsed, err := s.suite(k)
		if err != nil {
			return err
		}
		now := s.cfg.Now()
		if now.Before(k.LockedUntil) {
			result.Outcome, result.Until = Throttled, k.LockedUntil
			return nil
		}
		match, ok := otp.Match{}, false
		if open {
			if match, ok, err = s.answers(k, code, asked.question, now); err != nil {
				return err
			}
		}
		if !ok {
			s.miss(k, now)
			if d := s.cfg.Limits.delay(k.Failures); d > 0 {
				k.LockedUntil = now.Add(d)
			}
			result.Until = k.LockedUntil
			return tx.SaveToken(k)
		}
		if parsed.Counter {
			k.Next = match.Counter + 1
		}
		k.State, k.Failures, k.LockedUntil, k.LastUsed, k.Changed = store.Active, 0, time.Time{}, now, now
		result = Result{Outcome: Accepted, Serial: serial, Counter: match.Counter}
		return tx.SaveToken(k)
	})
	if open && (err != nil || result.Outcome != Accepted) {
		// A wrong answer may be mistyped; how often, the token's delays bound.
		s.mu.Lock()
		if _, again := s.challenges[serial]; !again {
			s.challenges[serial] = asked
		}
		s.mu.Unlock()
	}
	if err == nil && result.Outcome != Accepted {
		err = ErrWrong
	}
	return result, err
}

// takeChallenge takes a challenge, so that nobody else can answer it meanwhile.
func (s *Service) takeChallenge(serial string) (challenge, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.challenges[serial]
	delete(s.challenges, serial)
	return c, ok && s.cfg.Now().Before(c.expires)
}

func (s *Service) answers(k *store.Token, code, question string, now time.Time) (otp.Match, bool, error) {
	seed, err := s.cfg.Sealer.Open(k.Seed, k.Serial)
	if err != nil {
		return otp.Match{}, false, err
	}
	defer clear(seed)
	key, err := otp.NewOCRA(k.Params.Suite, seed)
	if err != nil {
		return otp.Match{}, false, err
	}
	return key.Scan(code, otp.Input{Counter: k.Next, Question: question, Time: now}, s.cfg.Limits.LookAhead, s.cfg.Limits.Window)
}
