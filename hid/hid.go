// Package hid moves reports between this program and HID devices.
//
// It is for packages that speak a protocol over HID (hid/ctaphid first of all).
// A [Device] carries whole reports and knows nothing of what is in them; a
// [Bus] says which devices there are, tells when that changes, and opens them.
//
// Reports follow "Device Class Definition for HID 1.11". Report numbers are not
// visible here: FIDO devices have none (CTAP 2.2, section 11.2.8.1), and a backend
// whose kernel wants the leading zero byte adds and strips it itself.
package hid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// UsagePageFIDO is the HID usage page of FIDO authenticators, and UsageFIDO the
// usage of their one top-level collection (CTAP 2.2, section 11.2.8.1).
const (
	UsagePageFIDO = 0xF1D0
	UsageFIDO     = 0x01
)

// DefaultReportSize is the size, in bytes, of the reports of a full-speed FIDO
// device (CTAP 2.2, section 11.2.8.1).
const DefaultReportSize = 64

// WriteTimeout bounds [Device.Write]: a device that has not taken a report by
// then is treated as silent.
const WriteTimeout = 2 * time.Second

// Errors of this package. Reads that pass their deadline give an error for which
// errors.Is(err, os.ErrDeadlineExceeded) holds.
var (
	// ErrGone says that the device was unplugged or switched off.
	ErrGone = errors.New("hid: device is gone")
	// ErrNotFound says that no attached device has the given ID.
	ErrNotFound = errors.New("hid: no such device")
	// ErrReportSize says that a report does not have the device's size.
	ErrReportSize = errors.New("hid: wrong report size")
	// ErrWriteTimeout says that the device did not take a report in [WriteTimeout].
	ErrWriteTimeout = errors.New("hid: device does not take reports")
)

// USBDevice is [Info.Device] of the USB device with a number on a bus.
func USBDevice(bus, device uint64) string { return fmt.Sprintf("usb-%d-%d", bus, device) }

// Info describes an attached device. The zero value describes nothing.
type Info struct {
	// ID names the device for as long as it stays attached and is not used
	// again for another one: bus and device number for USB, not the path,
	// which the kernel reuses at once.
	ID string
	// Path is the device node ("/dev/hidraw3"), empty for devices in memory.
	Path string
	// BusType is the kernel's BUS_* number (3 is USB), 0 when unknown.
	BusType             uint16
	VendorID, ProductID uint16
	// Version is the bcdDevice number, 0 when unknown.
	Version                       uint16
	Manufacturer, Product, Serial string
	UsagePage, Usage              uint16
	// InputSize and OutputSize are report sizes in bytes, without a report
	// number, taken from the report descriptor.
	InputSize, OutputSize int
	// FeatureSize is the size of feature reports likewise, 0 where there are none. It is the
	// Linux bus that knows it.
	FeatureSize int
	// Device names the device that the interface belongs to, such as "usb-1-5", among those of the machine; empty if that is not
	// known. Interfaces with the same are parts of one token.
	Device string
	// Emulated is true for a key that this program emulates.
	Emulated bool
}

// Device is an open device.
//
// One goroutine may read while another writes; neither call may overlap itself.
// Close and SetReadDeadline may be called from any goroutine at any time.
type Device interface {
	// Read reads one report into report, which must hold at least the
	// device's input size, and returns the number of bytes. It returns
	// os.ErrDeadlineExceeded (possibly wrapped) past the deadline, [ErrGone]
	// when the device was unplugged, and [os.ErrClosed] after Close.
	Read(report []byte) (int, error)
	// Write sends one report of exactly the output size. It returns within
	// [WriteTimeout].
	Write(report []byte) (int, error)
	// SetReadDeadline sets the time after which Read gives up; also one that
	// is already waiting. The zero time means never. A deadline does not
	// spoil the device: after a new one, reads go on.
	SetReadDeadline(t time.Time) error
	// ReportSizes returns the input (read) and output (write) report sizes.
	ReportSizes() (input, output int)
	io.Closer
}

// EventKind says what happened to a device.
type EventKind int

// The kinds of events.
const (
	Attached EventKind = iota + 1
	Detached
)

func (k EventKind) String() string {
	switch k {
	case Attached:
		return "attached"
	case Detached:
		return "detached"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// Event is a change on a bus.
type Event struct {
	Kind EventKind
	Info Info
}

// Holder is the program outside this one that has taken a device.
// The zero value is an unknown program.
type Holder struct {
	PID     int
	Program string // its command name, empty when unknown
}

func (h Holder) String() string {
	switch {
	case h.PID == 0:
		return "another program"
	case h.Program == "":
		return fmt.Sprintf("process %d", h.PID)
	}
	return fmt.Sprintf("%s (process %d)", h.Program, h.PID)
}

// Bus is a place where devices are attached. All methods may be called from
// several goroutines.
type Bus interface {
	// Devices lists the FIDO devices attached now, sorted by ID.
	Devices() ([]Info, error)
	// Watch calls event for every device attached now and then for every
	// change, one call at a time, until ctx ends; then it returns ctx.Err().
	Watch(ctx context.Context, event func(Event)) error
	// Open takes the device for one operation. Where another program holds
	// it, Open calls waiting (if not nil) once per holder and waits until it
	// is free or ctx ends. Closing the device gives it back. The error is
	// [ErrNotFound] when the device is not attached (any more).
	Open(ctx context.Context, id string, waiting func(Holder)) (Device, error)
}
