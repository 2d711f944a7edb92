package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// people says how people's security keys are enrolled.
func people(cfg *config.Config, keys *keyFile, log *slog.Logger) daemon.People {
	p := daemon.People{
		RPID: cfg.People.RPID, RPName: cfg.People.RPName, Issuer: cfg.People.Issuer, Lifetime: cfg.People.Statement.Duration,
		Models: &models{cfg: cfg.People, log: log},
	}
	if keys != nil && !keys.shared {
		p.Reseal = keys.add
	}
	return p
}

// models are those that the configuration takes. The file of metadata is read when it is needed, and again when it has changed.
type models struct {
	cfg config.People
	log *slog.Logger

	mu   sync.Mutex // guards what follows
	read *relyingparty.Metadata
	from stamp
}

// stamp tells a file from what it was.
type stamp struct {
	size int64
	time time.Time
}

// Check implements [daemon.Models].
func (m *models) Check(r *api.CheckRequest) (*api.CheckResult, error) {
	known, err := m.metadata()
	if err != nil {
		m.log.Error("metadata of models of keys", "file", m.cfg.Metadata, "error", err)
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "what is known of models of keys cannot be read, so none is taken", Hint: "the daemon's log says why; see people.metadata in its configuration"}
	}
	taken := relyingparty.Models{Metadata: known, Allow: m.cfg.Models, Attested: m.cfg.Attested}
	return taken.Check(r)
}

// Name implements [daemon.Models].
func (m *models) Name(aaguid string) string {
	known, _ := m.metadata() // Check says what is wrong with it
	return known.Name(aaguid)
}

// Distrusted implements [daemon.Models]. By a file that cannot be read nobody is kept out who was enrolled by a good one: what was read last holds.
func (m *models) Distrusted(aaguid string) bool {
	known, err := m.metadata()
	if err != nil {
		m.log.Error("metadata of models of keys", "file", m.cfg.Metadata, "error", err)
		m.mu.Lock()
		defer m.mu.Unlock()
		known = m.read
	}
	return known.Distrusted(aaguid)
}

func (m *models) metadata() (*relyingparty.Metadata, error) {
	if m.cfg.Metadata == "" {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	info, err := os.Stat(m.cfg.Metadata)
	if err != nil {
		return nil, err
	}
	now := stamp{info.Size(), info.ModTime()}
	if m.read != nil && now == m.from {
		return m.read, nil
	}
	if info.Size() > relyingparty.MaxMetadata {
		return nil, fmt.Errorf("%d bytes", info.Size())
	}
	blob, err := os.ReadFile(m.cfg.Metadata)
	if err != nil {
		return nil, err
	}
	var root []byte
	if m.cfg.MetadataRoot != "" {
		if root, err = os.ReadFile(m.cfg.MetadataRoot); err != nil {
			return nil, err
		}
	}
	read, err := relyingparty.ReadMetadata(blob, root)
	if err != nil {
		return nil, err
	}
	if m.read != nil && read.Number < m.read.Number {
		// Whoever puts an old file back could hide what was found out since.
		return nil, fmt.Errorf("number %d after number %d: an older file than before", read.Number, m.read.Number)
	}
	if !read.NextUpdate.IsZero() && time.Now().After(read.NextUpdate) {
		m.log.Warn("metadata of models of keys is old: there is a newer file", "file", m.cfg.Metadata, "until", read.NextUpdate.Format(time.DateOnly))
	}
	for _, err := range read.Skipped {
		m.log.Warn("metadata of a model of keys cannot be read", "file", m.cfg.Metadata, "error", err)
	}
	m.read, m.from = read, now
	return read, nil
}

var errKeyFileShared = errors.New("the key comes from systemd, or the database is one that other daemons share")
