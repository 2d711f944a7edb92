// Package uhid puts a security key in front of the Linux kernel, as if it were plugged
// in: through /dev/uhid (Documentation/hid/uhid.rst), in pure Go.
//
// It is for emulated keys that every program of a machine shall see. [Create] returns
// the key's end of the device, which hid/ctaphid.Server can serve. Other HID devices than FIDO
// keys are possible, too, such as tokens that speak in feature reports. Opening /dev/uhid
// needs the permission that udev/70-fobd.rules gives to group fobd.
package uhid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/fobd/fobd/hid"
)

// Path is where the kernel takes emulated devices.
const Path = "/dev/uhid"

// The numbers of a key that is given none: pid.codes' vendor, and a product of ours.
const (
	DefaultVendorID  = 0x1209
	DefaultProductID = 0xF0BD
)

// Config describes the key to the kernel. The zero value is a key with the default
// numbers, name and report sizes.
type Config struct {
	// Name is what the key is called, at most 127 bytes. Empty means "fobd emulated key".
	Name string
	// Serial is its number, at most 63 bytes. It has to be ASCII: udev drops
	// everything about a device with another one.
	Serial string
	// Phys follows [hid.EmulatedPhys] in the physical path, at most 58 bytes.
	Phys string
	// VendorID and ProductID are USB numbers; both zero means the default ones.
	VendorID, ProductID uint16
	Version             uint16
	// InputSize and OutputSize are report sizes as a host sees them. Zero means
	// [hid.DefaultReportSize].
	InputSize, OutputSize int
	// Descriptor is the report descriptor of a device that is no FIDO key; its report sizes
	// are the device's, and its reports must have no numbers. Nil is a FIDO key's. Output reports
	// must be read, and dropped if of no use, such as those for a keyboard's lights.
	Descriptor []byte
	// Feature, if not nil, answers requests for feature reports; else they are refused, as FIDO
	// keys do. One call is made at a time. Each must return at once: what else the kernel has
	// for the device waits behind it. A report of at most 4,095 bytes is asked for.
	Feature hid.FeatureReports
	// Opened, if not nil, is called with true when the first program opens the key and
	// with false when the last one has closed it. It must return at once.
	Opened func(open bool)
	// Open opens the kernel's file, non-blocking. Nil means [Path].
	Open func() (*os.File, error)
}

func (c *Config) phys() string { return hid.EmulatedPhys + cmp.Or(c.Phys, "uhid") }

func (c *Config) check() error {
	for _, text := range []struct {
		field, value string
		limit        int
	}{{"name", c.Name, nameMax - 1}, {"serial", c.Serial, uniqMax - 1}, {"phys", c.phys(), physMax - 1}} {
		if len(text.value) > text.limit {
			return fmt.Errorf("uhid: %s is longer than %d bytes", text.field, text.limit)
		}
		for _, r := range text.value {
			if r < ' ' || r == 0x7F || text.field != "name" && r > 0x7F {
				return fmt.Errorf("uhid: %s has a character that is not allowed: %q", text.field, r)
			}
		}
	}
	if c.Descriptor != nil {
		return nil // describe has checked it
	}
	for _, size := range []int{c.InputSize, c.OutputSize} {
		if size < 8 || size > 1024 {
			return fmt.Errorf("uhid: report size %d is not between 8 and 1024", size)
		}
	}
	return nil
}

// Device is the key's end of a device in the kernel. It implements [hid.Device]: Read
// gives what hosts write (output reports), Write sends input reports to all of them.
type Device struct {
	file *os.File
	// inner and outer are a pipe: outer's reports are the hosts', put in by receive.
	inner, outer hid.Device
	input        int // report size as the host sees it
	opened       func(bool)
	feature      hid.FeatureReports
	featureSize  int

	started  chan struct{} // closed when the kernel has a driver for the device
	finished chan struct{} // closed when receive has ended

	mu    sync.Mutex // guards below, and is held while Write uses frame
	done  bool
	err   error // why receive has ended
	frame []byte
}

// Create plugs in a key and waits until the kernel has started it. ctx bounds that wait
// only; [Device.Close] unplugs the key.
func Create(ctx context.Context, config Config) (*Device, error) {
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
	open := config.Open
	if open == nil {
		open = openKernel
	}
	file, err := open()
	if err != nil {
		return nil, fmt.Errorf("uhid: %w", err)
	}
	descriptor := config.Descriptor
	if descriptor == nil {
		descriptor = hid.FIDOReportDescriptor(config.InputSize, config.OutputSize)
	}
	if _, err := file.Write(appendCreate(nil, &config, descriptor)); err != nil {
		file.Close()
		return nil, fmt.Errorf("uhid: create: %w", err)
	}
	d := &Device{
		file: file, input: config.InputSize, opened: config.Opened,
		feature: config.Feature, featureSize: featureSize,
		started:  make(chan struct{}),
		finished: make(chan struct{}),
		frame:    make([]byte, 0, 4+2+config.InputSize),
	}
	d.outer, d.inner = hid.NewPipe(config.InputSize, config.OutputSize)
	go d.receive()
	select {
	case <-d.started:
		return d, nil
	case <-ctx.Done():
		d.Close()
		return nil, fmt.Errorf("uhid: waiting for the kernel: %w", ctx.Err())
	case <-d.finished:
		d.Close()
		return nil, fmt.Errorf("uhid: waiting for the kernel: %w", d.err)
	}
}

func openKernel() (*os.File, error) {
	file, err := os.OpenFile(Path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w (is the udev rule 70-fobd.rules installed, and this user in group fobd?)", err)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w (is the kernel module uhid loaded?)", err)
	}
	return file, err
}

// receive handles the kernel's events until the file is closed.
func (d *Device) receive() {
	defer close(d.finished)
	err := d.events()
	d.mu.Lock()
	d.err = err
	d.mu.Unlock()
	d.outer.Close()
}

func (d *Device) events() error {
	// Two more than the longest event, to see one that is too long.
	buffer := make([]byte, eventSize+2)
	var reply []byte
	started := false
	for {
		n, err := d.file.Read(buffer)
		if err != nil {
			return err
		}
		e, err := parseEvent(buffer[:n])
		if err != nil {
			return err
		}
		switch e.kind {
		case typeStart:
			if !started {
				started = true
				close(d.started)
			}
		case typeStop:
			// A driver lets go, and perhaps another one takes over: nothing ends.
		case typeOpen, typeClose:
			if d.opened != nil {
				d.opened(e.kind == typeOpen)
			}
		case typeOutput:
			// A report begins with its number, which is 0 where there are none.
			_, size := d.outer.ReportSizes()
			if len(e.data) != 1+size || e.data[0] != 0 {
				continue // no report of this device
			}
			// A key that does not read loses reports, as on a wire, and holds up
			// nobody for ever.
			if _, err := d.outer.Write(e.data[1:]); err != nil && !errors.Is(err, hid.ErrWriteTimeout) {
				return err
			}
		case typeGetReport, typeSetReport:
			reply = d.answer(reply[:0], e)
			if _, err := d.file.Write(reply); err != nil {
				return err
			}
		}
	}
}

// Read gives the next report that a host has written.
func (d *Device) Read(report []byte) (int, error) { return d.inner.Read(report) }

// Write sends a report to every host that has the key open.
func (d *Device) Write(report []byte) (int, error) {
	if len(report) != d.input {
		return 0, fmt.Errorf("%w: %d bytes, want %d", hid.ErrReportSize, len(report), d.input)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.done:
		return 0, fmt.Errorf("uhid: %w", os.ErrClosed)
	case d.err != nil:
		return 0, hid.ErrGone
	}
	d.frame = appendInput(d.frame[:0], report)
	// The kernel takes an event or fails; it never makes us wait. A test's file may.
	if err := d.file.SetWriteDeadline(time.Now().Add(hid.WriteTimeout)); err != nil {
		return 0, fmt.Errorf("uhid: %w", err)
	}
	_, err := d.file.Write(d.frame)
	switch {
	case err == nil:
		return len(report), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, hid.ErrWriteTimeout
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EPIPE),
		errors.Is(err, syscall.EIO), errors.Is(err, io.EOF):
		return 0, hid.ErrGone
	}
	return 0, fmt.Errorf("uhid: %w", err)
}

// SetReadDeadline implements [hid.Device].
func (d *Device) SetReadDeadline(t time.Time) error { return d.inner.SetReadDeadline(t) }

// ReportSizes returns the sizes from the key's side: what hosts write comes first.
func (d *Device) ReportSizes() (input, output int) { return d.inner.ReportSizes() }

// Close unplugs the key. The kernel's device is gone when it returns.
func (d *Device) Close() error {
	d.mu.Lock()
	done := d.done
	d.done = true
	if !done {
		// Closing the file destroys the device as well, so a failure changes nothing.
		_ = d.file.SetWriteDeadline(time.Now().Add(hid.WriteTimeout))
		_, _ = d.file.Write(appendDestroy(nil))
		d.inner.Close()
		d.file.Close()
	}
	d.mu.Unlock()
	<-d.finished
	return nil
}
