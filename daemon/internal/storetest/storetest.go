// Package storetest gives tests databases of their own: SQLite's, and a PostgreSQL that is started for them.
package storetest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fobd/fobd/daemon/store"
)

// cluster is a PostgreSQL of the tests' own, empty when there is none.
var cluster = sync.OnceValues(startPostgres)

// Main runs the tests of a package, and stops what they have started.
func Main(m *testing.M) {
	code := m.Run()
	stopPostgres()
	os.Exit(code)
}

var stopPostgres = func() {}

// startPostgres runs one on a Unix socket and returns its address.
func startPostgres() (string, error) {
	bin := ""
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/local/bin/initdb"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 && bin == "" {
			bin = filepath.Dir(found[len(found)-1])
		}
	}
	if bin == "" {
		return "", errors.New("no PostgreSQL")
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return "", err
	}
	// It does not run as root.
	var credential *syscall.SysProcAttr
	name := "fobd"
	if os.Getuid() == 0 {
		u, err := user.Lookup("nobody")
		if err != nil {
			return "", err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
		credential = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	run := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.SysProcAttr = credential
		cmd.Dir = dir
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", name, "-A", "trust", "-E", "UTF8", "--no-locale").CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	server := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=100")
	log, err := server.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := server.Start(); err != nil {
		return "", err
	}
	stopPostgres = func() {
		_ = server.Process.Signal(syscall.SIGINT)
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return fmt.Sprintf("postgres://%s@/postgres?host=%s", name, dir), nil
		}
	}
	return "", fmt.Errorf("postgres: %s", said.String())
}

var schemas atomic.Int64

// Open opens the database at an address that [SQLiteAddress] or [PostgresAddress] has made.
func Open(ctx context.Context, address string) (store.Store, error) {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		return store.OpenSQLite(ctx, path)
	}
	return store.OpenPostgres(ctx, address)
}

// SQLiteAddress makes an empty database.
func SQLiteAddress(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a b?c#.db") }

// PostgresAddress makes an empty database.
func PostgresAddress(t testing.TB) string {
	t.Helper()
	address, err := cluster()
	if err != nil {
		t.Skip(err)
	}
	schema := fmt.Sprintf("test%d", schemas.Add(1))
	admin, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	return address + "&search_path=" + schema
}

func opener(t testing.TB, address string) func() store.Store {
	return func() store.Store {
		t.Helper()
		s, err := Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

// Postgres makes an empty database, which open opens.
func Postgres(t testing.TB) (open func() store.Store) { return opener(t, PostgresAddress(t)) }

// SQLite makes an empty database, which open opens.
func SQLite(t testing.TB) (open func() store.Store) { return opener(t, SQLiteAddress(t)) }

// Both runs a test on both databases; open opens the same database each time.
func Both(t *testing.T, test func(t *testing.T, open func() store.Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}
