package usbip_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/usbip"
)

// reply is an answer as a host reads it.
type reply struct {
	command, sequence uint32
	status            int32
	length            int
	data              []byte
}

// host is the other side of the protocol, written after the kernel's documentation only.
type host struct {
	t    *testing.T
	conn net.Conn
	next uint32

	mu sync.Mutex
	in map[uint32]bool // transfers from the device
}

func newHost(t *testing.T, conn net.Conn) *host {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	return &host{t: t, conn: conn, in: map[uint32]bool{}}
}

func (h *host) send(b []byte) {
	h.t.Helper()
	if _, err := h.conn.Write(b); err != nil {
		h.t.Fatalf("host: %v", err)
	}
}

func (h *host) receive(n int) []byte {
	h.t.Helper()
	b := make([]byte, n)
	_ = h.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(h.conn, b); err != nil {
		h.t.Fatalf("host: %v", err)
	}
	return b
}

// operation sends a request of before the import and returns the code and status of the answer.
func (h *host) operation(code uint16, rest []byte) (reply uint16, status uint32) {
	h.t.Helper()
	h.send(append(operation(code), rest...))
	b := h.receive(8)
	if version := binary.BigEndian.Uint16(b); version != 0x0111 {
		h.t.Errorf("version %#x, want 0x0111", version)
	}
	return binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
}

func operation(code uint16) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{1, 0x11}, code), 0)
}

func busID(text string) []byte { return append([]byte(text), make([]byte, 32-len(text))...) }

// attach imports the device.
func (h *host) attach() {
	h.t.Helper()
	code, status := h.operation(0x8003, busID(usbip.BusID))
	if code != 3 || status != 0 {
		h.t.Fatalf("import is answered by %#x with status %d", code, status)
	}
	h.receive(312)
}

// command makes the 48 bytes of a command.
func command(code, sequence, direction, endpoint uint32, rest ...uint32) []byte {
	var b []byte
	for _, word := range append([]uint32{code, sequence, 1<<16 | 2, direction, endpoint}, rest...) {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return append(b, make([]byte, 48-len(b))...)
}

func submit(sequence, direction, endpoint uint32, length int, setup []byte) []byte {
	b := command(1, sequence, direction, endpoint, 0, uint32(length), 0, 0, 5)
	copy(b[40:], setup)
	return b
}

// submit starts a transfer and returns its sequence number. data is for the device; nil asks
// for length bytes.
func (h *host) submit(endpoint uint32, setup, data []byte, length int) uint32 {
	h.t.Helper()
	h.mu.Lock()
	h.next++
	sequence := h.next
	h.in[sequence] = data == nil
	h.mu.Unlock()
	direction := uint32(1)
	if data != nil {
		direction, length = 0, len(data)
	}
	h.send(append(submit(sequence, direction, endpoint, length, setup), data...))
	return sequence
}

// unlink cancels a transfer.
func (h *host) unlink(victim uint32) uint32 {
	h.t.Helper()
	h.mu.Lock()
	h.next++
	sequence := h.next
	h.mu.Unlock()
	h.send(command(2, sequence, 0, 0, victim))
	return sequence
}

// answer reads the next answer.
func (h *host) answer() reply {
	h.t.Helper()
	b := h.receive(48)
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	r := reply{command: word(0), sequence: word(1), status: int32(word(5)), length: int(word(6))}
	h.mu.Lock()
	in := h.in[r.sequence]
	h.mu.Unlock()
	if r.command == 3 && in {
		r.data = h.receive(r.length)
	}
	return r
}

// control runs a control transfer: kind, request, value, index, and the length of the answer
// or the data to send.
func (h *host) control(kind, request byte, value, index uint16, length int, data []byte) reply {
	h.t.Helper()
	setup := []byte{kind, request}
	n := length
	if data != nil {
		n = len(data)
	}
	for _, word := range []uint16{value, index, uint16(n)} {
		setup = binary.LittleEndian.AppendUint16(setup, word)
	}
	if kind&0x80 == 0 && data == nil {
		data = []byte{}
	}
	sequence := h.submit(0, setup, data, length)
	r := h.answer()
	if r.sequence != sequence || r.command != 3 {
		h.t.Fatalf("%#x %#x: answer %+v to sequence number %d", kind, request, r, sequence)
	}
	return r
}

// configure does what the kernel does before the device can be used.
func (h *host) configure() {
	h.t.Helper()
	if r := h.control(0x00, 9, 1, 0, 0, nil); r.status != 0 {
		h.t.Fatalf("set configuration: status %d", r.status)
	}
}

// attached returns a host that has the device, configured.
func attached(t *testing.T, d *usbip.Device) *host {
	t.Helper()
	h := newHost(t, connect(t, d))
	h.attach()
	h.configure()
	return h
}

// connect returns a connection to a device.
func connect(t *testing.T, d *usbip.Device) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- d.ServeConn(t.Context(), theirs) }()
	t.Cleanup(func() {
		_ = ours.Close()
		<-ended
	})
	return ours
}

func newDevice(t *testing.T, config usbip.Config) *usbip.Device {
	t.Helper()
	d, err := usbip.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// hostDevice is the host's end of the key as a hid.Device: it keeps one poll waiting, as usbhid
// does.
type hostDevice struct {
	h       *host
	reports hid.Device // what polls have brought
	feed    hid.Device
	ended   chan struct{}
}

func newHostDevice(h *host) *hostDevice {
	d := &hostDevice{h: h, ended: make(chan struct{})}
	d.feed, d.reports = hid.NewPipe(64, 64)
	poll := h.submit(1, nil, nil, 64)
	go func() {
		defer close(d.ended)
		defer d.feed.Close()
		for {
			r, err := h.tryAnswer()
			if err != nil {
				return
			}
			if r.sequence != poll {
				continue
			}
			poll = h.submit(1, nil, nil, 64)
			_, _ = d.feed.Write(r.data)
		}
	}()
	return d
}

// tryAnswer is answer for a connection that may end.
func (h *host) tryAnswer() (reply, error) {
	b := make([]byte, 48)
	_ = h.conn.SetReadDeadline(time.Time{})
	if _, err := io.ReadFull(h.conn, b); err != nil {
		return reply{}, err
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	r := reply{command: word(0), sequence: word(1), status: int32(word(5)), length: int(word(6))}
	h.mu.Lock()
	in := h.in[r.sequence]
	h.mu.Unlock()
	if r.command == 3 && in {
		r.data = make([]byte, r.length)
		if _, err := io.ReadFull(h.conn, r.data); err != nil {
			return reply{}, err
		}
	}
	if r.status != 0 {
		return r, fmt.Errorf("status %d", r.status)
	}
	return r, nil
}

func (d *hostDevice) Read(report []byte) (int, error) { return d.reports.Read(report) }

func (d *hostDevice) Write(report []byte) (int, error) {
	d.h.submit(1, nil, append([]byte(nil), report...), 0)
	return len(report), nil
}

func (d *hostDevice) SetReadDeadline(t time.Time) error { return d.reports.SetReadDeadline(t) }
func (d *hostDevice) ReportSizes() (input, output int)  { return 64, 64 }
func (d *hostDevice) Close() error {
	_ = d.h.conn.Close()
	<-d.ended
	return d.reports.Close()
}

func wantTimeout(t *testing.T, d hid.Device) {
	t.Helper()
	_ = d.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := d.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %d, %v; want %v", n, err, os.ErrDeadlineExceeded)
	}
	_ = d.SetReadDeadline(time.Time{})
}
