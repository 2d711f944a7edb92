package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/coreos/go-systemd/v22/journal"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/audit"
	"github.com/fobd/fobd/daemon/config"
)

// openAudit opens the audit log that the configuration wants. Its zero value is none.
func openAudit(cfg *config.Config, log *slog.Logger) (daemon.Audit, error) {
	c := cfg.Audit
	if !c.Enabled {
		return daemon.Audit{}, nil
	}
	if c.Dir == "" && cfg.StateDir == "" {
		log.Warn("no audit log: there is no state directory for it; say audit.dir or state-dir")
		return daemon.Audit{}, nil
	}
	if c.Dir == "" {
		c.Dir = filepath.Join(cfg.StateDir, "audit")
		if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
			return daemon.Audit{}, fmt.Errorf("audit: %w", err)
		}
	}
	conf := audit.Config{Dir: c.Dir, MaxSize: int64(c.MaxSize) << 20, Keep: c.Keep, Sync: audit.SyncPolicy(c.Sync.Value), Log: log}
	if c.Journal && journal.Enabled() {
		conf.Mirror = func(e audit.Entry) { toJournal(e, log) }
	}
	l, err := audit.Open(conf)
	if err != nil {
		return daemon.Audit{}, err
	}
	return daemon.Audit{Log: l, Files: os.DirFS(c.Dir), Required: c.Required}, nil
}

// toJournal copies a line to systemd's journal, with what it says as fields (systemd.journal-fields(7)).
func toJournal(e audit.Entry, log *slog.Logger) {
	priority := journal.PriInfo
	if e.Decision == audit.DecisionDeny {
		priority = journal.PriNotice
	}
	fields := map[string]string{"SYSLOG_IDENTIFIER": "fobd-audit", "FOBD_AUDIT_SEQ": strconv.FormatUint(e.Seq, 10), "FOBD_AUDIT_HASH": e.Hash.String()}
	for name, v := range map[string]string{
		"FOBD_OPERATION": e.Operation, "FOBD_USER": e.User, "FOBD_PROGRAM": e.Program, "FOBD_EXE": e.Exe, "FOBD_APP": e.App,
		"FOBD_KEY": e.Key, "FOBD_SERIAL": e.Serial, "FOBD_RP_ID": e.RPID, "FOBD_ORIGIN": e.Origin, "FOBD_DECISION": e.Decision, "FOBD_RESULT": e.Result,
	} {
		if v != "" {
			fields[name] = v
		}
	}
	message := fmt.Sprintf("audit: %s by %s (%s): %s", e.Operation, e.User, e.Program, e.Result)
	if err := journal.Send(message, priority, fields); err != nil {
		log.Debug("the journal does not take a line of the audit log", "error", err)
	}
}
