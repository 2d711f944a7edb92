package store

import "context"

// Exec runs a statement.
func (p *Postgres) Exec(ctx context.Context, statement string) error {
	_, err := p.db.ExecContext(ctx, statement)
	return err
}
