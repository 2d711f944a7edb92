package ctaphid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// The back-off between attempts while the key is busy: doubled from the first to
// the last, each drawn from the upper half.
const (
	firstBackoff = 25 * time.Millisecond
	lastBackoff  = 400 * time.Millisecond
)

// statusKeepaliveCancel is CTAP2_ERR_KEEPALIVE_CANCEL, with which CTAP 2.2,
// section 11.2.9.1.5 has a key answer a cancelled CBOR request.
const statusKeepaliveCancel = 0x2D

// exchange is one request and its answer.
type exchange struct {
	cid       uint32
	cmd       Command
	payload   []byte // the nonce when cmd is INIT
	keepalive func(status byte)
	limit     *deadline
	refusal   error // INIT: the last refusal, which may not be meant for it
}

// cancellable says whether the key is told CANCEL when the context ends. The other
// commands are answered without waiting for the person.
func (x *exchange) cancellable() bool { return x.cmd == CmdCBOR || x.cmd.Vendor() }

// settledBy says whether the key's refusal is its final answer to the request. After
// one that is not about the request itself the channel needs an INIT.
func (x *exchange) settledBy(refused *CommandError) bool {
	switch refused.Err {
	case ErrChannelBusy, ErrInvalidCmd, ErrInvalidPar, ErrInvalidLen, ErrLockRequired:
		return x.cmd != CmdInit
	}
	return false
}

// exchange sends a request until the key is not busy, and returns its answer.
func (c *Channel) exchange(ctx context.Context, x *exchange) ([]byte, error) {
	wait := firstBackoff
	for {
		answer, err := c.attempt(ctx, x)
		var refused *CommandError
		if err == nil || !errors.As(err, &refused) || !refused.FromKey || refused.Err != ErrChannelBusy {
			return answer, err
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, &CommandError{Command: x.cmd, Err: fmt.Errorf("%w (key was busy)", context.Cause(ctx))}
		}
		wait = min(2*wait, lastBackoff)
	}
}

// attempt sends a request once and reads the answer to it. Whatever happens, the
// key owes nothing afterwards, or c.ready is false.
func (c *Channel) attempt(ctx context.Context, x *exchange) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, &CommandError{Command: x.cmd, Err: context.Cause(ctx)}
	}
	c.ready = false
	c.asm.Reset()
	x.limit = &deadline{dev: c.dev}
	defer x.limit.release()
	defer context.AfterFunc(ctx, x.limit.expire)()

	sent, err := c.send(ctx, x.cid, x.cmd, x.payload)
	if err == nil {
		if err = x.limit.set(time.Now().Add(c.cfg.SilenceTimeout)); err == nil {
			var answer []byte
			answer, err = c.await(ctx, x)
			if err == nil {
				c.ready = true
				return answer, nil
			}
		}
	}
	var failed *CommandError
	switch {
	case errors.As(err, &failed) && failed.FromKey:
		c.ready = x.settledBy(failed)
		return nil, err
	case ctx.Err() == nil:
		if x.cancellable() && (errors.Is(err, ErrSilent) || errors.Is(err, ErrMalformed)) {
			// Don't leave it blinking; the next command starts with INIT.
			_, _ = c.send(context.Background(), x.cid, CmdCancel, nil)
		}
		return nil, &CommandError{Command: x.cmd, Err: err}
	case x.cmd == CmdInit || errors.Is(err, errDevice):
		return nil, &CommandError{Command: x.cmd, Err: cause(ctx, err)}
	}
	x.limit.release()
	if sent {
		answer, err := c.drain(x)
		if err == nil {
			return answer, nil
		}
		if errors.Is(err, errDevice) {
			return nil, &CommandError{Command: x.cmd, Err: context.Cause(ctx)}
		}
	}
	if !c.ready {
		c.abandon()
	}
	return nil, &CommandError{Command: x.cmd, Err: context.Cause(ctx)}
}

// errDevice marks errors of the device, after which there is nothing to talk to.
var errDevice = errors.New("ctaphid: device failed")

type deviceError struct{ error }

func (deviceError) Is(target error) bool { return target == errDevice }
func (e deviceError) Unwrap() error      { return e.error }

// cause is the context's cause, unless the device failed.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, errDevice) {
		return err
	}
	return context.Cause(ctx)
}

// send writes a message. It stops between packets when ctx ends; sent says whether
// all of it has been written.
func (c *Channel) send(ctx context.Context, cid uint32, cmd Command, payload []byte) (sent bool, err error) {
	f, err := NewFramer(len(c.out), cid, cmd, payload)
	if err != nil {
		return false, err
	}
	for f.Next(c.out) {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if _, err := c.dev.Write(c.out); err != nil {
			return false, deviceError{err}
		}
	}
	return true, nil
}

// drain ends an exchange whose context has ended: CANCEL, then the final answer.
// It returns the answer if the key was done before it saw the cancel, and an error
// of any kind otherwise.
func (c *Channel) drain(x *exchange) ([]byte, error) {
	ctx := context.Background()
	if x.cancellable() {
		// CTAP 2.2, section 11.2.9.1.5: CANCEL itself has no answer.
		if _, err := c.send(ctx, x.cid, CmdCancel, nil); err != nil {
			return nil, err
		}
	}
	x.keepalive = nil
	x.limit = &deadline{dev: c.dev}
	if err := x.limit.set(time.Now().Add(c.cfg.CancelTimeout)); err != nil {
		return nil, deviceError{err}
	}
	answer, err := c.collect(ctx, x, 0)
	if err != nil {
		var failed *CommandError
		c.ready = errors.As(err, &failed) && failed.FromKey && x.settledBy(failed)
		return nil, err
	}
	c.ready = true
	if x.cmd == CmdCBOR && len(answer) == 1 && answer[0] == statusKeepaliveCancel {
		return nil, errCancelled
	}
	return answer, nil
}

// errCancelled says that a command ended because the client sent CANCEL: to the
// client what the answer means, to an [Authenticator] the cause of its context's
// end.
var errCancelled = errors.New("ctaphid: command was cancelled")

// abandon tries once to free the key by INIT; if that fails, the next command
// begins with INIT.
func (c *Channel) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.CancelTimeout)
	defer cancel()
	_ = c.sync(ctx)
}

// await reads the answer to x; what the key sends on our channel postpones the
// silence time-out.
func (c *Channel) await(ctx context.Context, x *exchange) ([]byte, error) {
	return c.collect(ctx, x, c.cfg.SilenceTimeout)
}

// collect reads reports until the answer to x is complete. Every packet of ours
// moves the deadline to extend from now, unless extend is 0.
func (c *Channel) collect(ctx context.Context, x *exchange, extend time.Duration) ([]byte, error) {
	for {
		n, err := c.dev.Read(c.in)
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)):
			if err == nil {
				// Not lost: the answer may be complete with it.
				if p, ok := ParsePacket(c.in[:n]); ok && p.CID == x.cid {
					if answer, done, err := c.take(x, p); done || err != nil {
						return answer, err
					}
				}
			}
			return nil, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, x.silent(c.cfg.SilenceTimeout)
		case err != nil:
			return nil, deviceError{err}
		}
		p, ok := ParsePacket(c.in[:n])
		if !ok || p.CID != x.cid {
			// hidraw shows us other programs' channels too.
			continue
		}
		answer, done, err := c.take(x, p)
		if done || err != nil {
			return answer, err
		}
		if extend > 0 && x.cmd != CmdInit {
			if err := x.limit.set(time.Now().Add(extend)); err != nil {
				return nil, deviceError{err}
			}
		}
	}
}

// silent is the error of a key that has not answered in time.
func (x *exchange) silent(after time.Duration) error {
	if x.refusal != nil {
		return x.refusal
	}
	return fmt.Errorf("%w for %v", ErrSilent, after)
}

// take looks at a packet of the exchange's channel. A complete answer is copied.
func (c *Channel) take(x *exchange, p Packet) (answer []byte, done bool, err error) {
	if x.cmd == CmdInit {
		return c.takeInit(x, p)
	}
	switch {
	case !p.Init && !c.asm.Active():
		// The rest of a message whose beginning was not for us.
		return nil, false, nil
	case p.Init && p.Command == CmdKeepalive:
		if p.Length != 1 {
			return nil, false, fmt.Errorf("%w: KEEPALIVE of %d bytes", ErrMalformed, p.Length)
		}
		if x.keepalive != nil {
			x.keepalive(p.Data[0])
		}
		return nil, false, nil
	case p.Init && p.Command == CmdError:
		return nil, false, refusal(x.cmd, p)
	case p.Init && p.Command == CmdInit:
		// A late answer to an INIT that we have given up.
		return nil, false, nil
	case p.Init && p.Command != x.cmd:
		return nil, false, fmt.Errorf("%w: %v to %v", ErrMalformed, p.Command, x.cmd)
	}
	done, err = c.asm.Add(p)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !done {
		return nil, false, nil
	}
	return bytes.Clone(c.asm.Payload()), true, nil
}

// takeInit looks at a packet while INIT is unanswered. On the broadcast channel
// others are being answered as well, and on our own there may be the rest of what
// INIT interrupts, so everything without our nonce is skipped.
func (c *Channel) takeInit(x *exchange, p Packet) (answer []byte, done bool, err error) {
	switch {
	case p.Init && p.Command == CmdError:
		err := refusal(CmdInit, p)
		if errors.Is(err, ErrChannelBusy) || x.cid != BroadcastCID && errors.Is(err, ErrInvalidChannel) {
			return nil, false, err
		}
		// Perhaps another program's, or the end of what INIT interrupts.
		x.refusal = err
		return nil, false, nil
	case p.Init && p.Command != CmdInit:
		return nil, false, nil
	case p.Init:
		c.asm.Reset()
	case !c.asm.Active():
		return nil, false, nil
	}
	if done, err = c.asm.Add(p); err != nil || !done {
		return nil, false, nil
	}
	if answer = c.asm.Payload(); !bytes.HasPrefix(answer, x.payload) {
		return nil, false, nil
	}
	return bytes.Clone(answer), true, nil
}

// refusal is the error that an ERROR message stands for.
func refusal(cmd Command, p Packet) error {
	if p.Length != 1 {
		return fmt.Errorf("%w: ERROR of %d bytes", ErrMalformed, p.Length)
	}
	return &CommandError{Command: cmd, FromKey: true, Err: Error(p.Data[0])}
}
