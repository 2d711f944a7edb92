package hid

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a [DatagramListener] that is given none.
const (
	DefaultMaxPeers = 64
	DefaultPeerIdle = 5 * time.Minute
)

// DatagramConfig limits a [DatagramListener]. The zero value is one for reports of the default
// size with the default limits.
type DatagramConfig struct {
	// InputSize and OutputSize are the sizes of reports that are read and written, as with
	// [NewStream].
	InputSize, OutputSize int
	// MaxPeers bounds the peers at a time; one more takes the place of the one that has been
	// silent for longest. 0 means [DefaultMaxPeers].
	MaxPeers int
	// Idle is how long a peer may be silent in both directions before it is forgotten. 0 means
	// [DefaultPeerIdle].
	Idle time.Duration
}

// DatagramListener takes the peers of a UDP socket apart: each address that sends a report is a
// device of its own, and a report is a datagram. Datagrams of another size are dropped.
type DatagramListener struct {
	conn   *net.UDPConn
	config DatagramConfig
	fresh  chan *peer    // waits for Accept
	done   chan struct{} // closed when receiving has ended

	order atomic.Int64 // counts what is sent and received

	mu    sync.Mutex // guards what follows
	peers map[netip.AddrPort]*peer
}

// NewDatagramListener returns the devices of conn, which it owns.
func NewDatagramListener(conn *net.UDPConn, config DatagramConfig) *DatagramListener {
	config.InputSize, config.OutputSize = reportSize(config.InputSize), reportSize(config.OutputSize)
	if config.MaxPeers <= 0 {
		config.MaxPeers = DefaultMaxPeers
	}
	if config.Idle <= 0 {
		config.Idle = DefaultPeerIdle
	}
	l := &DatagramListener{
		conn: conn, config: config,
		fresh: make(chan *peer, config.MaxPeers),
		done:  make(chan struct{}),
		peers: map[netip.AddrPort]*peer{},
	}
	go l.receive()
	return l
}

// Accept waits for a report from an address that is not known and returns its device. The error
// is [os.ErrClosed] (wrapped) after Close.
func (l *DatagramListener) Accept() (Device, error) {
	select {
	case p := <-l.fresh:
		return p, nil
	case <-l.done:
		return nil, errClosed
	}
}

// Addr is the address that is listened at.
func (l *DatagramListener) Addr() net.Addr { return l.conn.LocalAddr() }

// Close ends all devices, too.
func (l *DatagramListener) Close() error {
	err := l.conn.Close()
	<-l.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *DatagramListener) receive() {
	defer close(l.done)
	defer l.end()
	packet := make([]byte, l.config.InputSize+1)
	for {
		n, address, err := l.conn.ReadFromUDPAddrPort(packet)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // what one peer has done to the socket is nothing to the others
		case n != l.config.InputSize:
			continue
		}
		if p := l.peer(address); p != nil {
			// A device that is not read loses reports, as the network would.
			p.queue.offer(packet[:n])
		}
	}
}

// peer returns the device of an address, a new one if need be; nil when nobody accepts.
func (l *DatagramListener) peer(address netip.AddrPort) *peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[address]; p != nil {
		p.stir()
		return p
	}
	if len(l.peers) >= l.config.MaxPeers {
		l.evict()
	}
	p := &peer{listener: l, address: address, queue: newQueue(l.config.InputSize, queueLength)}
	p.stir()
	select {
	case l.fresh <- p:
	default:
		return nil
	}
	p.timer = time.AfterFunc(l.config.Idle, p.expire)
	l.peers[address] = p
	return p
}

// evict forgets the peer that has been silent for longest; l.mu is held.
func (l *DatagramListener) evict() {
	var oldest *peer
	for _, p := range l.peers {
		if oldest == nil || p.order.Load() < oldest.order.Load() {
			oldest = p
		}
	}
	if oldest != nil {
		l.drop(oldest, ErrGone)
	}
}

// drop ends a peer's device; l.mu is held.
func (l *DatagramListener) drop(p *peer, cause error) {
	if l.peers[p.address] == p {
		delete(l.peers, p.address)
	}
	p.timer.Stop()
	p.gone.Store(true)
	p.queue.closeWriter(cause, cause)
}

func (l *DatagramListener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		l.drop(p, ErrGone)
	}
}

// peer is the device of one address.
type peer struct {
	listener *DatagramListener
	address  netip.AddrPort
	queue    *queue
	timer    *time.Timer  // forgets it; DatagramListener.mu
	active   atomic.Int64 // when something was last sent or received, in nanoseconds since began
	order    atomic.Int64 // its place among all that was sent and received: clocks can stand still
	gone     atomic.Bool
	closed   atomic.Bool
}

// began is where the time of peers begins: a difference to it does not follow the wall clock when that is set.
var began = time.Now()

func (p *peer) stir() {
	p.active.Store(int64(time.Since(began)))
	p.order.Store(p.listener.order.Add(1))
}

// expire forgets a peer that is silent.
func (p *peer) expire() {
	l := p.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := l.config.Idle - (time.Since(began) - time.Duration(p.active.Load())); left > 0 && !p.gone.Load() {
		p.timer.Reset(left)
		return
	}
	l.drop(p, ErrGone)
}

func (p *peer) Read(report []byte) (int, error) { return p.queue.pop(report) }

func (p *peer) Write(report []byte) (int, error) {
	switch size := p.listener.config.OutputSize; {
	case len(report) != size:
		return 0, sizeError(len(report), size)
	case p.closed.Load():
		return 0, errClosed
	case p.gone.Load():
		return 0, ErrGone
	}
	p.stir()
	// A datagram is sent at once, or lost.
	_, err := p.listener.conn.WriteToUDPAddrPort(report, p.address)
	if err != nil {
		return 0, explainConn("write", err)
	}
	return len(report), nil
}

func (p *peer) SetReadDeadline(t time.Time) error { return p.queue.setReadDeadline(t) }

func (p *peer) ReportSizes() (input, output int) {
	return p.queue.size, p.listener.config.OutputSize
}

// Close forgets the peer: its next report makes a new device.
func (p *peer) Close() error {
	p.closed.Store(true)
	p.queue.closeReader(errClosed, errClosed)
	p.listener.mu.Lock()
	defer p.listener.mu.Unlock()
	p.listener.drop(p, os.ErrClosed)
	return nil
}
