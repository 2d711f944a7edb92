// Package pcsc talks to smart cards through pcscd, the daemon that owns the card readers
// of a Linux machine: by its Unix socket, in pure Go, without libpcsclite.
//
// It is for tokens whose applets speak ISO 7816 APDUs over CCID, as the OATH applets do.
// A [Client] says where pcscd is; [Client.Readers] looks once, [Client.Watch] keeps on
// looking, [Client.Connect] gives a [Card], whose [Card.Transaction] keeps other programs
// away while a few APDUs that belong together are sent.
//
// # What is known of the protocol
//
// It is private to pcsc-lite (src/winscard_msg.h) and has a version: 4:4 in pcsc-lite
// 1.8.24 to 2.2.3, 4:5 in 2.3.0 to 2.4.1, 4:6 since 2.5.0. Servers up to 2.4.0 take their
// own version only, later ones also older clients, and answer with their own number all
// the same. So 4:4 is asked for, then what the server says it has, and what counts is the
// status of the answer, not the number in it.
//
// # Presence, and a pcscd that sleeps
//
// pcscd is started by systemd when somebody connects, and ends 60 seconds after the last
// connection. While it runs it holds the USB interface of every reader, so programs that
// drive readers by themselves (gpg's scdaemon with its own CCID driver) find them busy; it
// polls readers several times a second. A connection that only waits for a card therefore
// costs something. [Client.Watch] can do without: it is given a channel that says when USB
// devices come and go (the kernel tells that for nothing), and asks pcscd then only. What
// this cannot see is a card put into a reader that was there before; who needs that leaves
// the channel out, and one connection stays open until the watch's context ends.
//
// # What ends, and what stays usable
//
// Every wait ends with its context. Requests have a time limit, so that a pcscd that hangs
// ends in [ErrSilent]. The protocol has no way to take back a request whose answer is
// outstanding, except for a wait for changes: when a context or the limit ends another
// one, the connection is closed, and pcscd lets go of the card when the card has answered
// (a YubiKey that blinks does so for 15 seconds). If a transaction was open, pcscd then
// resets the card. A Card made by [Client.Connect] dials again by itself at its next
// transaction.
//
// # What is not tested
//
// Real programs in the tests are pcscd 1.9.9 (4:4) and vsmartcard's vpcd. 4:5 and 4:6, more
// than 16 readers, and refusals by polkit are tested with a pcscd of our own only, which
// was written from descriptions. The layout of 4:6's reader states is second-hand; it is
// used only with a server that refuses 4:4, or when 16 readers fill 4:4's list. T=0 has
// met an emulated card, not a real one. Big-endian and 32-bit machines were not tried.
package pcsc

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// DefaultSocket is where pcscd listens, unless the environment variable
// PCSCLITE_CSOCK_NAME names another path.
const DefaultSocket = "/run/pcscd/pcscd.comm"

// socketVariable is what libpcsclite looks at, too (src/winscard_msg.c, getSocketName).
const socketVariable = "PCSCLITE_CSOCK_NAME"

// Limits that a [Client] has by default.
const (
	// DefaultTimeout bounds requests that pcscd answers by itself. Connecting is
	// among them, and waits for other programs' transactions to end.
	DefaultTimeout = 30 * time.Second
	// DefaultCardTimeout bounds requests that the card answers, some after a touch.
	DefaultCardTimeout = 60 * time.Second
)

// cleanupTimeout bounds what is done after the caller's context has ended.
const cleanupTimeout = 2 * time.Second

// Client says how to reach pcscd. The zero value is ready for use; fields must not be
// changed, nor the Client copied, after that. It holds no connection. Its methods may be
// called from several goroutines.
type Client struct {
	// Socket is the path of pcscd's socket. Empty means what PCSCLITE_CSOCK_NAME
	// says, or [DefaultSocket].
	Socket string
	// Dial makes a connection. Nil means to Socket.
	Dial func(ctx context.Context) (net.Conn, error)
	// Timeout bounds each request that pcscd answers by itself, 0 means
	// [DefaultTimeout].
	Timeout time.Duration
	// CardTimeout bounds each request that the card answers, 0 means
	// [DefaultCardTimeout].
	CardTimeout time.Duration

	// minor is the version that the last connection has agreed on, 0 for none yet. To
	// ask for it first keeps pcscd's log free of complaints.
	minor atomic.Uint32
}

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return DefaultTimeout
}

func (c *Client) cardTimeout() time.Duration {
	if c.CardTimeout > 0 {
		return c.CardTimeout
	}
	return DefaultCardTimeout
}

func (c *Client) socket() string {
	if c.Socket != "" {
		return c.Socket
	}
	if path := os.Getenv(socketVariable); path != "" {
		return path
	}
	return DefaultSocket
}

// Readers looks once at which readers there are. The list is empty when there is none;
// that is not an error. The connection is gone when it returns.
func (c *Client) Readers(ctx context.Context) ([]Reader, error) {
	s, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Readers(ctx)
}

// Connect opens the card in the reader of the given name, over a connection of its own,
// which ends with the Card. The error is [ErrNoReader], [ErrNoCard], [ErrSharing] when
// another program has the card for itself, [ErrDenied], [ErrNoService] and others.
func (c *Client) Connect(ctx context.Context, reader string, o ConnectOptions) (*Card, error) {
	card, hungUp, err := c.connect(ctx, reader, o)
	if hungUp {
		// Releases before 2.3 hang up on who may not have this card (src/winscard_svc.c,
		// SCARD_CONNECT). So does a pcscd that ends, but not twice.
		if card, hungUp, err = c.connect(ctx, reader, o); hungUp {
			err = failed(cmdConnect, ErrDenied)
		}
	}
	return card, err
}

func (c *Client) connect(ctx context.Context, reader string, o ConnectOptions) (card *Card, hungUp bool, err error) {
	s, err := c.Open(ctx)
	if err != nil {
		return nil, false, err
	}
	if card, err = s.Connect(ctx, reader, o); err != nil {
		s.Close()
		return nil, errors.Is(err, ErrStopped), err
	}
	card.owned = true
	return card, false, nil
}
