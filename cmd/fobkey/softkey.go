package main

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// soft is a softkey with the person that the flags describe.
type soft struct {
	*softkey.Authenticator
	presence softkey.Presence // of a person who touches
	delay    time.Duration
	changing sync.Mutex // held while the faults are changed
}

func newAuthenticator(s settings, log *slog.Logger) (*soft, error) {
	cfg := softkey.Config{
		Profile:        softkey.Profile(s.profile),
		AlwaysUV:       s.alwaysUV,
		PostQuantum:    s.postQuantum,
		LargeBlobArray: s.blobArray,
		Seed:           s.seed,
		Attestation:    softkey.Attestation(s.attestation),
		Presence:       softkey.Presence(s.presence),
		Delay:          s.delay,
		Verification:   softkey.Verification(s.uv),
		OnPrompt: func(p *softkey.Prompt) {
			if p != nil {
				log.Info("the key blinks", "command", p.Command, "rp", p.RPID)
			}
		},
	}
	if s.ctap1Only {
		cfg.Profile = softkey.ProfileU2F
	}
	if s.noResetWindow {
		cfg.ResetWindow = -1
	}
	for _, name := range s.algorithms {
		alg, err := algorithm(name)
		if err != nil {
			return nil, err
		}
		cfg.Algorithms = append(cfg.Algorithms, alg)
	}
	if s.state != "" {
		store, err := softkey.OpenFile(s.state)
		if err != nil {
			return nil, err
		}
		cfg.Store = store
	}
	a, err := softkey.New(cfg)
	if err != nil {
		if cfg.Store != nil {
			_ = cfg.Store.Close()
		}
		return nil, err
	}
	k := &soft{Authenticator: a, presence: cfg.Presence, delay: cfg.Delay}
	if k.presence != softkey.PresenceDelay {
		k.presence, k.delay = softkey.PresenceGrant, 0
	}
	return k, nil
}

func algorithm(name string) (cose.Algorithm, error) {
	for _, alg := range softkey.Algorithms() {
		if alg.String() == name {
			return alg, nil
		}
	}
	return 0, fmt.Errorf("--algorithms is among %v, not %q", softkey.Algorithms(), name)
}

// powerCycle implements authenticator.
func (s *soft) powerCycle() { s.PowerCycle() }

// touch implements authenticator.
func (s *soft) touch(on bool) error {
	if on {
		return s.SetPresence(s.presence, s.delay)
	}
	return s.SetPresence(softkey.PresenceManual, 0)
}

// touchOnce implements authenticator.
func (s *soft) touchOnce() { s.Touch() }

// touchLong implements authenticator.
func (s *soft) touchLong() { s.LongTouch() }

// uv implements authenticator.
func (s *soft) uv(on bool) error {
	if on {
		return s.SetVerification(softkey.VerificationGrant)
	}
	return s.SetVerification(softkey.VerificationDeny)
}

// samples implements authenticator.
func (s *soft) samples(names []string) error {
	next := make([]ctap2.SampleStatus, len(names))
	for i, name := range names {
		status, ok := ctap2.ParseSampleStatus(name)
		if !ok {
			return fmt.Errorf("unknown sample %q", name)
		}
		next[i] = status
	}
	s.Samples(next...)
	return nil
}

// state implements authenticator.
func (s *soft) state() string {
	presence, delay, verification := s.Behaviour()
	words := fmt.Sprintf("presence=%s uv=%s blinks=%t", presence, verification, s.Waiting() != nil)
	if presence == softkey.PresenceDelay {
		words += fmt.Sprintf(" delay=%s", delay)
	}
	return words
}
