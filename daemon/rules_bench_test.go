package daemon_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/audit"
	"github.com/fobd/fobd/daemon/policy"
)

// comparedEngine makes an engine, with the least rules if cfg has none.
func comparedEngine(b *testing.B, cfg daemon.Config) *daemon.Engine {
	b.Helper()
	if cfg.Rules == nil {
		cfg.Rules = policy.Rules{Owner: uint32(os.Geteuid())}
	}
	engine, err := daemon.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return engine
}

// BenchmarkRulesAndAudit compares a daemon with rules in Cedar and an audit log to one without.
func BenchmarkRulesAndAudit(b *testing.B) {
	rules, err := policy.New(policy.Config{Actions: daemon.Actions(), Owner: uint32(os.Geteuid()), OwnerRules: true})
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "audit")
	log, err := audit.Open(audit.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	compareTouches(b, [2]*daemon.Engine{
		comparedEngine(b, daemon.Config{}),
		comparedEngine(b, daemon.Config{Rules: rules, Audit: daemon.Audit{Log: log, Files: os.DirFS(dir)}}),
	})
}
