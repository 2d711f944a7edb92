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

// openRegistry opens the store of people and tokens that the configuration wants; nil is none.
func openRegistry(ctx context.Context, cfg *config.Config, log *slog.Logger) (*registry.Service, *keyFile, func() error, error) {
	nothing := func() error { return nil }
	c := cfg.Tokens
	if !c.Enabled || c.Database == "" && cfg.StateDir == "" {
		return nil, nil, nothing, nil
	}
	if cfg.StateDir != "" {
		if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
			return nil, nil, nothing, fmt.Errorf("tokens: %w", err)
		}
	}
	keys := &keyFile{path: c.KeyFile, shared: isPostgres(c.Database)}
	if keys.path == "" {
		keys.path = filepath.Join(cfg.StateDir, "tokens.key")
		if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
			if _, err := os.Stat(filepath.Join(dir, credentialName)); err == nil {
				keys.path, keys.shared = filepath.Join(dir, credentialName), true
			}
		}
	}
	var err error
	if keys.sealer, err = keys.open(); err != nil {
		return nil, nil, nothing, err
	}
	var s store.Store
	if isPostgres(c.Database) {
		s, err = store.OpenPostgres(ctx, c.Database)
	} else {
		s, err = store.OpenSQLite(ctx, sqlitePath(c.Database, cfg.StateDir))
	}
	if err != nil {
		return nil, nil, nothing, fmt.Errorf("tokens: %w", err)
	}
	return registry.New(registry.Config{Store: s, Sealer: keys.sealer, Log: log}), keys, s.Close, nil
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

// keyFile is the file of the keys that secrets in the store are sealed with: the first [registry.KeySize] bytes are for fingerprints, the next
// seal, and those behind them open what was sealed before.
type keyFile struct {
	path string
	// shared says that it is not ours alone: others open with it, or systemd has made it.
	shared bool
	sealer *registry.Sealer
}

// open reads the file. It is made if it is not there.
func (f *keyFile) open() (*registry.Sealer, error) {
	key, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = f.make()
	}
	if err != nil {
		return nil, fmt.Errorf("tokens: key file: %w", err)
	}
	defer clear(key)
	if len(key) < 2*registry.KeySize || len(key)%registry.KeySize != 0 {
		return nil, fmt.Errorf("tokens: key file %s: %d bytes, want %d or more of %d each; bring it back from its copy", f.path, len(key), 2*registry.KeySize, registry.KeySize)
	}
	return registry.NewSealer(key[:registry.KeySize], pieces(key[registry.KeySize:])...)
}

func pieces(key []byte) (keys [][]byte) {
	for at := 0; at < len(key); at += registry.KeySize {
		keys = append(keys, key[at:at+registry.KeySize])
	}
	return keys
}

// make writes a new file, whole or not at all.
func (f *keyFile) make() ([]byte, error) {
	key := make([]byte, 2*registry.KeySize)
	_, _ = rand.Read(key) // never fails
	temporary, err := f.write(key)
	if err == nil {
		// Not over another one that has come meanwhile.
		err = errors.Join(os.Link(temporary, f.path), os.Remove(temporary))
	}
	if errors.Is(err, fs.ErrExist) {
		clear(key)
		return os.ReadFile(f.path)
	}
	return key, err
}

// write writes a file beside the key file, which is on the disk when write returns.
func (f *keyFile) write(key []byte) (name string, err error) {
	t, err := os.CreateTemp(filepath.Dir(f.path), ".tokens.key-*")
	if err != nil {
		return "", err
	}
	_, err = t.Write(key)
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return "", errors.Join(err, os.Remove(t.Name()))
	}
	return t.Name(), nil
}

// add puts a new key before those that seal, in the file and then in use. Older ones stay, for backups.
func (f *keyFile) add() (string, error) {
	if f.shared {
		return "", errKeyFileShared
	}
	old, err := os.ReadFile(f.path)
	if err != nil {
		return "", err
	}
	defer clear(old)
	if len(old) < 2*registry.KeySize || len(old)%registry.KeySize != 0 {
		return "", fmt.Errorf("%s is damaged", f.path)
	}
	fresh := make([]byte, 0, len(old)+registry.KeySize)
	fresh = append(fresh, old[:registry.KeySize]...)
	fresh = append(fresh, make([]byte, registry.KeySize)...)
	_, _ = rand.Read(fresh[registry.KeySize:]) // never fails
	fresh = append(fresh, old[registry.KeySize:]...)
	defer clear(fresh)
	temporary, err := f.write(fresh)
	if err != nil {
		return "", err
	}
	if err := os.Rename(temporary, f.path); err != nil {
		return "", errors.Join(err, os.Remove(temporary))
	}
	if err := syncFolder(filepath.Dir(f.path)); err != nil {
		return "", err
	}
	return f.path, f.sealer.Replace(pieces(fresh[registry.KeySize:])...)
}

// syncFolder makes what was done in a folder last.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
