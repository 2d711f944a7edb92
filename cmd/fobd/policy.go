package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/policy"
)

// newPolicy reads the rules that the configuration wants.
func newPolicy(cfg *config.Config, scope config.Scope) (*policy.Set, error) {
	return policy.New(policy.Config{
		Actions: daemon.Actions(), Owner: uint32(os.Geteuid()), OwnerRules: scope == config.User || os.Geteuid() == 0,
		Dir: cfg.Policy.Dir, NoDefault: !cfg.Policy.Defaults,
	})
}

// reload reads the rules again at each SIGHUP, until ctx ends. A broken file keeps those that hold.
func reload(ctx context.Context, rules *policy.Set, log *slog.Logger) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
		}
		if err := rules.Reload(); err != nil {
			log.Error("the policy is broken; the rules from before still hold", "error", err)
			notify(log, "STATUS=The policy is broken; the rules from before still hold")
			continue
		}
		log.Info("policy reloaded", "rules", len(rules.List()))
		notify(log, "STATUS=")
	}
}

// sessions tells the state of login sessions as systemd-logind writes it down (sd-login(3)). A state
// is remembered for a moment: a program can ask a thousand times a second.
type sessions struct {
	dir string

	mu    sync.Mutex // guards known
	known map[string]sessionState
}

type sessionState struct {
	policy.Session
	read time.Time
}

// fresh is how long a state is remembered.
const fresh = time.Second

func (s *sessions) state(id string) policy.Session {
	// The id came from the name of a cgroup.
	if id == "" || strings.ContainsAny(id, "/\x00") || strings.HasPrefix(id, ".") {
		return policy.Session{}
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.known[id]; ok && now.Sub(have.read) < fresh {
		return have.Session
	}
	if s.known == nil || len(s.known) > 1000 {
		s.known = map[string]sessionState{}
	}
	state := readSession(filepath.Join(s.dir, id))
	s.known[id] = sessionState{state, now}
	return state
}

func readSession(path string) (state policy.Session) {
	f, err := os.Open(path)
	if err != nil {
		return state
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch name {
		case "ACTIVE":
			state.Active = value == "1"
		case "SEAT":
			state.Local = value != ""
		case "REMOTE":
			state.Remote = value == "1"
		}
	}
	return state
}

// voucher asks polkit, on the bus that the daemon is on.
type voucher struct {
	server atomic.Pointer[vouching]
}

type vouching interface {
	Vouch(ctx context.Context, who policy.Actor, what policy.Action, interactive bool) error
}

func (v *voucher) vouch(ctx context.Context, who policy.Actor, what policy.Action, interactive bool) error {
	if s := v.server.Load(); s != nil {
		return (*s).Vouch(ctx, who, what, interactive)
	}
	return fmt.Errorf("no bus: %w", &policy.DeniedError{Actor: who, Action: what, Decision: policy.Decision{Effect: policy.Deny, Rules: []policy.Rule{
		{ID: "polkit", Reason: "the daemon is on no bus where it could ask polkit; ask root"},
	}}})
}
