package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Updates of many callers that share statements and a commit, on PostgreSQL. Each runs on a goroutine of its own until it reads; when all of
// them wait for a read, those of a kind are one SELECT … FOR UPDATE, in the order of names, so that two daemons do not wait for each other.
// What they write is kept until all are done, and goes out in one statement for each kind, before one COMMIT.
//
// An update can be among them that reads users by name, the tokens of an owner and the recovery codes of an owner, and changes what
// it has read. One that wants anything else, or what another one of them has read, is run by itself, or with the next ones.

// Bounds of it.
const (
	maxMembers = 64
	gatherers  = 2
	// few is how many at once each have a transaction of their own: the statements of so few are not worth waiting for each other.
	few = 8
	// alonePatience is how long a gatherer waits for an update that came alone, before it looks for others.
	alonePatience = 20 * time.Millisecond
	// lockPatience is how long all of them wait for a row that somebody else has; then they go on one by one.
	lockPatience = 500 * time.Millisecond
	// gatherTime bounds all that the database does for one gathering.
	gatherTime = 30 * time.Second
)

// The reasons why an update is run again; its caller does not see them.
var (
	errAlone = errors.New("store: to be run by itself")
	errTaken = errors.New("store: to be run again")
)

// member is an update that waits for its turn.
type member struct {
	ctx    context.Context
	do     func(Tx) error
	result chan outcome
}

// outcome is how an update ended; panicked is what it panicked with.
type outcome struct {
	err      error
	panicked any
}

// Together implements [Store].
func (p *Postgres) Together(ctx context.Context, do func(Tx) error) error {
	defer p.busy.Add(-1)
	if p.busy.Add(1) <= few {
		return p.Update(ctx, do)
	}
	m := &member{ctx, do, make(chan outcome, 1)}
	select {
	case p.queue <- m:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.closed:
		return errClosed
	}
	var o outcome
	select { // not given up any more: it may have been done
	case o = <-m.result:
	case <-p.done:
		select {
		case o = <-m.result:
		default:
			return errClosed
		}
	}
	if o.panicked != nil {
		panic(o.panicked)
	}
	return o.err
}

// gather serves the queue until the store is closed.
func (p *Postgres) gather() {
	var again []*member
	for {
		batch := again
		if len(batch) == 0 {
			select {
			case m := <-p.queue:
				batch = append(batch, m)
			case <-p.closed:
				return
			}
		}
		for more := true; more && len(batch) < maxMembers; {
			select {
			case m := <-p.queue:
				batch = append(batch, m)
			default:
				more = false
			}
		}
		batch = slices.DeleteFunc(batch, func(m *member) bool {
			if m.ctx.Err() == nil {
				return false
			}
			m.result <- outcome{err: context.Cause(m.ctx)}
			return true
		})
		again = nil
		switch len(batch) {
		case 0:
		case 1:
			timer := time.NewTimer(alonePatience)
			select {
			case <-p.alone(batch[0]):
			case <-timer.C:
			}
			timer.Stop()
		default:
			again = p.together(batch)
		}
	}
}

// alone runs an update by itself; the channel is closed when it has ended.
func (p *Postgres) alone(m *member) <-chan struct{} {
	done := make(chan struct{})
	p.running.Go(func() {
		defer close(done)
		m.result <- guarded(func() error { return p.Update(m.ctx, m.do) })
	})
	return done
}

// guarded runs a caller's function where its panic would be nobody's.
func guarded(do func() error) (o outcome) {
	defer func() {
		if o.panicked = recover(); o.panicked != nil {
			o.err = errClosed
		}
	}()
	o.err = do()
	return o
}

// together does several updates in one transaction, and returns those that are to be with the next ones.
func (p *Postgres) together(batch []*member) (again []*member) {
	ctx, cancel := context.WithTimeout(context.Background(), gatherTime)
	defer cancel()
	members, committing, err := p.share(ctx, batch)
	for i, m := range batch {
		switch {
		case err != nil && committing:
			m.result <- outcome{err: fmt.Errorf("store: nothing is known to be written: %w", err)}
		case err != nil: // one of them, or the database, was in the way of all
			p.alone(m)
		case members[i].ended.panicked != nil:
			m.result <- members[i].ended
		case members[i].why == errAlone:
			p.alone(m)
		case members[i].why == errTaken:
			again = append(again, m)
		default:
			m.result <- members[i].ended
		}
	}
	return again
}

// share runs the updates. committing says that the error came when all of it was being committed.
func (p *Postgres) share(ctx context.Context, batch []*member) (members []*gathered, committing bool, err error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockPatience.Milliseconds())); err != nil {
		return nil, false, err
	}
	g := &gathering{q: &transaction{ctx: ctx, q: tx, dollar: true}, owned: make(map[row]*gathered)}
	members, err = g.run(batch)
	if err == nil {
		err = g.write(ctx, tx, members)
	}
	if err != nil {
		return nil, false, err
	}
	return members, true, tx.Commit()
}

// kind is what a member reads.
type kind int

const (
	userRow kind = iota
	tokenRows
	recoveryRows
	kinds
)

// row names what a member reads: all that there is of a kind about one user.
type row struct {
	kind kind
	name string
}

// gathering is what runs together.
type gathering struct {
	q     *transaction
	owned map[row]*gathered
}

// step is a member that has ended, or waits for a read.
type step struct {
	m     *gathered
	wants *row // nil when it has ended
}

// gathered is the [Tx] of a member.
type gathered struct {
	steps chan<- step
	reply chan error
	why   error // errAlone or errTaken
	ended outcome

	users    map[string]*User           // read; nil for one that is not there
	tokens   map[string]map[string]read // by owner and serial
	recovery map[string][]*RecoveryCode

	savedUsers    map[string]*User
	savedTokens   map[string]*Token
	savedRecovery []*RecoveryCode
}

var _ Tx = (*gathered)(nil)

// read is what a member has read of a token, and must not lose.
type read struct {
	token Token
	next  uint64
}

// run runs all members to their end, and reads for them. The error is the database's; all members have ended then, too.
func (g *gathering) run(batch []*member) ([]*gathered, error) {
	steps := make(chan step)
	members := make([]*gathered, len(batch))
	for i, m := range batch {
		one := &gathered{
			steps: steps, reply: make(chan error), users: map[string]*User{}, tokens: map[string]map[string]read{}, recovery: map[string][]*RecoveryCode{},
			savedUsers: map[string]*User{}, savedTokens: map[string]*Token{},
		}
		members[i] = one
		go func() {
			one.ended = guarded(func() error { return m.do(one) })
			steps <- step{m: one}
		}()
	}
	var failed error
	for busy, waiting := len(batch), []step(nil); busy > 0; {
		s := <-steps
		busy--
		if s.wants != nil {
			waiting = append(waiting, s)
		}
		if busy > 0 || len(waiting) == 0 {
			continue
		}
		if failed == nil {
			failed = g.read(waiting)
		}
		for _, w := range waiting {
			err := failed
			if err == nil {
				err = w.m.why
			}
			busy++
			w.m.reply <- err
		}
		waiting = nil
	}
	return members, failed
}

// read reads what members wait for, all of a kind at once. A member that wants what another one has is told so by its why.
func (g *gathering) read(waiting []step) error {
	var names [kinds][]string
	for _, w := range waiting {
		if owner := g.owned[*w.wants]; owner != nil {
			w.m.why = errTaken
			continue
		}
		g.owned[*w.wants] = w.m
		names[w.wants.kind] = append(names[w.wants.kind], w.wants.name)
	}
	if list := names[userRow]; len(list) > 0 {
		users, err := g.q.users("WHERE name = ANY(?) ORDER BY name FOR UPDATE", list)
		if err != nil {
			return err
		}
		for _, u := range users {
			g.owned[row{userRow, u.Name}].users[u.Name] = u
		}
	}
	if list := names[tokenRows]; len(list) > 0 {
		tokens, err := g.q.tokens("WHERE owner = ANY(?) ORDER BY serial FOR UPDATE", list)
		if err != nil {
			return err
		}
		for _, k := range tokens {
			of := g.owned[row{tokenRows, k.Owner}].tokens
			if of[k.Owner] == nil {
				of[k.Owner] = make(map[string]read)
			}
			of[k.Owner][k.Serial] = read{*k, k.Next}
		}
	}
	if list := names[recoveryRows]; len(list) > 0 {
		codes, err := g.q.recoveryCodes("WHERE owner = ANY(?) ORDER BY owner, hash FOR UPDATE", list)
		if err != nil {
			return err
		}
		for _, c := range codes {
			of := g.owned[row{recoveryRows, c.Owner}].recovery
			of[c.Owner] = append(of[c.Owner], c)
		}
	}
	return nil
}

// ask waits until what the member wants has been read.
func (m *gathered) ask(r row) error {
	if m.why != nil {
		return m.why
	}
	m.steps <- step{m, &r}
	return <-m.reply
}

// single ends a member that wants what cannot be shared.
func (m *gathered) single() error {
	if m.why == nil {
		m.why = errAlone
	}
	return m.why
}

// User implements [Tx].
func (m *gathered) User(name string) (*User, error) {
	if _, ok := m.users[name]; ok {
		return nil, m.single()
	}
	m.users[name] = nil
	if err := m.ask(row{userRow, name}); err != nil {
		return nil, err
	}
	u := m.users[name]
	if u == nil {
		return nil, ErrNotFound
	}
	copied := *u
	return &copied, nil
}

// Tokens implements [Tx].
func (m *gathered) Tokens(f Filter) ([]*Token, error) {
	if _, ok := m.tokens[f.Owner]; ok || f.Owner == "" || f.State != "" || f.Fingerprint != nil || f.After != "" || f.Limit != 0 {
		return nil, m.single()
	}
	m.tokens[f.Owner] = nil
	if err := m.ask(row{tokenRows, f.Owner}); err != nil {
		return nil, err
	}
	list := make([]*Token, 0, len(m.tokens[f.Owner]))
	for _, r := range m.tokens[f.Owner] {
		list = append(list, &r.token)
	}
	slices.SortFunc(list, func(a, b *Token) int { return strings.Compare(a.Serial, b.Serial) })
	return list, nil
}

// RecoveryCodes implements [Tx].
func (m *gathered) RecoveryCodes(owner string) ([]*RecoveryCode, error) {
	if _, ok := m.recovery[owner]; ok || owner == "" {
		return nil, m.single()
	}
	m.recovery[owner] = nil
	if err := m.ask(row{recoveryRows, owner}); err != nil {
		return nil, err
	}
	list := make([]*RecoveryCode, 0, len(m.recovery[owner]))
	for _, c := range m.recovery[owner] {
		copied := *c
		list = append(list, &copied)
	}
	return list, nil
}

// SaveToken implements [Tx]. That the counter does not go back is looked at here, for the row is locked, and once more by the statement.
func (m *gathered) SaveToken(k *Token) error {
	if err := checkToken(k); err != nil {
		return err
	}
	was, ok := m.tokens[k.Owner][k.Serial]
	if !ok || m.why != nil {
		return m.single() // also one that changes hands
	}
	if k.Next < was.next {
		return fmt.Errorf("%w: %s", ErrBackwards, k.Serial)
	}
	was.next = k.Next
	m.tokens[k.Owner][k.Serial] = was
	copied := *k
	m.savedTokens[k.Serial] = &copied
	return nil
}

// SaveUser implements [Tx].
func (m *gathered) SaveUser(u *User) error {
	if _, ok := m.users[u.Name]; !ok || m.why != nil {
		return m.single()
	}
	if err := checkUser(u); err != nil {
		return err
	}
	copied := *u
	m.savedUsers[u.Name] = &copied
	return nil
}

// SaveRecoveryCode implements [Tx].
func (m *gathered) SaveRecoveryCode(c *RecoveryCode) error {
	if _, ok := m.recovery[c.Owner]; !ok || m.why != nil {
		return m.single()
	}
	copied := *c
	m.savedRecovery = append(m.savedRecovery, &copied)
	return nil
}

// What cannot be shared.

// Token implements [Tx].
func (m *gathered) Token(string) (*Token, error) { return nil, m.single() }

// Alike implements [Tx].
func (m *gathered) Alike([]string, [][]byte) ([]*Token, error) { return nil, m.single() }

// AddTokens implements [Tx].
func (m *gathered) AddTokens(...*Token) error { return m.single() }

// Reseal implements [Tx].
func (m *gathered) Reseal(string, []byte) error { return m.single() }

// Users implements [Tx].
func (m *gathered) Users() ([]*User, error) { return nil, m.single() }

// RemoveUser implements [Tx].
func (m *gathered) RemoveUser(string) error { return m.single() }

// RemoveRecoveryCodes implements [Tx].
func (m *gathered) RemoveRecoveryCodes(string) error { return m.single() }

// SigningKeys implements [Tx].
func (m *gathered) SigningKeys() ([]*SigningKey, error) { return nil, m.single() }

// SaveSigningKey implements [Tx].
func (m *gathered) SaveSigningKey(*SigningKey) error { return m.single() }

// RemoveSigningKey implements [Tx].
func (m *gathered) RemoveSigningKey(string) error { return m.single() }

// write writes what the members have saved that ended well.
func (g *gathering) write(ctx context.Context, tx *sql.Tx, members []*gathered) error {
	var users userColumns
	var tokens lifeColumns
	var recovery recoveryColumns
	for _, m := range members {
		if m.why != nil || m.ended.err != nil {
			continue
		}
		for _, u := range m.savedUsers {
			users.add(u)
		}
		for _, k := range m.savedTokens {
			tokens.add(k)
		}
		for _, c := range m.savedRecovery {
			recovery.add(c)
		}
	}
	for _, w := range []struct {
		rows  int
		query string
		args  []any
	}{
		{len(users.name), saveUsers, users.args()},
		{len(tokens.serial), saveTokens, tokens.args()},
		{len(recovery.owner), saveRecovery, recovery.args()},
	} {
		if w.rows == 0 {
			continue
		}
		r, err := tx.ExecContext(ctx, w.query, w.args...)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n != int64(w.rows) {
			return errors.Join(fmt.Errorf("store: %d of %d rows were changed", n, w.rows), err)
		}
	}
	return nil
}

const (
	saveUsers = `INSERT INTO users (name, failures, locked_until, last_used, created)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
		ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, locked_until = excluded.locked_until, last_used = excluded.last_used`
	saveTokens = `UPDATE tokens SET state = v.state, next = v.next, drift = v.drift, failures = v.failures, locked_until = v.locked_until,
			last_used = v.last_used, starts = v.starts, expires = v.expires, changed = v.changed
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
			AS v (serial, state, next, drift, failures, locked_until, last_used, starts, expires, changed)
		WHERE tokens.serial = v.serial AND tokens.next <= v.next`
	saveRecovery = `INSERT INTO recovery_codes (owner, hash, expires, used)
		SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[])
		ON CONFLICT (owner, hash) DO UPDATE SET expires = excluded.expires, used = excluded.used`
)

type userColumns struct {
	name                                   []string
	failures, lockedUntil, lastUsed, since []int64
}

func (c *userColumns) add(u *User) {
	c.name = append(c.name, u.Name)
	c.failures = append(c.failures, int64(u.Failures))
	c.lockedUntil = append(c.lockedUntil, millis(u.LockedUntil))
	c.lastUsed = append(c.lastUsed, millis(u.LastUsed))
	c.since = append(c.since, millis(u.Created))
}

func (c *userColumns) args() []any {
	return []any{c.name, c.failures, c.lockedUntil, c.lastUsed, c.since}
}

type lifeColumns struct {
	serial, state                                                          []string
	next, drift, failures, lockedUntil, lastUsed, starts, expires, changed []int64
}

func (c *lifeColumns) add(k *Token) {
	c.serial = append(c.serial, k.Serial)
	c.state = append(c.state, string(k.State))
	c.next = append(c.next, int64(k.Next))
	c.drift = append(c.drift, k.Drift)
	c.failures = append(c.failures, int64(k.Failures))
	c.lockedUntil = append(c.lockedUntil, millis(k.LockedUntil))
	c.lastUsed = append(c.lastUsed, millis(k.LastUsed))
	c.starts = append(c.starts, millis(k.Starts))
	c.expires = append(c.expires, millis(k.Expires))
	c.changed = append(c.changed, millis(k.Changed))
}

func (c *lifeColumns) args() []any {
	return []any{c.serial, c.state, c.next, c.drift, c.failures, c.lockedUntil, c.lastUsed, c.starts, c.expires, c.changed}
}

type recoveryColumns struct {
	owner         []string
	hash          [][]byte
	expires, used []int64
}

func (c *recoveryColumns) add(r *RecoveryCode) {
	c.owner = append(c.owner, r.Owner)
	c.hash = append(c.hash, r.Hash)
	c.expires = append(c.expires, millis(r.Expires))
	c.used = append(c.used, millis(r.Used))
}

func (c *recoveryColumns) args() []any { return []any{c.owner, c.hash, c.expires, c.used} }
