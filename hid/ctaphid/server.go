package ctaphid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
)

// Authenticator is what a [Server] puts on the wire. Calls never overlap, over all
// connections.
//
// An Authenticator may also have Wink() (see [CapWink]) and
// Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(status byte)) ([]byte, error).
//
// ctx ends when the client cancels, resynchronizes or goes away; the call must then
// return soon, for CBOR with the response CTAP2_ERR_KEEPALIVE_CANCEL. A call that
// returns an [Error] is answered with that code, one that returns another error
// with [ErrOther]. keepalive, never nil, sets the status that the client is told
// from now on; it returns at once and may be called from any goroutine.
type Authenticator interface {
	CBOR(ctx context.Context, request []byte, keepalive func(status byte)) (response []byte, err error)
	MSG(ctx context.Context, apdu []byte, keepalive func(status byte)) (response []byte, err error)
}

type winker interface{ Wink() }

type vendorer interface {
	Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(status byte)) ([]byte, error)
}

// ServerConfig says what a [Server] tells about itself. The zero value is a key of
// version 0.0.0 with the capabilities of its [Authenticator].
type ServerConfig struct {
	// DeviceVersion is the maker's version: major, minor, build.
	DeviceVersion [3]byte
	// Capabilities of the key. Commands that the flags exclude are refused. 0
	// means CapCBOR, and CapWink if the Authenticator can wink.
	Capabilities Capabilities
	// MaxChannels bounds the channels that exist at once; one more takes the
	// place of the one least recently used. 0 means [DefaultMaxChannels].
	MaxChannels int
}

// DefaultMaxChannels is the number of channels a [Server] keeps.
const DefaultMaxChannels = 64

// Times of the key's side.
const (
	// packetTimeout is how long a message may wait for its next packet, and
	// messageTimeout for its last (CTAP 2.2, section 11.2.5: a transaction
	// must not be stalled by an application that stops sending).
	packetTimeout  = 500 * time.Millisecond
	messageTimeout = 3 * time.Second
	// keepaliveInterval is less than the 100 ms of CTAP 2.2, section
	// 11.2.9.1.7, so that a loaded machine keeps to it too.
	keepaliveInterval = 75 * time.Millisecond
	// firstKeepalive comes sooner: some clients send CANCEL only after having
	// received a packet.
	firstKeepalive = 20 * time.Millisecond
)

// Server is the key's side of CTAPHID: it answers the clients of any number of
// connections on behalf of one [Authenticator]. A Server is one power-on of a key;
// a new one has fresh state.
//
// Each connection gets the replies to what came over it. Channels, the lock and the
// one transaction that may run are shared: the channels of other connections get
// CHANNEL_BUSY meanwhile, as those of the same one do. INIT on the broadcast
// channel is always answered.
type Server struct {
	auth Authenticator
	cfg  ServerConfig
	// call holds one value while the Authenticator runs.
	call chan struct{}

	mu       sync.Mutex // guards what follows
	channels map[uint32]*serverChannel
	nextCID  uint32
	uses     uint64
	current  *transaction
	lockCID  uint32 // 0: nobody
	lockEnd  time.Time
}

type serverChannel struct {
	conn *serverConn
	used uint64 // Server.uses when last used
}

// errAborted is why a call's context ends when its answer is not wanted any more.
var errAborted = errors.New("ctaphid: client has abandoned the command")

// transaction is a message being received or answered. Its fields are guarded by
// Server.mu.
type transaction struct {
	cid    uint32
	cancel context.CancelCauseFunc // nil while the message is being received
}

// NewServer returns the key's side of CTAPHID for a.
func NewServer(a Authenticator, cfg ServerConfig) *Server {
	if cfg.Capabilities == 0 {
		cfg.Capabilities = CapCBOR
		if _, ok := a.(winker); ok {
			cfg.Capabilities |= CapWink
		}
	}
	if cfg.MaxChannels <= 0 {
		cfg.MaxChannels = DefaultMaxChannels
	}
	return &Server{
		auth:     a,
		cfg:      cfg,
		call:     make(chan struct{}, 1),
		channels: make(map[uint32]*serverChannel),
		nextCID:  rand.Uint32(),
	}
}

// Serve answers what comes over dev until ctx ends (then it returns the context's
// cause, and a running command is cancelled and not answered) or dev is closed or gone (nil). It may be called for several devices at
// once. When it returns, the connection's channels, lock and transaction are gone,
// no goroutine of it runs and dev is not used any more; it does not close dev.
func (s *Server) Serve(ctx context.Context, dev hid.Device) error {
	inSize, outSize := dev.ReportSizes()
	if err := checkReportSize(outSize); err != nil {
		return err
	}
	asm, err := NewReassembler(inSize)
	if err != nil {
		return err
	}
	initAsm, err := NewReassembler(inSize)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &serverConn{
		server:  s,
		dev:     dev,
		limit:   &deadline{dev: dev},
		asm:     asm,
		initAsm: initAsm,
		write:   make(chan struct{}, 1),
		out:     make([]byte, outSize),
	}
	defer c.wg.Wait()
	defer s.drop(c)
	defer cancel(nil)
	defer c.limit.release()
	defer context.AfterFunc(ctx, c.limit.expire)()
	err = c.read(ctx, make([]byte, inSize))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, hid.ErrGone), errors.Is(err, os.ErrClosed), errors.Is(err, io.EOF):
		return nil
	}
	return fmt.Errorf("ctaphid: serve: %w", err)
}

// allocate makes a channel for a connection and returns its number: never 0, the
// broadcast channel, or one in use (CTAP 2.2, section 11.2.9.1.3).
func (s *Server) allocate(c *serverConn) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.channels) >= s.cfg.MaxChannels {
		if !s.evict() {
			return 0
		}
	}
	for {
		s.nextCID++
		if s.nextCID == 0 || s.nextCID == BroadcastCID || s.channels[s.nextCID] != nil {
			continue
		}
		s.uses++
		s.channels[s.nextCID] = &serverChannel{conn: c, used: s.uses}
		return s.nextCID
	}
}

// evict frees the channel least recently used that is not busy. s.mu is held.
func (s *Server) evict() bool {
	var oldest uint32
	var used uint64
	for cid, ch := range s.channels {
		busy := s.current != nil && s.current.cid == cid || s.locked() == cid
		if !busy && (oldest == 0 || ch.used < used) {
			oldest, used = cid, ch.used
		}
	}
	if oldest == 0 {
		return false
	}
	delete(s.channels, oldest)
	return true
}

// locked returns the channel that has the lock, or 0. s.mu is held.
func (s *Server) locked() uint32 {
	if s.lockCID != 0 && !time.Now().Before(s.lockEnd) {
		s.lockCID = 0
	}
	return s.lockCID
}

// drop forgets all that a connection has.
func (s *Server) drop(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cid, ch := range s.channels {
		if ch.conn == c {
			s.abort(cid)
			if s.lockCID == cid {
				s.lockCID = 0
			}
			delete(s.channels, cid)
		}
	}
}

// abort ends a channel's transaction without an answer. s.mu is held.
func (s *Server) abort(cid uint32) {
	if s.current == nil || s.current.cid != cid {
		return
	}
	if s.current.cancel != nil {
		s.current.cancel(errAborted)
	}
	s.current = nil
}

// owns says whether the channel exists on the connection, and marks it used.
func (s *Server) owns(c *serverConn, cid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channels[cid]
	if ch == nil || ch.conn != c {
		return false
	}
	s.uses++
	ch.used = s.uses
	return true
}

// begin makes a transaction for a channel, unless another channel has one or the
// lock. A channel that already runs a command is busy too.
func (s *Server) begin(cid uint32) (*transaction, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		return nil, ErrChannelBusy
	}
	if owner := s.locked(); owner != 0 && owner != cid {
		return nil, ErrChannelBusy
	}
	s.current = &transaction{cid: cid}
	return s.current, nil
}

// end ends t, and says whether it was still the one that runs.
func (s *Server) end(t *transaction) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != t {
		return false
	}
	s.current = nil
	return true
}

// running says whether t has not been ended or aborted.
func (s *Server) running(t *transaction) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current == t
}

// cancel cancels the command that runs on a channel; there need not be one.
func (s *Server) cancel(cid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.current; t != nil && t.cid == cid && t.cancel != nil {
		t.cancel(errCancelled)
	}
}

// lock gives the lock to a channel for a time; 0 ends it.
func (s *Server) lock(cid uint32, seconds byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lockCID = cid
	s.lockEnd = time.Now().Add(time.Duration(seconds) * time.Second)
}

// knows says whether the key has a command.
func (s *Server) knows(cmd Command) bool {
	switch cmd {
	case CmdPing, CmdLock:
		return true
	case CmdMSG:
		return !s.cfg.Capabilities.Has(CapNMSG)
	case CmdCBOR:
		return s.cfg.Capabilities.Has(CapCBOR)
	case CmdWink:
		return s.cfg.Capabilities.Has(CapWink)
	}
	if cmd.Vendor() {
		_, ok := s.auth.(vendorer)
		return ok
	}
	return false
}
