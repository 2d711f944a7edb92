package hid

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Feature reports are HID's third kind, besides input and output: each is asked for or sent by
// one request, which the device answers at once (HID 1.11, section 5.6). One-time-code tokens
// speak through them: a YubiKey's slots, Nitrokey Pro and Storage, Token2.

// FeatureReports is either end of a conversation in feature reports without numbers. A host calls
// it; what emulates a device implements it.
type FeatureReports interface {
	// SetFeature sends a report of exactly the device's feature size. The report is the
	// caller's again when it returns.
	SetFeature(report []byte) error
	// GetFeature asks for a report and returns the number of its bytes. report must hold at
	// least the device's feature size.
	GetFeature(report []byte) (int, error)
}

// FeatureDevice is an open device that can be talked to in feature reports. That a [Device]
// implements it does not say that the device has any: [Info.FeatureSize] does.
//
// Feature reports may be exchanged by one goroutine while others read and write. Errors are
// [ErrGone], [os.ErrClosed] and [ErrReportSize] as elsewhere, [ErrFeature] when the device
// refuses, and [ErrWriteTimeout] when it is silent: the kernel gives up after five seconds, and
// nothing ends a call earlier but the device's going.
type FeatureDevice interface {
	Device
	FeatureReports
}

// ErrFeature says that a device refused a feature report, or has none.
var ErrFeature = errors.New("hid: the device refuses the feature report")

// maxFeature bounds a feature report, in bytes: what the kernel's uhid can carry.
const maxFeature = maxDescriptor - 1

// Interface describes one kind of HID interface: all devices of a vendor that have a top-level
// collection of this usage, with feature reports that have no numbers.
type Interface struct {
	// VendorID is required: a keyboard's usage, for one, is far too common.
	VendorID uint16
	// ProductIDs are the products meant; nothing means all of them.
	ProductIDs []uint16
	// UsagePage and Usage are the collection's; zero means any.
	UsagePage, Usage uint16
}

// The interfaces of tokens that speak in feature reports.
var (
	// YubiKeyOTP is the keyboard of a YubiKey, behind which its slots are.
	YubiKeyOTP = Interface{VendorID: 0x1050, UsagePage: 0x01, Usage: 0x06}
	// NitrokeyPro is a Nitrokey Pro or Storage, and LibremKey its twin.
	NitrokeyPro = Interface{VendorID: 0x20A0, ProductIDs: []uint16{0x4108, 0x4109}}
	LibremKey   = Interface{VendorID: 0x316D, ProductIDs: []uint16{0x4C4B}}
	// Token2 is the FIDO interface of a Token2 key, with its codes behind feature reports.
	Token2 = Interface{VendorID: 0x349E, UsagePage: UsagePageFIDO, Usage: UsageFIDO}
)

// Match finds the collection that is meant among those of a device, and says whether there is one.
func (i Interface) Match(vendorID, productID uint16, collections []Collection) (Collection, bool) {
	if i.VendorID == 0 || i.VendorID != vendorID {
		return Collection{}, false
	}
	meant := len(i.ProductIDs) == 0
	for _, id := range i.ProductIDs {
		meant = meant || id == productID
	}
	if !meant {
		return Collection{}, false
	}
	for _, c := range collections {
		if (i.UsagePage == 0 || c.UsagePage == i.UsagePage) && (i.Usage == 0 || c.Usage == i.Usage) &&
			0 < c.FeatureSize && c.FeatureSize <= maxFeature && len(c.ReportIDs) == 0 {
			return c, true
		}
	}
	return Collection{}, false
}

// NewFeaturePipe returns the two ends of a device in memory, as [NewPipe] does, whose host end
// passes feature reports of size bytes to device. Calls of device do not overlap if the host's
// don't. Once the key end is closed, the host end gets [ErrGone].
func NewFeaturePipe(device FeatureReports, size, inputSize, outputSize int) (host FeatureDevice, key Device) {
	near, far := NewPipe(inputSize, outputSize)
	unplugged := new(atomic.Bool)
	return &featurePipe{Device: near, feature: device, size: size, unplugged: unplugged}, &featureKey{far, unplugged}
}

type featurePipe struct {
	Device
	feature   FeatureReports
	size      int
	unplugged *atomic.Bool
	closed    atomic.Bool
}

func (p *featurePipe) state() error {
	switch {
	case p.closed.Load():
		return errClosed
	case p.unplugged.Load():
		return ErrGone
	}
	return nil
}

func (p *featurePipe) SetFeature(report []byte) error {
	if err := p.state(); err != nil {
		return err
	}
	if len(report) != p.size {
		return sizeError(len(report), p.size)
	}
	return p.feature.SetFeature(report)
}

func (p *featurePipe) GetFeature(report []byte) (int, error) {
	if err := p.state(); err != nil {
		return 0, err
	}
	if len(report) < p.size {
		return 0, fmt.Errorf("%w: buffer of %d bytes, want %d", ErrReportSize, len(report), p.size)
	}
	return p.feature.GetFeature(report[:p.size])
}

func (p *featurePipe) Close() error {
	p.closed.Store(true)
	return p.Device.Close()
}

type featureKey struct {
	Device
	unplugged *atomic.Bool
}

func (k *featureKey) Close() error {
	k.unplugged.Store(true)
	return k.Device.Close()
}

var _ FeatureDevice = (*memoryDevice)(nil)

// SetFeature passes on what the device of a [MemoryBus] can do.
func (d *memoryDevice) SetFeature(report []byte) error {
	inner, ok := d.Device.(FeatureReports)
	if !ok {
		return ErrFeature
	}
	return d.explain(inner.SetFeature(report))
}

// GetFeature passes on what the device of a [MemoryBus] can do.
func (d *memoryDevice) GetFeature(report []byte) (int, error) {
	inner, ok := d.Device.(FeatureReports)
	if !ok {
		return 0, ErrFeature
	}
	n, err := inner.GetFeature(report)
	return n, d.explain(err)
}

// UnnumberedReports are the sizes of the longest input, output and feature reports that a descriptor has, as a host sees them. The error is an
// [ErrDescriptor] for a descriptor that cannot be read or has reports with numbers.
func UnnumberedReports(descriptor []byte) (input, output, feature int, err error) {
	collections, err := ParseDescriptor(descriptor)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, c := range collections {
		if len(c.ReportIDs) > 0 {
			return 0, 0, 0, fmt.Errorf("%w: reports with numbers", ErrDescriptor)
		}
		input, output, feature = max(input, c.InputSize), max(output, c.OutputSize), max(feature, c.FeatureSize)
	}
	return input, output, feature, nil
}
