package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
)

// Share is how a card is taken.
type Share uint32

// The ways to take a card (src/PCSC/pcsclite.h.in). ShareDirect reaches a reader without a
// card, for [Card.Control] only.
const (
	ShareExclusive Share = 1
	ShareShared    Share = 2
	ShareDirect    Share = 3
)

// Disposition is what is done to a card at the end.
type Disposition uint32

// What can be done to a card.
const (
	LeaveCard   Disposition = 0
	ResetCard   Disposition = 1
	UnpowerCard Disposition = 2
)

// ConnectOptions says how to take a card. The zero value shares it with other programs and
// speaks T=0 or T=1, whichever the card prefers.
type ConnectOptions struct {
	Share     Share
	Protocols Protocol
}

func (o ConnectOptions) fields() (share, protocols uint32) {
	share, protocols = uint32(o.Share), uint32(o.Protocols)
	if share == 0 {
		share = uint32(ShareShared)
	}
	if protocols == 0 && o.Share != ShareDirect {
		protocols = uint32(T0 | T1)
	}
	return share, protocols
}

// poll is the time between attempts while another program has a transaction
// (PCSCLITE_LOCK_POLL_RATE).
const poll = 100 * time.Millisecond

// Card is a connection to a card. It is for one goroutine at a time; [Card.Close] may be
// called from another one to end what runs.
type Card struct {
	session  atomic.Pointer[Session] // another one after redial
	owned    bool                    // the session ends with the card
	closed   atomic.Bool             // by Close or Disconnect
	reader   string
	options  ConnectOptions
	handle   uint32
	protocol Protocol
}

// Connect opens the card in the reader of the given name. Other requests on the session
// wait while the card's do. Closing the card leaves the session open.
func (s *Session) Connect(ctx context.Context, reader string, o ConnectOptions) (*Card, error) {
	c := &Card{reader: reader, options: o}
	c.session.Store(s)
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// connect takes the card. Another program's transaction holds up
// pcscd's answer until it ends.
func (c *Card) connect(ctx context.Context) error {
	// One byte is for the zero at the end.
	if len(c.reader) == 0 || len(c.reader) >= nameSize {
		return failed(cmdConnect, fmt.Errorf("%w: name of a reader of %d bytes", ErrArgument, len(c.reader)))
	}
	share, protocols := c.options.fields()
	name := make([]byte, nameSize)
	copy(name, c.reader)
	s := c.session.Load()
	body := slices.Concat(structure(s.context), name, structure(share, protocols, 0, 0, 0))
	return s.do(ctx, cmdConnect, s.client.timeout(), func(w wire) error {
		b, err := w.call(cmdConnect, body, connectSize)
		if err != nil {
			return err
		}
		if err := status(b); err != nil {
			return err
		}
		c.handle, c.protocol = field(b, 140), Protocol(field(b, 144))
		return nil
	})
}

// Reader returns the name of the reader.
func (c *Card) Reader() string { return c.reader }

// Protocol returns the protocol that is spoken with the card.
func (c *Card) Protocol() Protocol { return c.protocol }

// request sends a structure whose answer is as long and ends with a status, again and again
// while another program has a transaction.
func (c *Card) request(ctx context.Context, cmd command, body []byte) (answer []byte, err error) {
	err = c.patiently(ctx, cmd, func() error {
		s := c.session.Load()
		return s.do(ctx, cmd, s.client.timeout(), func(w wire) error {
			b, err := w.call(cmd, body, len(body))
			if err != nil {
				return err
			}
			answer = b
			return status(b)
		})
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// patiently tries until no other program's transaction is in the way, or ctx ends.
func (c *Card) patiently(ctx context.Context, cmd command, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, ErrSharing) {
			return gone(err)
		}
		if err := pause.For(ctx, poll); err != nil {
			return failed(cmd, fmt.Errorf("%w (%w)", err, ErrSharing))
		}
	}
}

// gone translates what pcscd says when a card's reader is not there any more.
func gone(err error) error {
	var failure *CommandError
	if errors.As(err, &failure) && (failure.Err == ErrInvalidValue || failure.Err == ErrInvalidHandle) {
		return &CommandError{Command: failure.Command, Err: ErrReaderGone}
	}
	return err
}

// Reconnect makes the card usable again after [ErrReset], and does to it what init says.
// When pcscd has gone meanwhile, a card of [Client.Connect] is connected anew. Whatever was
// selected or unlocked on the card is not any more.
func (c *Card) Reconnect(ctx context.Context, init Disposition) error {
	share, protocols := c.options.fields()
	answer, err := c.request(ctx, cmdReconnect, structure(c.handle, share, protocols, uint32(init), 0, 0))
	if c.broken(err) {
		if err = c.redial(ctx); err == nil && init != LeaveCard {
			answer, err = c.request(ctx, cmdReconnect, structure(c.handle, share, protocols, uint32(init), 0, 0))
		}
	}
	if err == nil && answer != nil {
		c.protocol = Protocol(field(answer, 16))
	}
	return err
}

// broken says whether err means that the connection has gone and another one may be made.
func (c *Card) broken(err error) bool {
	return c.owned && !c.closed.Load() && (errors.Is(err, ErrStopped) || errors.Is(err, ErrClosed))
}

// redial connects to the card over a new connection.
func (c *Card) redial(ctx context.Context) error {
	old := c.session.Load()
	fresh, err := old.client.Connect(ctx, c.reader, c.options)
	if err != nil {
		return err
	}
	old.Close()
	c.handle, c.protocol = fresh.handle, fresh.protocol
	c.session.Store(fresh.session.Load())
	if c.closed.Load() { // by another goroutine, which may have seen the old one
		fresh.Close()
		return failed(cmdConnect, ErrClosed)
	}
	return nil
}

// Status returns the reader and the card as they are now. The error is [ErrReset] or
// [ErrRemoved] if that has happened since the last [Card.Reconnect] or Connect, and
// [ErrReaderGone].
func (c *Card) Status(ctx context.Context) (Reader, error) {
	if _, err := c.request(ctx, cmdStatus, structure(c.handle, 0)); err != nil {
		return Reader{}, err
	}
	return c.find(ctx)
}

// find looks the reader up in the list.
func (c *Card) find(ctx context.Context) (Reader, error) {
	readers, err := c.session.Load().Readers(ctx)
	if err != nil {
		return Reader{}, err
	}
	i := slices.IndexFunc(readers, func(r Reader) bool { return r.Name == c.reader })
	if i < 0 {
		return Reader{}, failed(cmdStatus, ErrReaderGone)
	}
	return readers[i], nil
}

// Disconnect lets go of the card after doing to it what d says. The Card is of no use
// afterwards.
func (c *Card) Disconnect(ctx context.Context, d Disposition) error {
	if c.closed.Swap(true) {
		return failed(cmdDisconnect, ErrClosed)
	}
	return c.disconnect(ctx, d)
}

func (c *Card) disconnect(ctx context.Context, d Disposition) error {
	_, err := c.request(ctx, cmdDisconnect, structure(c.handle, uint32(d), 0))
	if c.owned {
		c.session.Load().Close()
	}
	return err
}

// Close lets go of the card and leaves it as it is, unless a transaction is open, which
// resets it. What runs on a card of [Client.Connect] ends. Only the first call does
// anything.
func (c *Card) Close() error {
	switch {
	case c.closed.Swap(true):
		return nil
	case c.owned:
		return c.session.Load().Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	return c.disconnect(ctx, LeaveCard)
}
