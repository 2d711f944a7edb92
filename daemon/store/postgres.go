package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
)

// Postgres is a [Store] in PostgreSQL, which several daemons can share.
type Postgres struct {
	db *sql.DB

	busy    atomic.Int64 // calls of Together
	queue   chan *member
	closed  chan struct{}
	done    chan struct{} // after it, no more results come
	once    sync.Once
	running sync.WaitGroup // updates that run by themselves
}

var _ Store = (*Postgres)(nil)

// tries is how often an update is run again that others were in the way of.
const tries = 10

// OpenPostgres connects to the database that url names (postgres://…). A password is better in a file that
// PGPASSFILE names.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		// Not err: it can have the password in it.
		return nil, errors.New("store: the address of the database cannot be read; want postgres://user@host/database")
	}
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := migrateLocked(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p := &Postgres{db: db, queue: make(chan *member, maxMembers), closed: make(chan struct{}), done: make(chan struct{})}
	var serving sync.WaitGroup
	for range gatherers {
		serving.Go(p.gather)
	}
	go func() {
		serving.Wait()
		p.running.Wait()
		close(p.done)
	}()
	return p, nil
}

// migrationLock is the number of the advisory lock under which one daemon of several migrates: "fobd".
const migrationLock = 0x666f6264

func migrateLocked(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
	}()
	return migrate(ctx, db, goose.DialectPostgres, "postgres")
}

// Update implements [Store]. Rows that are read are locked (FOR UPDATE), so that two daemons cannot both
// decide about a code.
func (p *Postgres) Update(ctx context.Context, do func(Tx) error) error {
	for n := 1; ; n++ {
		err := p.try(ctx, do)
		var e *pgconn.PgError
		// serialization_failure and deadlock_detected (PostgreSQL, appendix A).
		if n == tries || !errors.As(err, &e) || e.Code != "40001" && e.Code != "40P01" {
			return err
		}
		wait := time.NewTimer(rand.N(time.Duration(n) * 10 * time.Millisecond))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		}
	}
}

func (p *Postgres) try(ctx context.Context, do func(Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(&transaction{ctx: ctx, q: tx, dollar: true, lock: " FOR UPDATE"}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: nothing is known to be written: %w", err)
	}
	return nil
}

// View implements [Store].
func (p *Postgres) View(ctx context.Context, do func(Tx) error) error {
	tx, err := p.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	return do(&transaction{ctx: ctx, q: tx, dollar: true})
}

// Check implements [Store]: whether the database answers. Its own tools look for damage.
func (p *Postgres) Check(ctx context.Context) error {
	if err := p.db.PingContext(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Close implements [Store]. Updates that are under way end before.
func (p *Postgres) Close() error {
	p.once.Do(func() { close(p.closed) })
	<-p.done
	return p.db.Close()
}
