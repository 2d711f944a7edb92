package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
)

// credentialName is what the key is called among systemd's credentials (systemd.exec(5)).
const credentialName = "fobd-tokens-key"

// openRegistry opens the store of the tokens for one-time codes that the configuration wants; nil is none.
func openRegistry(ctx context.Context, cfg *config.Config, log *slog.Logger) (*registry.Service, func() error, error) {
	nothing := func() error { return nil }
	c := cfg.Tokens
	if !c.Enabled || c.Database == "" && cfg.StateDir == "" {
		return nil, nothing, nil
	}
	if cfg.StateDir != "" {
		if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
			return nil, nothing, fmt.Errorf("tokens: %w", err)
		}
	}
	file := c.KeyFile
	if file == "" {
		file = filepath.Join(cfg.StateDir, "tokens.key")
		if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
			if _, err := os.Stat(filepath.Join(dir, credentialName)); err == nil {
				file = filepath.Join(dir, credentialName)
			}
		}
	}
	sealer, err := openSealer(file)
	if err != nil {
		return nil, nothing, err
	}
	var s store.Store
	if isPostgres(c.Database) {
		s, err = store.OpenPostgres(ctx, c.Database)
	} else {
		s, err = store.OpenSQLite(ctx, sqlitePath(c.Database, cfg.StateDir))
	}
	if err != nil {
		return nil, nothing, fmt.Errorf("tokens: %w", err)
	}
	return registry.New(registry.Config{Store: s, Sealer: sealer, Log: log}), s.Close, nil
}

func isPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres:") || strings.HasPrefix(database, "postgresql:")
}

func sqlitePath(database, stateDir string) string {
	if database != "" {
		return database
	}
	return filepath.Join(stateDir, "tokens.db")
}

// openSealer reads the key file: two keys, one for fingerprints and one to seal with. It is made if it is not there.
func openSealer(file string) (*registry.Sealer, error) {
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKeyFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("tokens: key file: %w", err)
	}
	defer clear(key)
	// More keys behind the first two open what was sealed before.
	if len(key) < 2*registry.KeySize || len(key)%registry.KeySize != 0 {
		return nil, fmt.Errorf("tokens: key file %s: %d bytes, want %d or more of %d each; bring it back from its copy", file, len(key), 2*registry.KeySize, registry.KeySize)
	}
	var keys [][]byte
	for at := registry.KeySize; at < len(key); at += registry.KeySize {
		keys = append(keys, key[at:at+registry.KeySize])
	}
	return registry.NewSealer(key[:registry.KeySize], keys...)
}

// makeKeyFile writes a new key, whole or not at all.
func makeKeyFile(file string) ([]byte, error) {
	key := make([]byte, 2*registry.KeySize)
	_, _ = rand.Read(key) // never fails
	f, err := os.CreateTemp(filepath.Dir(file), ".tokens.key-*")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		// Not over another one that has come meanwhile.
		err = os.Link(f.Name(), file)
	}
	err = errors.Join(err, os.Remove(f.Name()))
	if errors.Is(err, fs.ErrExist) {
		clear(key)
		return os.ReadFile(file)
	}
	return key, err
}
