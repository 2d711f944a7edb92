// Package usbip is a security key as a USB device, for whoever speaks USB/IP: the Linux
// kernel's vhci_hcd first of all (Documentation/usb/usbip_protocol.rst, protocol version
// 1.1.1; "Universal Serial Bus Specification 2.0", chapter 9; "Device Class Definition for
// HID 1.11").
//
// It is for emulated keys that have to look like hardware: other than a key of hid/uhid,
// this one has a USB device with descriptors, so that usbfs, and libusb with it, see it as
// well as hidraw. [New] returns the key's end, which hid/ctaphid.Server can serve;
// [Device.Attach] plugs it into this machine's kernel, and [Device.Serve] offers it to whoever
// connects. USB/IP has neither encryption nor passwords, so [Listen] stays on this machine.
package usbip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/fobd/fobd/hid"
)

// The numbers of a key that is given none: pid.codes' vendor, and a product of ours.
const (
	DefaultVendorID  = 0x1209
	DefaultProductID = 0xF0BD
)

// BusID names the one device of a server, as in "usbip attach --busid 1-1".
const BusID = "1-1"

// Limits of a device.
const (
	// queueLength is the number of reports that wait until the host polls for them.
	queueLength = 64
	// patience is how long the key waits for a host that does not poll.
	patience = 200 * time.Millisecond
	// maxString is what fits in a string descriptor, in UTF-16 units (USB 2.0, section 9.6.7).
	maxString = 126
)

// Config describes the key to hosts. The zero value is a key with the default numbers,
// names and report sizes.
type Config struct {
	// Manufacturer and Name are strings of at most 126 UTF-16 units. Empty means "fobd" and
	// "fobd emulated key".
	Manufacturer, Name string
	// Serial is the key's number, at most 126 bytes of ASCII: udev drops everything about a
	// device with another one. A key without one has no such string.
	Serial string
	// VendorID and ProductID are USB numbers; both zero means the default ones.
	VendorID, ProductID uint16
	// Version is the bcdDevice number.
	Version uint16
	// InputSize and OutputSize are report sizes as a host sees them, 8 to 64 bytes, which is
	// what a full-speed endpoint carries (USB 2.0, section 5.7.3). Zero means
	// [hid.DefaultReportSize].
	InputSize, OutputSize int
	// Descriptor is the report descriptor of a device that is no FIDO key; its report sizes are the device's, and its reports
	// must have no numbers. Nil is a FIDO key's.
	Descriptor []byte
	// Feature, if not nil, answers requests for feature reports, which the descriptor has; else they are refused, as FIDO keys do. One
	// call is made at a time. Each must return at once, and not call the Device.
	Feature hid.FeatureReports
	// Attached, if not nil, is called with true when a host has taken the key and with false
	// when it has let it go. It must return at once, and not call the Device.
	Attached func(attached bool)
}

func (c *Config) check() error {
	for _, text := range []struct{ field, value string }{
		{"manufacturer", c.Manufacturer}, {"name", c.Name}, {"serial", c.Serial},
	} {
		if len(utf16.Encode([]rune(text.value))) > maxString {
			return fmt.Errorf("usbip: %s is longer than %d UTF-16 units", text.field, maxString)
		}
		for _, r := range text.value {
			if r < ' ' || r == 0x7F || text.field == "serial" && r > 0x7F {
				return fmt.Errorf("usbip: %s has a character that is not allowed: %q", text.field, r)
			}
		}
	}
	least := 8
	if c.Descriptor != nil {
		least = 1
	}
	for _, size := range []int{c.InputSize, c.OutputSize} {
		if size < least || size > 64 {
			return fmt.Errorf("usbip: report size %d is not between %d and 64", size, least)
		}
	}
	return nil
}

// describe sets the report sizes that the descriptor, or nothing, says, and returns that of feature reports.
func (c *Config) describe() (featureSize int, err error) {
	if c.Descriptor == nil {
		c.InputSize = cmp.Or(c.InputSize, hid.DefaultReportSize)
		c.OutputSize = cmp.Or(c.OutputSize, hid.DefaultReportSize)
		return 0, nil
	}
	if c.InputSize, c.OutputSize, featureSize, err = hid.UnnumberedReports(c.Descriptor); err != nil {
		return 0, fmt.Errorf("usbip: %w", err)
	}
	return featureSize, nil
}

// Device is the key's end of a USB device. It implements [hid.Device]: Read gives what the
// host writes (output reports), Write hands the host input reports. One host at a time can
// have it; while none has, what the key writes is lost, and it reads nothing.
type Device struct {
	config  Config
	strings []string // by number less one
	report  []byte   // report descriptor
	feature int      // size of feature reports
	// inner and outer are a pipe: outer's reports are the host's.
	inner, outer hid.Device

	room chan struct{} // gets a value when the queue may have room for Write
	done chan struct{} // closed by Close

	mu      sync.Mutex // guards what follows, and the sessions
	closed  bool
	session *session // of the host that has the key
	queue   [][]byte // input reports that no poll has fetched, the oldest first
	starved bool     // the host did not poll for as long as patience says
	conns   sync.WaitGroup
}

// New returns a key that is plugged in nowhere.
func New(config Config) (*Device, error) {
	config.Manufacturer = cmp.Or(config.Manufacturer, "fobd")
	config.Name = cmp.Or(config.Name, "fobd emulated key")
	featureSize, err := config.describe()
	if err != nil {
		return nil, err
	}
	if config.VendorID == 0 && config.ProductID == 0 {
		config.VendorID, config.ProductID = DefaultVendorID, DefaultProductID
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	d := &Device{
		config:  config,
		strings: []string{config.Manufacturer, config.Name},
		report:  config.Descriptor,
		feature: featureSize,
		room:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	if d.report == nil {
		d.report = hid.FIDOReportDescriptor(config.InputSize, config.OutputSize)
	}
	if config.Serial != "" {
		d.strings = append(d.strings, config.Serial)
	}
	d.outer, d.inner = hid.NewPipe(config.InputSize, config.OutputSize)
	return d, nil
}

// Read gives the next report that the host has written.
func (d *Device) Read(report []byte) (int, error) { return d.inner.Read(report) }

// SetReadDeadline implements [hid.Device].
func (d *Device) SetReadDeadline(t time.Time) error { return d.inner.SetReadDeadline(t) }

// ReportSizes returns the sizes from the key's side: what the host writes comes first.
func (d *Device) ReportSizes() (input, output int) { return d.inner.ReportSizes() }

// Write keeps a report until the host polls for it. A host that has not polled for a while,
// such as a kernel where no program has the key open, loses the oldest reports.
func (d *Device) Write(report []byte) (int, error) {
	if len(report) != d.config.InputSize {
		return 0, fmt.Errorf("%w: %d bytes, want %d", hid.ErrReportSize, len(report), d.config.InputSize)
	}
	if d.put(report) {
		return len(report), d.state()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-d.room:
		case <-d.done:
		case <-timer.C:
			d.mu.Lock()
			d.starved = true
			d.mu.Unlock()
		}
		if d.put(report) {
			return len(report), d.state()
		}
	}
}

func (d *Device) state() error {
	select {
	case <-d.done:
		return fmt.Errorf("usbip: %w", os.ErrClosed)
	default:
		return nil
	}
}

// put answers a poll or queues the report. It is false when the queue is full.
func (d *Device) put(report []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed, d.session == nil:
		return true
	case d.session.deliver(report):
		return true
	case len(d.queue) >= queueLength && !d.starved:
		return false
	case len(d.queue) >= queueLength:
		d.queue = d.queue[1:]
	}
	d.queue = append(d.queue, append([]byte(nil), report...))
	return true
}

// take takes the oldest report that waits, or nil; d.mu is held.
func (d *Device) take() []byte {
	d.starved = false
	if len(d.queue) == 0 {
		return nil
	}
	report := d.queue[0]
	d.queue = d.queue[1:]
	select {
	case d.room <- struct{}{}:
	default:
	}
	return report
}

// claim makes a session the one that has the key. It is false when another one has it.
func (d *Device) claim(s *session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.session != nil {
		return false
	}
	d.session, d.queue, d.starved = s, nil, false
	if d.config.Attached != nil {
		d.config.Attached(true)
	}
	return true
}

func (d *Device) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session, d.queue = nil, nil
	if d.config.Attached != nil {
		d.config.Attached(false)
	}
	select {
	case d.room <- struct{}{}:
	default:
	}
}

// Close unplugs the key from its host, hangs up on those that are connected, and waits for
// all that.
func (d *Device) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.done)
		_ = d.inner.Close()
		_ = d.outer.Close()
	}
	d.mu.Unlock()
	d.conns.Wait()
	return nil
}

// enter notes a connection that Close has to wait for; it is false after Close.
func (d *Device) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.conns.Add(1)
	return true
}

// until returns a context that ends with ctx and with the device.
func (d *Device) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-d.done:
			cancel(errUnplugged)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

var errUnplugged = errors.New("usbip: the key is unplugged")
