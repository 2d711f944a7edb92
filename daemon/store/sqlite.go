package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// maxBatch bounds the updates that share a commit.
const maxBatch = 256

// SQLite is a [Store] in a file. Updates run one after another; those that wait while the disk writes
// share the next commit.
type SQLite struct {
	db     *sql.DB // for reading
	writer *sql.DB // one connection

	line    *prepared // the writer's, made when it is needed
	commits atomic.Int64

	queue  chan *update
	closed chan struct{}
	done   chan struct{}
	once   sync.Once
}

// update is one that waits for its turn.
type update struct {
	ctx    context.Context
	do     func(Tx) error
	result chan error
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens or makes the database at path, which only its user can read.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	// SQLite makes its files with the mode of the first.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// full: a commit is on the disk when it returns.
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(on)&_pragma=busy_timeout(10000)"
	open := func(connections int) (*sql.DB, error) {
		db, err := sql.Open("sqlite", name)
		if err != nil {
			return nil, fmt.Errorf("store: %s: %w", path, err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db, nil
	}
	s := &SQLite{queue: make(chan *update, maxBatch), closed: make(chan struct{}), done: make(chan struct{})}
	if s.writer, err = open(1); err != nil {
		return nil, err
	}
	if s.db, err = open(4); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if err := migrate(ctx, s.writer, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), s.db.Close(), s.writer.Close())
	}
	go s.run()
	return s, nil
}

// Update implements [Store].
func (s *SQLite) Update(ctx context.Context, do func(Tx) error) error {
	u := &update{ctx, do, make(chan error, 1)}
	select {
	case s.queue <- u:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.closed:
		return errClosed
	}
	// Not given up any more: it may have been done.
	select {
	case err := <-u.result:
		return err
	case <-s.done:
		select {
		case err := <-u.result:
			return err
		default:
			return errClosed
		}
	}
}

// Together implements [Store]: all updates share commits.
func (s *SQLite) Together(ctx context.Context, do func(Tx) error) error { return s.Update(ctx, do) }

// prepared is the writing connection with the statements that it has seen.
type prepared struct {
	conn  *sql.Conn
	known map[string]*sql.Stmt
}

func (p *prepared) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := p.known[query]; st != nil {
		return st, nil
	}
	st, err := p.conn.PrepareContext(ctx, query)
	if err == nil {
		p.known[query] = st
	}
	return st, err
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := p.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := p.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// close gives the connection back.
func (p *prepared) close() {
	for _, st := range p.known {
		_ = st.Close()
	}
	_ = p.conn.Close()
}

// run writes, until the store is closed.
func (s *SQLite) run() {
	defer close(s.done)
	defer func() {
		if s.line != nil {
			s.line.close()
		}
	}()
	for {
		var batch []*update
		select {
		case u := <-s.queue:
			batch = append(batch, u)
		case <-s.closed:
			return
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case u := <-s.queue:
				batch = append(batch, u)
			default:
				more = false
			}
		}
		s.write(batch)
	}
}

// write does a batch in one transaction. An update that fails takes back what it did, and nothing else.
func (s *SQLite) write(batch []*update) {
	results := make([]error, len(batch))
	err := func() error {
		ctx := context.Background()
		if s.line == nil {
			c, err := s.writer.Conn(ctx)
			if err != nil {
				return err
			}
			s.line = &prepared{c, map[string]*sql.Stmt{}}
		}
		conn := s.line
		var err error
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			conn.close()
			s.line = nil
			return err
		}
		for i, u := range batch {
			if results[i] = context.Cause(u.ctx); results[i] != nil {
				continue
			}
			if results[i], err = part(ctx, conn, u.do); err != nil {
				break
			}
		}
		if err == nil {
			s.commits.Add(1)
			_, err = conn.ExecContext(ctx, "COMMIT")
		}
		if err != nil {
			_, undo := conn.ExecContext(ctx, "ROLLBACK")
			conn.close() // and begin afresh
			s.line = nil
			return errors.Join(err, undo)
		}
		return nil
	}()
	for i, u := range batch {
		if err != nil && results[i] == nil {
			results[i] = fmt.Errorf("store: nothing was written: %w", err)
		}
		u.result <- results[i]
	}
}

// part runs one update of a batch. err says that the whole batch cannot go on.
func part(ctx context.Context, conn *prepared, do func(Tx) error) (result, err error) {
	if _, err := conn.ExecContext(ctx, "SAVEPOINT part"); err != nil {
		return nil, err
	}
	result = do(&transaction{ctx: ctx, q: conn})
	if result != nil {
		if _, err := conn.ExecContext(ctx, "ROLLBACK TO part"); err != nil {
			return result, err
		}
	}
	_, err = conn.ExecContext(ctx, "RELEASE part")
	return result, err
}

// View implements [Store].
func (s *SQLite) View(ctx context.Context, do func(Tx) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	return do(&transaction{ctx: ctx, q: tx})
}

// Commits is how many transactions were written, each of which waits for the disk once.
func (s *SQLite) Commits() int64 { return s.commits.Load() }

// Check implements [Store].
func (s *SQLite) Check(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, "PRAGMA integrity_check")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var errs []error
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if line != "ok" {
			errs = append(errs, fmt.Errorf("store: damaged: %s", line))
		}
	}
	return errors.Join(append(errs, rows.Err())...)
}

// Backup writes a copy of the database, as it is at one moment, to a file that must not be there yet.
func (s *SQLite) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("store: %s is there already; choose another name", path)
	}
	if _, err := s.db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("store: backup to %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// Close implements [Store]. Updates that are under way end before.
func (s *SQLite) Close() error {
	s.once.Do(func() { close(s.closed) })
	<-s.done
	return errors.Join(s.db.Close(), s.writer.Close())
}
