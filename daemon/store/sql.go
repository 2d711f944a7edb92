package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/fobd/fobd/tokens/otp"
)

//go:embed migrations
var migrations embed.FS

// migrate brings a database to the newest form.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, folder string) error {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, files)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("store: bring the database to its newest form: %w", err)
	}
	return nil
}

// querier is a *sql.Tx or a *sql.Conn.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// transaction is [Tx] on SQL.
type transaction struct {
	ctx context.Context
	q   querier
	// dollar says that parameters are $1, $2; lock is what a SELECT ends with to keep a row.
	dollar bool
	lock   string
}

var _ Tx = (*transaction)(nil)

// bind makes a statement's ? what the database wants.
func (t *transaction) bind(query string) string {
	if !t.dollar {
		return query
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c != '?' {
			b.WriteRune(c)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}

func (t *transaction) exec(query string, args ...any) (changed int64, err error) {
	r, err := t.q.ExecContext(t.ctx, t.bind(query), args...)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return r.RowsAffected()
}

// query calls scan for each row.
func (t *transaction) query(scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.q.QueryContext(t.ctx, t.bind(query), args...)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

const tokenColumns = `serial, manufacturer, model, issuer, kind, hash, digits, period, epoch, suite, seed, fingerprint, state, owner,
	next, drift, failures, locked_until, last_used, starts, expires, imported, changed, credential`

// Token implements [Tx].
func (t *transaction) Token(serial string) (*Token, error) {
	list, err := t.tokens("WHERE serial = ?"+t.lock, serial)
	if err == nil && len(list) == 0 {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Tokens implements [Tx].
func (t *transaction) Tokens(f Filter) ([]*Token, error) {
	var where []string
	var args []any
	and := func(condition string, arg any) {
		where = append(where, condition)
		args = append(args, arg)
	}
	if f.State != "" {
		and("state = ?", string(f.State))
	}
	if f.Owner != "" {
		and("owner = ?", f.Owner)
	}
	if f.Fingerprint != nil {
		and("fingerprint = ?", f.Fingerprint)
	}
	if f.After != "" {
		and("serial > ?", f.After)
	}
	var b strings.Builder
	if len(where) > 0 {
		b.WriteString("WHERE " + strings.Join(where, " AND "))
	}
	b.WriteString(" ORDER BY serial")
	if f.Limit > 0 {
		fmt.Fprintf(&b, " LIMIT %d", f.Limit)
	}
	return t.tokens(b.String()+t.lock, args...)
}

func (t *transaction) tokens(rest string, args ...any) (list []*Token, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var (
			k                                                           Token
			kind, hash, state, credential                               string
			owner                                                       sql.NullString
			next, lockedUntil, lastUsed, starts, expires, imported, chd int64
		)
		if err := rows.Scan(&k.Serial, &k.Manufacturer, &k.Model, &k.Issuer, &kind, &hash, &k.Params.Digits, &k.Params.Period, &k.Params.Epoch, &k.Params.Suite,
			&k.Seed, &k.Fingerprint, &state, &owner, &next, &k.Drift, &k.Failures, &lockedUntil, &lastUsed, &starts, &expires, &imported, &chd, &credential); err != nil {
			return err
		}
		if credential != "" {
			k.Credential = new(Credential)
			if err := json.Unmarshal([]byte(credential), k.Credential); err != nil {
				return fmt.Errorf("credential of %s: %w", k.Serial, err)
			}
		}
		k.Params.Kind, k.Params.Hash, k.State, k.Owner, k.Next = otp.Kind(kind), otp.Hash(hash), State(state), owner.String, uint64(next)
		k.LockedUntil, k.LastUsed, k.Starts = fromMillis(lockedUntil), fromMillis(lastUsed), fromMillis(starts)
		k.Expires, k.Imported, k.Changed = fromMillis(expires), fromMillis(imported), fromMillis(chd)
		list = append(list, &k)
		return nil
	}, "SELECT "+tokenColumns+" FROM tokens "+rest, args...)
	return list, err
}

// Alike implements [Tx].
func (t *transaction) Alike(serials []string, fingerprints [][]byte) (list []*Token, err error) {
	// By one column at a time, so that its index is used.
	for column, values := range map[string][]any{"serial": anys(serials), "fingerprint": anys(fingerprints)} {
		err := pieces(len(values), func(from, to int) error {
			found, err := t.tokens("WHERE "+column+" IN ("+marks(to-from)+")"+t.lock, values[from:to]...)
			list = append(list, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func anys[T any](list []T) []any {
	values := make([]any, len(list))
	for i, v := range list {
		values[i] = v
	}
	return values
}

// marks are n parameters.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// columns is how many tokenColumns are.
const columns = 24

// maxPiece is how many rows go into a statement: SQLite takes 32,766 parameters, PostgreSQL 65,535.
const maxPiece = 1024

// pieces cuts n rows into pieces of few different sizes, powers of two, so that few statements are prepared.
func pieces(n int, do func(from, to int) error) error {
	for from, size := 0, maxPiece; from < n; {
		for size > n-from {
			size /= 2
		}
		if err := do(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// AddTokens implements [Tx].
func (t *transaction) AddTokens(tokens ...*Token) error {
	return pieces(len(tokens), func(from, to int) error {
		args := make([]any, 0, (to-from)*columns)
		for _, k := range tokens[from:to] {
			if err := checkToken(k); err != nil {
				return err
			}
			credential := ""
			if k.Credential != nil {
				data, err := json.Marshal(k.Credential)
				if err != nil {
					return fmt.Errorf("store: %w", err)
				}
				credential = string(data)
			}
			args = append(args, k.Serial, k.Manufacturer, k.Model, k.Issuer, string(k.Params.Kind), string(k.Params.Hash), k.Params.Digits, k.Params.Period,
				k.Params.Epoch, k.Params.Suite, orEmpty(k.Seed), k.Fingerprint, string(k.State), orNull(k.Owner), int64(k.Next), k.Drift, k.Failures,
				millis(k.LockedUntil), millis(k.LastUsed), millis(k.Starts), millis(k.Expires), millis(k.Imported), millis(k.Changed), credential)
		}
		row := "(" + marks(columns) + ")"
		n, err := t.exec("INSERT INTO tokens ("+tokenColumns+") VALUES "+row+strings.Repeat(", "+row, to-from-1)+" ON CONFLICT (serial) DO NOTHING", args...)
		if err == nil && n != int64(to-from) {
			return fmt.Errorf("%w: token %s, or one of %d that were added with it", ErrExists, tokens[from].Serial, to-from-1)
		}
		return err
	})
}

// orEmpty is for columns that are not null.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SaveToken implements [Tx]. The condition on next is what keeps a counter from going back, whatever its caller
// has read before.
func (t *transaction) SaveToken(k *Token) error {
	if err := checkToken(k); err != nil {
		return err
	}
	n, err := t.exec(`UPDATE tokens SET state = ?, owner = ?, next = ?, drift = ?, failures = ?, locked_until = ?, last_used = ?, starts = ?, expires = ?, changed = ?
		WHERE serial = ? AND next <= ?`, string(k.State), orNull(k.Owner), int64(k.Next), k.Drift, k.Failures,
		millis(k.LockedUntil), millis(k.LastUsed), millis(k.Starts), millis(k.Expires), millis(k.Changed), k.Serial, int64(k.Next))
	if err != nil || n == 1 {
		return err
	}
	if _, err := t.Token(k.Serial); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrBackwards, k.Serial)
}

// Reseal implements [Tx].
func (t *transaction) Reseal(serial string, seed []byte) error {
	n, err := t.exec("UPDATE tokens SET seed = ? WHERE serial = ?", orEmpty(seed), serial)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// User implements [Tx].
func (t *transaction) User(name string) (*User, error) {
	list, err := t.users("WHERE name = ?"+t.lock, name)
	if err == nil && len(list) == 0 {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Users implements [Tx].
func (t *transaction) Users() ([]*User, error) { return t.users("ORDER BY name" + t.lock) }

func (t *transaction) users(rest string, args ...any) (list []*User, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var u User
		var lockedUntil, lastUsed, created int64
		if err := rows.Scan(&u.Name, &u.Failures, &lockedUntil, &lastUsed, &created); err != nil {
			return err
		}
		u.LockedUntil, u.LastUsed, u.Created = fromMillis(lockedUntil), fromMillis(lastUsed), fromMillis(created)
		list = append(list, &u)
		return nil
	}, "SELECT name, failures, locked_until, last_used, created FROM users "+rest, args...)
	return list, err
}

// SaveUser implements [Tx].
func (t *transaction) SaveUser(u *User) error {
	if err := checkUser(u); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO users (name, failures, locked_until, last_used, created) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, locked_until = excluded.locked_until, last_used = excluded.last_used`,
		u.Name, u.Failures, millis(u.LockedUntil), millis(u.LastUsed), millis(u.Created))
	return err
}

func checkUser(u *User) error {
	if u.Name == "" || len(u.Name) > 256 {
		return fmt.Errorf("store: a user's name of %d characters, want 1 to 256", len(u.Name))
	}
	return nil
}

// RemoveUser implements [Tx].
func (t *transaction) RemoveUser(name string) error {
	if tokens, err := t.Tokens(Filter{Owner: name, Limit: 1}); err != nil {
		return err
	} else if len(tokens) > 0 {
		return fmt.Errorf("store: %s still has token %s", name, tokens[0].Serial)
	}
	if err := t.RemoveRecoveryCodes(name); err != nil {
		return err
	}
	n, err := t.exec("DELETE FROM users WHERE name = ?", name)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// RecoveryCodes implements [Tx].
func (t *transaction) RecoveryCodes(owner string) ([]*RecoveryCode, error) {
	return t.recoveryCodes("WHERE owner = ? OR ? = '' ORDER BY owner, hash"+t.lock, owner, owner)
}

func (t *transaction) recoveryCodes(rest string, args ...any) (list []*RecoveryCode, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var c RecoveryCode
		var expires, used int64
		if err := rows.Scan(&c.Owner, &c.Hash, &expires, &used); err != nil {
			return err
		}
		c.Expires, c.Used = fromMillis(expires), fromMillis(used)
		list = append(list, &c)
		return nil
	}, "SELECT owner, hash, expires, used FROM recovery_codes "+rest, args...)
	return list, err
}

// SaveRecoveryCode implements [Tx].
func (t *transaction) SaveRecoveryCode(c *RecoveryCode) error {
	_, err := t.exec(`INSERT INTO recovery_codes (owner, hash, expires, used) VALUES (?, ?, ?, ?)
		ON CONFLICT (owner, hash) DO UPDATE SET expires = excluded.expires, used = excluded.used`, c.Owner, c.Hash, millis(c.Expires), millis(c.Used))
	return err
}

// RemoveRecoveryCodes implements [Tx].
func (t *transaction) RemoveRecoveryCodes(owner string) error {
	_, err := t.exec("DELETE FROM recovery_codes WHERE owner = ?", owner)
	return err
}

// SigningKeys implements [Tx].
func (t *transaction) SigningKeys() (list []*SigningKey, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var k SigningKey
		var created int64
		if err := rows.Scan(&k.ID, &k.Private, &created); err != nil {
			return err
		}
		k.Created = fromMillis(created)
		list = append(list, &k)
		return nil
	}, "SELECT id, private, created FROM signing_keys ORDER BY created DESC, id"+t.lock)
	return list, err
}

// SaveSigningKey implements [Tx].
func (t *transaction) SaveSigningKey(k *SigningKey) error {
	_, err := t.exec(`INSERT INTO signing_keys (id, private, created) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET private = excluded.private`, k.ID, k.Private, millis(k.Created))
	return err
}

// RemoveSigningKey implements [Tx].
func (t *transaction) RemoveSigningKey(id string) error {
	_, err := t.exec("DELETE FROM signing_keys WHERE id = ?", id)
	return err
}

// errClosed says that a store was closed.
var errClosed = errors.New("store: closed")
