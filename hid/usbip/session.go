package usbip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
)

// Limits of what a host can make us keep.
const (
	// maxPending is the number of transfers that wait; more are refused. usbhid keeps one or
	// two, libusb's hidapi one.
	maxPending = 256
	// maxUnsent is the number of bytes of answers after which we read no more commands.
	maxUnsent = 1 << 16
	// writeTimeout ends the session of a host that does not read its answers.
	writeTimeout = 10 * time.Second
)

// transfer is a command that is not answered yet.
type transfer struct {
	sequence uint32
	length   int    // the most that the host takes
	data     []byte // for the device
}

// session is a host that has the device. Device.mu guards what follows after the channels.
type session struct {
	device *Device
	conn   net.Conn

	configured chan struct{} // closed when the host has chosen a configuration
	ready      sync.Once
	unsent     chan struct{} // gets a value when there are answers to send
	sent       chan struct{} // gets a value when there is room for answers
	outgoing   chan struct{} // gets a value when outs is not empty

	configuration       byte
	idle                byte
	haltedIn, haltedOut bool
	ins, outs           []*transfer // on the interrupt endpoints, the oldest first
	answers             []byte
}

func newSession(d *Device, conn net.Conn) *session {
	return &session{
		device: d, conn: conn,
		configured: make(chan struct{}),
		unsent:     make(chan struct{}, 1),
		sent:       make(chan struct{}, 1),
		outgoing:   make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run follows the host's commands until it hangs up (nil), breaks the protocol, or ctx ends.
// The session must have been claimed.
func (s *session) run(ctx context.Context, r *bufio.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer s.device.release()
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		if err := s.send(ctx); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() { s.carry(ctx) })
	var m message
	for {
		err := readMessage(r, &m)
		if err == nil {
			err = s.room(ctx)
		}
		if err == nil {
			err = s.follow(&m)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return nil
		default:
			return err
		}
	}
}

// room waits while too many answers are not sent.
func (s *session) room(ctx context.Context) error {
	for {
		s.device.mu.Lock()
		n := len(s.answers)
		s.device.mu.Unlock()
		if n < maxUnsent {
			return nil
		}
		select {
		case <-s.sent:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send writes answers to the host.
func (s *session) send(ctx context.Context) error {
	var batch []byte
	for {
		select {
		case <-s.unsent:
		case <-ctx.Done():
			return nil
		}
		s.device.mu.Lock()
		batch, s.answers = s.answers, batch[:0]
		s.device.mu.Unlock()
		signal(s.sent)
		if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return fmt.Errorf("usbip: %w", err)
		}
		if _, err := s.conn.Write(batch); err != nil {
			return fmt.Errorf("usbip: %w", err)
		}
	}
}

// follow does what a command says.
func (s *session) follow(m *message) error {
	s.device.mu.Lock()
	defer s.device.mu.Unlock()
	switch {
	case m.command == cmdUnlink:
		status := int32(statusOK) // it is answered already
		if s.cancel(m.victim) {
			status = statusCancelled
		}
		s.answers = appendUnlinked(s.answers, m.sequence, status)
		signal(s.unsent)
		return nil
	case s.isPending(m.sequence):
		return fmt.Errorf("%w: sequence number %d is in use", errProtocol, m.sequence)
	case m.endpoint == endpointControl:
		s.controlTransfer(m)
		return nil
	case m.endpoint != endpointInterrupt, s.configuration == 0,
		m.direction == directionIn && s.haltedIn, m.direction == directionOut && s.haltedOut:
		s.answer(m.sequence, statusStall, 0, nil)
		return nil
	case len(s.ins)+len(s.outs) >= maxPending:
		s.answer(m.sequence, statusNoMemory, 0, nil)
		return nil
	}
	t := &transfer{sequence: m.sequence, length: int(m.length)}
	if m.direction == directionIn {
		s.ins = append(s.ins, t)
		if report := s.device.take(); report != nil {
			s.deliver(report)
		}
		return nil
	}
	if len(m.data) != s.device.config.OutputSize {
		// Not a report of this device. Section 9.4.5 of USB 2.0: the halt stays until the host
		// clears it.
		s.haltedOut = true
		s.answer(m.sequence, statusStall, 0, nil)
		return nil
	}
	t.data = slices.Clone(m.data)
	s.outs = append(s.outs, t)
	signal(s.outgoing)
	return nil
}

// controlTransfer answers a transfer on endpoint 0.
func (s *session) controlTransfer(m *message) {
	request := parseSetup(m.setup)
	code := uint16(request.kind)<<8 | uint16(request.request)
	if request.toHost() != (m.direction == directionIn) && m.length > 0 {
		s.answer(m.sequence, statusStall, 0, nil)
		return
	}
	if code == hidSetReport {
		s.setReport(m, request)
		return
	}
	data, ok := s.control(request)
	if !ok {
		s.answer(m.sequence, statusStall, 0, nil)
		return
	}
	if m.direction == directionOut {
		s.answer(m.sequence, statusOK, len(m.data), nil)
		return
	}
	data = data[:min(len(data), int(request.length), int(m.length))]
	s.answer(m.sequence, statusOK, len(data), data)
}

// setReport takes an output report over endpoint 0 (HID 1.11, section 7.2.2), as a host without
// the interrupt endpoint sends it.
func (s *session) setReport(m *message, request setup) {
	switch {
	case request.value == reportFeature<<8 && s.setFeature(request, m.data):
		s.answer(m.sequence, statusOK, len(m.data), nil)
	case request.index != 0, request.value != reportOutput<<8, len(m.data) != s.device.config.OutputSize, s.configuration == 0:
		s.answer(m.sequence, statusStall, 0, nil)
	case len(s.ins)+len(s.outs) >= maxPending:
		s.answer(m.sequence, statusNoMemory, 0, nil)
	default:
		s.outs = append(s.outs, &transfer{sequence: m.sequence, length: int(m.length), data: slices.Clone(m.data)})
		signal(s.outgoing)
	}
}

// answer queues the answer to a transfer; Device.mu is held.
func (s *session) answer(sequence uint32, status int32, length int, data []byte) {
	s.answers = appendSubmitted(s.answers, sequence, status, length, data)
	signal(s.unsent)
}

func (s *session) isPending(sequence uint32) bool {
	has := func(t *transfer) bool { return t.sequence == sequence }
	return slices.ContainsFunc(s.ins, has) || slices.ContainsFunc(s.outs, has)
}

// cancel drops a transfer that waits, and says whether it did. One that is on its way to the
// key may still arrive there: as on a real bus, the host does not know.
func (s *session) cancel(sequence uint32) bool {
	n := len(s.ins) + len(s.outs)
	is := func(t *transfer) bool { return t.sequence == sequence }
	s.ins = slices.DeleteFunc(s.ins, is)
	s.outs = slices.DeleteFunc(s.outs, is)
	return len(s.ins)+len(s.outs) < n
}

// deliver answers the oldest poll with a report, and is false when there is none. Device.mu is
// held.
func (s *session) deliver(report []byte) bool {
	if len(s.ins) == 0 {
		return false
	}
	t := s.ins[0]
	s.ins = s.ins[1:]
	data := report[:min(len(report), t.length)]
	s.answer(t.sequence, statusOK, len(data), data)
	return true
}

// carry takes reports to the key, one after the other. While the key does not read, the host
// waits, as for a device that answers NAK.
func (s *session) carry(ctx context.Context) {
	for {
		s.device.mu.Lock()
		var t *transfer
		if len(s.outs) > 0 {
			t = s.outs[0]
		}
		s.device.mu.Unlock()
		if t == nil {
			select {
			case <-s.outgoing:
				continue
			case <-ctx.Done():
				return
			}
		}
		_, err := s.device.outer.Write(t.data)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, hid.ErrWriteTimeout) {
			continue // unless it was cancelled, once more
		}
		if err != nil {
			return // Close ends the session
		}
		s.device.mu.Lock()
		// Not, if the host has cancelled it meanwhile.
		if i := slices.Index(s.outs, t); i >= 0 {
			s.outs = slices.Delete(s.outs, i, i+1)
			s.answer(t.sequence, statusOK, len(t.data), nil)
		}
		s.device.mu.Unlock()
	}
}
