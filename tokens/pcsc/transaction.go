package pcsc

import (
	"context"
	"errors"
)

// attempts bounds how often a transaction is begun anew.
const attempts = 3

// Transaction keeps other programs away from the card while run runs. Other programs may
// have selected another application since the last one, and unlocking may have ended: run
// begins with SELECT. It waits for others' transactions to end, for as long as ctx lets it.
//
// Where the card was reset by another program, or pcscd has ended since, the connection is
// made again first. What happens to the card inside of run is run's to see, and
// comes back as its error. Transactions of the same card may stand inside one another.
func (c *Card) Transaction(ctx context.Context, run func(context.Context) error) (err error) {
	if err := c.Begin(ctx); err != nil {
		return err
	}
	done := false
	defer func() {
		// Also when run has panicked.
		ended := c.End(ctx, LeaveCard)
		if done && err == nil {
			err = ended
		}
	}()
	err = run(ctx)
	done = true
	return err
}

// Begin begins a transaction, as [Card.Transaction] does. Every Begin that succeeds needs
// its [Card.End].
func (c *Card) Begin(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		_, err := c.request(ctx, cmdBegin, structure(c.handle, 0))
		again := errors.Is(err, ErrReset) || c.broken(err)
		if !again || attempt == attempts {
			return err
		}
		if err := c.Reconnect(ctx, LeaveCard); err != nil {
			return err
		}
	}
}

// End ends a transaction after doing to the card what d says. It is told to pcscd even if
// ctx has ended.
func (c *Card) End(ctx context.Context, d Disposition) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
	}
	_, err := c.request(ctx, cmdEnd, structure(c.handle, uint32(d), 0))
	return err
}
