package ctaphid

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
)

// serverConn is one connection of a [Server]. All but send and run is done by the
// goroutine that called Serve.
type serverConn struct {
	server *Server
	dev    hid.Device
	limit  *deadline
	wg     sync.WaitGroup

	asm      *Reassembler // the message of receiving
	initAsm  *Reassembler // INIT, which may come at any time
	received *transaction // the transaction whose message is incomplete
	began    time.Time    // when its first packet came
	expiry   time.Time    // when it times out; zero without one

	write chan struct{} // holds one value while a message is written; guards out
	out   []byte
}

// read handles reports until the device fails or the context ends.
func (c *serverConn) read(ctx context.Context, report []byte) error {
	for {
		n, err := c.dev.Read(report)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if c.received != nil && !time.Now().Before(c.expiry) {
			c.fail(ErrMsgTimeout)
		}
		if err == nil {
			if p, ok := ParsePacket(report[:n]); ok {
				c.handle(ctx, p)
			}
		}
		if c.received == nil {
			c.expiry = time.Time{}
		}
		if err := c.limit.set(c.expiry); err != nil {
			return err
		}
	}
}

// handle acts on one packet. Continuations that belong to nothing are ignored
// (CTAP 2.2, section 11.2.5).
func (c *serverConn) handle(ctx context.Context, p Packet) {
	switch {
	case p.CID == BroadcastCID && p.Init && p.Command != CmdInit:
		c.refuse(p.CID, ErrInvalidChannel)
	case p.CID == BroadcastCID, p.Init && p.Command == CmdInit && c.server.owns(c, p.CID),
		!p.Init && c.initAsm.Active() && c.initAsm.CID() == p.CID:
		c.handleInit(p)
	case !p.Init:
		if c.received != nil && c.received.cid == p.CID {
			c.receive(ctx, p)
		}
	case !c.server.owns(c, p.CID):
		// 0 is never allocated.
		c.refuse(p.CID, ErrInvalidChannel)
	case p.Command == CmdCancel:
		// Never answered (CTAP 2.2, section 11.2.9.1.5).
		if c.received != nil && c.received.cid == p.CID {
			c.server.end(c.received)
			c.received = nil
			c.asm.Reset()
			return
		}
		c.server.cancel(p.CID)
	case c.received != nil && c.received.cid == p.CID:
		c.fail(ErrInvalidSeq)
	default:
		t, err := c.server.begin(p.CID)
		if err != nil {
			c.refuse(p.CID, ErrChannelBusy)
			return
		}
		c.received, c.began = t, time.Now()
		if !c.server.knows(p.Command) {
			c.fail(ErrInvalidCmd)
			return
		}
		c.asm.Reset()
		c.receive(ctx, p)
	}
}

// handleInit takes a packet of INIT, which on an allocated channel aborts what that
// channel does (CTAP 2.2, section 11.2.9.1.3).
func (c *serverConn) handleInit(p Packet) {
	if p.Init {
		if p.CID != BroadcastCID {
			c.abort(p.CID)
		}
		c.initAsm.Reset()
		if p.Length != nonceSize {
			c.refuse(p.CID, ErrInvalidLen)
			return
		}
	} else if !c.initAsm.Active() {
		return
	}
	done, err := c.initAsm.Add(p)
	if err != nil {
		c.refuse(p.CID, wireError(err))
		return
	}
	if !done {
		return
	}
	r := InitResponse{
		Nonce:           [nonceSize]byte(c.initAsm.Payload()),
		CID:             p.CID,
		ProtocolVersion: protocolVersion,
		DeviceVersion:   c.server.cfg.DeviceVersion,
		Capabilities:    c.server.cfg.Capabilities,
	}
	if p.CID == BroadcastCID {
		if r.CID = c.server.allocate(c); r.CID == 0 {
			c.refuse(p.CID, ErrChannelBusy)
			return
		}
	}
	answer, _ := r.AppendBinary(nil)
	c.send(p.CID, CmdInit, answer)
}

// abort ends the channel's transaction, if it has one.
func (c *serverConn) abort(cid uint32) {
	c.server.mu.Lock()
	c.server.abort(cid)
	c.server.mu.Unlock()
	if c.received != nil && c.received.cid == cid {
		c.received = nil
		c.asm.Reset()
	}
}

// receive takes a packet of the message being received.
func (c *serverConn) receive(ctx context.Context, p Packet) {
	done, err := c.asm.Add(p)
	if err != nil {
		c.fail(wireError(err))
		return
	}
	if done {
		t := c.received
		c.received = nil
		c.start(ctx, t, c.asm.Command(), c.asm.Payload())
		return
	}
	c.expiry = time.Now().Add(packetTimeout)
	if last := c.began.Add(messageTimeout); last.Before(c.expiry) {
		c.expiry = last
	}
}

// start answers a complete message, or begins to. payload is only valid now.
func (c *serverConn) start(ctx context.Context, t *transaction, cmd Command, payload []byte) {
	switch {
	case cmd == CmdPing:
		c.finish(t, CmdPing, payload)
	case cmd == CmdWink && len(payload) == 0:
		if w, ok := c.server.auth.(winker); ok {
			w.Wink()
		}
		c.finish(t, CmdWink, nil)
	case cmd == CmdLock && len(payload) == 1:
		if payload[0] > MaxLockSeconds {
			c.finish(t, CmdError, []byte{byte(ErrInvalidPar)})
			return
		}
		c.server.lock(t.cid, payload[0])
		c.finish(t, CmdLock, nil)
	case cmd == CmdWink, cmd == CmdLock, len(payload) == 0 && !cmd.Vendor():
		c.finish(t, CmdError, []byte{byte(ErrInvalidLen)})
	default:
		ctx, cancel := context.WithCancelCause(ctx)
		c.server.mu.Lock()
		t.cancel = cancel
		c.server.mu.Unlock()
		request := bytes.Clone(payload)
		c.wg.Go(func() {
			defer cancel(nil)
			c.run(ctx, t, cmd, request)
		})
	}
}

// fail ends the message being received with an error.
func (c *serverConn) fail(code Error) {
	t := c.received
	c.received = nil
	c.asm.Reset()
	c.finish(t, CmdError, []byte{byte(code)})
}

// refuse answers what is not part of a transaction.
func (c *serverConn) refuse(cid uint32, code Error) {
	c.send(cid, CmdError, []byte{byte(code)})
}

// finish ends a transaction and sends its last message, if it has not been aborted.
func (c *serverConn) finish(t *transaction, cmd Command, payload []byte) {
	c.write <- struct{}{}
	defer func() { <-c.write }()
	// First the end, so that a client that has its answer finds the key free;
	// an INIT that comes in between is answered after this message, since
	// that needs c.write too.
	if c.server.end(t) {
		c.sendLocked(t.cid, cmd, payload)
	}
}

// keepalive sends KEEPALIVE unless the transaction has been aborted.
func (c *serverConn) keepalive(t *transaction, status byte) {
	c.write <- struct{}{}
	defer func() { <-c.write }()
	if c.server.running(t) {
		c.sendLocked(t.cid, CmdKeepalive, []byte{status})
	}
}

func (c *serverConn) send(cid uint32, cmd Command, payload []byte) {
	c.write <- struct{}{}
	defer func() { <-c.write }()
	c.sendLocked(cid, cmd, payload)
}

// sendLocked writes a message; c.write is held. A message that the client does not
// take is lost to it alone; a device that is gone fails the next read.
func (c *serverConn) sendLocked(cid uint32, cmd Command, payload []byte) {
	f, err := NewFramer(len(c.out), cid, cmd, payload)
	if err != nil {
		f, _ = NewFramer(len(c.out), cid, CmdError, []byte{byte(ErrOther)})
	}
	for f.Next(c.out) {
		if _, err := c.dev.Write(c.out); err != nil {
			return
		}
	}
}

// wireError is the code for an error of a [Reassembler] or an [Authenticator].
func wireError(err error) Error {
	var code Error
	if errors.As(err, &code) {
		return code
	}
	return ErrOther
}
