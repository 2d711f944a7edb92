package ctaphid

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// result is what an Authenticator's call returned.
type result struct {
	response []byte
	err      error
}

// run has the Authenticator answer a request and keeps the client company
// meanwhile. All of a transaction's messages are sent by this goroutine, so no
// KEEPALIVE follows the answer (CTAP 2.2, section 11.2.9.1.7). A client is told at
// least once that the person was needed, however soon the person was there: it may
// show that to somebody.
func (c *serverConn) run(ctx context.Context, t *transaction, cmd Command, request []byte) {
	var status atomic.Uint32
	status.Store(uint32(StatusProcessing))
	var asked atomic.Bool // for the person, at some time
	told := false         // the client, of that
	tell := func(s byte) {
		told = told || s == StatusUPNeeded
		c.keepalive(t, s)
	}
	finish := func(r result) {
		if asked.Load() && !told {
			tell(StatusUPNeeded)
		}
		c.answer(ctx, t, cmd, r)
	}
	changed := make(chan struct{}, 1)
	answered := make(chan result, 1)
	c.wg.Go(func() {
		answered <- c.call(ctx, cmd, request, func(s byte) {
			if s == StatusUPNeeded {
				asked.Store(true)
			}
			if status.Swap(uint32(s)) != uint32(s) {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		})
	})
	first := firstKeepalive
	if cmd == CmdMSG {
		// U2F clients of old expect none, and U2F answers at once.
		first = keepaliveInterval
	}
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case r := <-answered:
			finish(r)
			return
		case <-changed:
		case <-timer.C:
		}
		select {
		case r := <-answered:
			finish(r)
			return
		default:
		}
		tell(byte(status.Load()))
		timer.Reset(keepaliveInterval)
	}
}

// call calls the Authenticator when its last call, which may have been aborted, has
// returned.
func (c *serverConn) call(ctx context.Context, cmd Command, request []byte, keepalive func(byte)) (r result) {
	select {
	case c.server.call <- struct{}{}:
		defer func() { <-c.server.call }()
	case <-ctx.Done():
		return result{err: ctx.Err()}
	}
	switch cmd {
	case CmdCBOR:
		r.response, r.err = c.server.auth.CBOR(ctx, request, keepalive)
	case CmdMSG:
		r.response, r.err = c.server.auth.MSG(ctx, request, keepalive)
	default:
		r.err = ErrInvalidCmd
		if v, ok := c.server.auth.(vendorer); ok {
			r.response, r.err = v.Vendor(ctx, byte(cmd), request, keepalive)
		}
	}
	return r
}

// answer sends the result of a call.
func (c *serverConn) answer(ctx context.Context, t *transaction, cmd Command, r result) {
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCancelled):
		// Aborted, or Serve ends: the client gets no answer.
		c.server.end(t)
	case r.err != nil && cmd == CmdCBOR && ctx.Err() != nil:
		// CTAP 2.2, section 11.2.9.1.5.
		c.finish(t, CmdCBOR, []byte{statusKeepaliveCancel})
	case r.err != nil:
		c.finish(t, CmdError, []byte{byte(wireError(r.err))})
	case len(r.response) == 0 && !cmd.Vendor():
		c.finish(t, CmdError, []byte{byte(ErrOther)})
	default:
		c.finish(t, cmd, r.response)
	}
}
