//go:build libusb || !linux

package hid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	karalabe "github.com/karalabe/hid"
)

// LibusbBus is the [Bus] of github.com/karalabe/hid: hidapi, on libusb under Linux and
// FreeBSD, and with the system's own HID functions elsewhere.
//
// Under Linux it takes a device away from the kernel while it is open, so other programs do
// not see it then, and it cannot say who holds one. That is why it is not the default there.
type LibusbBus struct {
	log *slog.Logger

	mu   sync.Mutex // guards all below
	open map[string]*libusbTurn
}

// libusbTurn is the queue for one device of this process.
type libusbTurn struct {
	free chan struct{} // holds a value while nobody has it
	info Info          // as long as the kernel does not know it
	uses int           // those who have it or wait for it
}

// libusbInfo is a device as both sides know it.
type libusbInfo struct {
	Info
	inner karalabe.DeviceInfo
}

var errNoLibusb = errors.New("hid: this program was built without cgo, so it has no HID devices")

// NewLibusbBus returns the bus of karalabe/hid. log may be nil.
func NewLibusbBus(log *slog.Logger) *LibusbBus {
	return &LibusbBus{log: cmp.Or(log, slog.New(slog.DiscardHandler)), open: map[string]*libusbTurn{}}
}

// NewSystemBus returns the bus of the devices attached to this machine: hidraw on Linux,
// karalabe/hid elsewhere and with the build tag libusb. log may be nil. It does not tell
// who has a device.
func NewSystemBus(log *slog.Logger, _ Processes) Bus { return NewLibusbBus(log) }

// list finds the FIDO devices, sorted by ID. Where the system tells the usage, that
// decides; under Linux, it is read from sysfs.
func (b *LibusbBus) list() ([]libusbInfo, error) {
	if !karalabe.Supported() {
		return nil, errNoLibusb
	}
	all, err := karalabe.Enumerate(0, 0)
	if err != nil {
		return nil, fmt.Errorf("hid: list devices: %w", err)
	}
	recognised, err := b.recognise(all)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// An open device is hidden from the kernel's list.
	for _, turn := range b.open {
		known := func(d libusbInfo) bool { return d.ID == turn.info.ID }
		at := slices.IndexFunc(all, func(d karalabe.DeviceInfo) bool { return d.Path == turn.info.Path })
		if at >= 0 && !slices.ContainsFunc(recognised, known) {
			recognised = append(recognised, libusbInfo{turn.info, all[at]})
		}
	}
	slices.SortFunc(recognised, func(x, y libusbInfo) int { return cmp.Compare(x.ID, y.ID) })
	return recognised, nil
}

// Devices implements [Bus].
func (b *LibusbBus) Devices() ([]Info, error) {
	devices, err := b.list()
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(devices))
	for i, device := range devices {
		infos[i] = device.Info
	}
	return infos, nil
}

// Watch implements [Bus]. Under Linux it lists the devices when the kernel says that
// something has changed; elsewhere, where karalabe/hid has no such news, once a second.
func (b *LibusbBus) Watch(ctx context.Context, event func(Event)) error {
	changes, err := b.changes()
	if err != nil {
		return err
	}
	defer changes.Close()
	defer context.AfterFunc(ctx, changes.interrupt)()

	var known []Info
	for {
		now, err := b.Devices()
		if err != nil {
			return err
		}
		before := known
		known = now
		for _, info := range before {
			if !slices.Contains(now, info) {
				event(Event{Kind: Detached, Info: info})
			}
		}
		for _, info := range now {
			if !slices.Contains(before, info) {
				event(Event{Kind: Attached, Info: info})
			}
		}
		if err := changes.wait(); err != nil {
			return cmp.Or(ctx.Err(), err)
		}
	}
}

// Open implements [Bus]. It waits for those who have the device in this process only. When
// another program has it, or access is denied, it fails: hidapi does not say which.
func (b *LibusbBus) Open(ctx context.Context, id string, waiting func(Holder)) (Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := b.find(id)
	if err != nil {
		return nil, err
	}
	turn := b.enter(found.Info)
	select {
	case <-turn.free:
	default:
		if waiting != nil {
			waiting(Holder{PID: os.Getpid()})
		}
		select {
		case <-turn.free:
		case <-ctx.Done():
			b.leave(turn)
			return nil, ctx.Err()
		}
	}
	release := func() {
		turn.free <- struct{}{}
		b.leave(turn)
	}
	if found, err = b.find(id); err != nil { // unplugged meanwhile
		release()
		return nil, err
	}
	inner, err := found.inner.Open()
	if err != nil {
		release()
		return nil, fmt.Errorf("hid: open %s: %w (access is denied, or another program has it)", id, err)
	}
	return newLibusbDevice(inner, found.InputSize, found.OutputSize, release), nil
}

func (b *LibusbBus) find(id string) (libusbInfo, error) {
	devices, err := b.list()
	if err != nil {
		return libusbInfo{}, err
	}
	at := slices.IndexFunc(devices, func(d libusbInfo) bool { return d.ID == id })
	if at < 0 {
		return libusbInfo{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return devices[at], nil
}

func (b *LibusbBus) enter(info Info) *libusbTurn {
	b.mu.Lock()
	defer b.mu.Unlock()
	turn := b.open[info.ID]
	if turn == nil {
		turn = &libusbTurn{free: make(chan struct{}, 1), info: info}
		turn.free <- struct{}{}
		b.open[info.ID] = turn
	}
	turn.uses++
	return turn
}

func (b *LibusbBus) leave(turn *libusbTurn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if turn.uses--; turn.uses == 0 {
		delete(b.open, turn.info.ID)
	}
}

// pollTimeout bounds a read in C, in milliseconds: nothing can interrupt one, and to close
// the device under it is undefined behaviour, so this is what Close may have to wait for.
const pollTimeout = 50

// libusbDevice reads on a goroutine of its own and closes the device after both reading
// and writing have ended.
type libusbDevice struct {
	inner    karalabe.Device
	queue    *queue
	output   int
	closed   chan struct{} // closed by Close
	finished chan struct{} // closed when the reading goroutine has ended
	once     sync.Once
	release  func()

	mu    sync.Mutex // guards frame, and is held while writing
	frame []byte     // report number 0, report
}

func newLibusbDevice(inner karalabe.Device, input, output int, release func()) *libusbDevice {
	d := &libusbDevice{
		inner: inner, output: output, release: release,
		queue:    newQueue(input, queueLength),
		closed:   make(chan struct{}),
		finished: make(chan struct{}),
		frame:    make([]byte, 1+output),
	}
	go d.read()
	return d
}

func (d *libusbDevice) read() {
	defer close(d.finished)
	report := make([]byte, d.queue.size)
	for !d.isClosed() {
		n, err := d.inner.ReadTimeout(report, pollTimeout)
		if err != nil {
			// hidapi has one error for everything; on a read it means unplugged.
			d.queue.closeWriter(ErrGone, ErrGone)
			return
		}
		if n == len(report) {
			d.queue.offer(report)
		}
	}
}

func (d *libusbDevice) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

func (d *libusbDevice) Read(report []byte) (int, error) { return d.queue.pop(report) }

// Write takes up to a second in hidapi, which has that limit itself.
func (d *libusbDevice) Write(report []byte) (int, error) {
	if len(report) != d.output {
		return 0, sizeError(len(report), d.output)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed() {
		return 0, errClosed
	}
	select {
	case <-d.finished: // the reader has seen it go
		return 0, ErrGone
	default:
	}
	copy(d.frame[1:], report)
	frame := d.frame
	if runtime.GOOS == "windows" {
		frame = frame[1:] // karalabe/hid puts the report number there itself
	}
	start := time.Now()
	if _, err := d.inner.Write(frame); err != nil {
		if time.Since(start) >= time.Second/2 {
			return 0, ErrWriteTimeout
		}
		return 0, ErrGone
	}
	return len(report), nil
}

func (d *libusbDevice) SetReadDeadline(t time.Time) error { return d.queue.setReadDeadline(t) }

func (d *libusbDevice) ReportSizes() (input, output int) { return d.queue.size, d.output }

// Close waits for the read in C, and for a write.
func (d *libusbDevice) Close() error {
	var err error
	d.once.Do(func() {
		close(d.closed)
		d.queue.closeReader(errClosed, errClosed)
		<-d.finished
		d.mu.Lock()
		defer d.mu.Unlock()
		err = d.inner.Close()
		d.release()
	})
	return err
}
