package ctaphid

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/hid"
)

// The times a [Channel] allows when its [Config] says nothing.
const (
	DefaultSilenceTimeout = 3 * time.Second
	DefaultCancelTimeout  = time.Second
)

// Config says how a [Channel] behaves. The zero value is what [Open] uses.
type Config struct {
	// SilenceTimeout is how long a key may send nothing on this channel while
	// it owes an answer; KEEPALIVE counts as something. 0 means
	// [DefaultSilenceTimeout].
	SilenceTimeout time.Duration
	// CancelTimeout is how long a cancelled key may take for its final answer,
	// and after that for an answer to INIT. 0 means [DefaultCancelTimeout].
	CancelTimeout time.Duration
	// Own, if not nil, is told which channels on the key are this program's, for a
	// [Sniffer].
	Own *Own
}

// Channel is a channel on a key, the client's side of CTAPHID.
//
// All methods may be called from several goroutines: commands run one after the
// other, and a caller whose context ends while it waits for its turn gets the
// context's cause. The Channel reads and writes the device only within a call, and
// never closes it.
//
// Every command
//   - is repeated, after a back-off with jitter, while the key answers
//     CHANNEL_BUSY, until ctx ends;
//   - gives [ErrSilent] when the key sends nothing for the silence time-out;
//   - skips what the key says on other channels;
//   - fails with a [*CommandError].
//
// When ctx ends during an exchange, the key is told CANCEL (where the command has
// one) and its final answer is read, so that the key is free when the call
// returns. If the final answer is CTAP2_ERR_KEEPALIVE_CANCEL or does not come, the
// error wraps context.Cause(ctx). Any other answer means that the key was done
// before it saw the cancel: it is returned as if ctx had not ended, because what
// the key did (a credential made, a PIN retry spent) has happened.
type Channel struct {
	dev   hid.Device
	cfg   Config
	turn  chan struct{} // holds one value while a command runs
	init  InitResponse
	ready bool // the key owes us nothing; guarded by turn, like what follows
	asm   *Reassembler
	in    []byte
	out   []byte
}

// Open asks the key for a channel (CTAP 2.2, section 11.2.9.1.3) with the default
// [Config]. It uses dev until it returns, and then in every call of the Channel's
// methods; nobody else may.
func Open(ctx context.Context, dev hid.Device) (*Channel, error) {
	return Config{}.Open(ctx, dev)
}

// Open is like the function [Open] with the times of cfg.
func (cfg Config) Open(ctx context.Context, dev hid.Device) (*Channel, error) {
	if cfg.SilenceTimeout <= 0 {
		cfg.SilenceTimeout = DefaultSilenceTimeout
	}
	if cfg.CancelTimeout <= 0 {
		cfg.CancelTimeout = DefaultCancelTimeout
	}
	inSize, outSize := dev.ReportSizes()
	if err := checkReportSize(outSize); err != nil {
		return nil, err
	}
	asm, err := NewReassembler(inSize)
	if err != nil {
		return nil, err
	}
	c := &Channel{
		dev:  dev,
		cfg:  cfg,
		turn: make(chan struct{}, 1),
		asm:  asm,
		in:   make([]byte, inSize),
		out:  make([]byte, outSize),
	}
	c.init.CID = BroadcastCID
	if err := c.Resync(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Init returns what the key said about itself when the channel was opened, or
// last synchronized. It must not be called during a Resync or a command.
func (c *Channel) Init() InitResponse { return c.init }

// CBOR sends a CTAP2 request, command byte and CBOR, and returns the response,
// status byte and CBOR (CTAP 2.2, section 11.2.9.1.2). keepalive, if not nil, is
// called on the calling goroutine with the status of every KEEPALIVE; it must not
// use the Channel.
func (c *Channel) CBOR(ctx context.Context, request []byte, keepalive func(status byte)) ([]byte, error) {
	return c.do(ctx, CmdCBOR, request, keepalive)
}

// MSG sends a raw U2F request APDU and returns the response APDU (CTAP 2.2,
// section 11.2.9.1.1). keepalive is as for CBOR. U2F requests do not wait for the
// person and cannot be cancelled: when ctx ends, the answer is awaited and returned.
func (c *Channel) MSG(ctx context.Context, apdu []byte, keepalive func(status byte)) ([]byte, error) {
	return c.do(ctx, CmdMSG, apdu, keepalive)
}

// Ping sends data for the key to return, and returns what the key returned (CTAP
// 2.2, section 11.2.9.1.4).
func (c *Channel) Ping(ctx context.Context, data []byte) ([]byte, error) {
	return c.do(ctx, CmdPing, data, nil)
}

// Wink asks the key to show itself to the person (CTAP 2.2, section 11.2.9.2.1).
// Keys without [CapWink] refuse with [ErrInvalidCmd].
func (c *Channel) Wink(ctx context.Context) error {
	_, err := c.do(ctx, CmdWink, nil, nil)
	return err
}

// MaxLockSeconds is the longest time for which a channel can be locked (CTAP 2.2,
// section 11.2.9.2.2).
const MaxLockSeconds = 10

// Lock keeps other channels from the key for 1 to 10 seconds, or ends that with 0
// (CTAP 2.2, section 11.2.9.2.2).
func (c *Channel) Lock(ctx context.Context, seconds int) error {
	if seconds < 0 || seconds > MaxLockSeconds {
		return &CommandError{Command: CmdLock, Err: fmt.Errorf("%w: %d seconds", ErrArgument, seconds)}
	}
	_, err := c.do(ctx, CmdLock, []byte{byte(seconds)}, nil)
	return err
}

// Vendor sends a vendor command, 0x40 to 0x7F (CTAP 2.2, section 11.2.9.3). keepalive is as for [Channel.CBOR].
func (c *Channel) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(status byte)) ([]byte, error) {
	if !Command(cmd).Vendor() {
		return nil, &CommandError{Command: Command(cmd), Err: fmt.Errorf("%w: not a vendor command", ErrArgument)}
	}
	return c.do(ctx, Command(cmd), payload, keepalive)
}

// Resync sends INIT on the channel, which makes the key drop what it was doing
// there, and skips everything the key said before its answer (CTAP 2.2, section
// 11.2.9.1.3). A Channel does this by itself after a failed exchange.
func (c *Channel) Resync(ctx context.Context) error {
	if err := c.lock(ctx); err != nil {
		return &CommandError{Command: CmdInit, Err: err}
	}
	defer c.unlock()
	return c.sync(ctx)
}

func (c *Channel) lock(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Channel) unlock() { <-c.turn }

// do runs a command, whatever it is, when it is the caller's turn.
func (c *Channel) do(ctx context.Context, cmd Command, payload []byte, keepalive func(byte)) ([]byte, error) {
	_, outSize := c.dev.ReportSizes()
	if limit := MaxMessage(outSize); len(payload) > limit {
		return nil, &CommandError{Command: cmd, Err: fmt.Errorf("%w: %d of at most %d bytes", ErrTooLong, len(payload), limit)}
	}
	if err := c.lock(ctx); err != nil {
		return nil, &CommandError{Command: cmd, Err: err}
	}
	defer c.unlock()
	if !c.ready {
		if err := c.sync(ctx); err != nil {
			return nil, err
		}
	}
	return c.exchange(ctx, &exchange{cid: c.init.CID, cmd: cmd, payload: payload, keepalive: keepalive})
}

// sync sends INIT on the channel, or on the broadcast channel as long as there is
// none.
func (c *Channel) sync(ctx context.Context) error {
	var nonce [nonceSize]byte
	// rand.Read never fails.
	_, _ = rand.Read(nonce[:])
	c.cfg.Own.addNonce(nonce)
	answer, err := c.exchange(ctx, &exchange{cid: c.init.CID, cmd: CmdInit, payload: nonce[:]})
	if c.init.CID != BroadcastCID && errors.Is(err, ErrInvalidChannel) {
		// The key has given our channel to others, or was switched off.
		c.init.CID = BroadcastCID
		answer, err = c.exchange(ctx, &exchange{cid: c.init.CID, cmd: CmdInit, payload: nonce[:]})
	}
	if err != nil {
		return err
	}
	var r InitResponse
	if err := r.UnmarshalBinary(answer); err != nil {
		return &CommandError{Command: CmdInit, Err: err}
	}
	if c.init.CID != BroadcastCID && c.init.CID != r.CID {
		return &CommandError{Command: CmdInit, Err: fmt.Errorf("%w: INIT on channel %08x gives channel %08x", ErrMalformed, c.init.CID, r.CID)}
	}
	c.cfg.Own.addChannel(r.CID)
	c.init = r
	c.ready = true
	return nil
}
