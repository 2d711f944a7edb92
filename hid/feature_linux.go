package hid

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/hidraw.h for a buffer whose length stands in bits 16 to 29.
const (
	hidiocSFeature = 3<<30 | 'H'<<8 | 0x06
	hidiocGFeature = 3<<30 | 'H'<<8 | 0x07
)

var _ FeatureDevice = (*hidrawDevice)(nil)

// NewLinuxFeatureBus returns a bus of other devices than FIDO ones: those that any of the
// interfaces describes. It lists, watches and locks them as the FIDO bus does its own, and what
// [LinuxBus.Open] returns is a [FeatureDevice]. The FIDO bus has none of them, but for FIDO devices
// with feature reports: those are on both, with the same ID and the same lock.
func NewLinuxFeatureBus(config LinuxBusConfig, interfaces ...Interface) *LinuxBus {
	b := NewLinuxBus(config)
	b.interfaces = append([]Interface{}, interfaces...)
	return b
}

// wanted finds the collection that makes a device one of this bus.
func (b *LinuxBus) wanted(dir string, collections []Collection) (Collection, bool, error) {
	if b.interfaces == nil {
		c, ok := FIDOCollection(collections)
		return c, ok, nil
	}
	properties, err := readProperties(dir)
	if err != nil {
		return Collection{}, false, err
	}
	_, vendor, product := hidNumbers(properties)
	for _, i := range b.interfaces {
		if c, ok := i.Match(vendor, product, collections); ok {
			return c, true, nil
		}
	}
	return Collection{}, false, nil
}

// SetFeature implements [FeatureReports]. hidraw wants the report number in front, which is 0
// (Documentation/hid/hidraw.rst, HIDIOCSFEATURE).
func (d *hidrawDevice) SetFeature(report []byte) error {
	if len(report) == 0 || len(report) > maxFeature {
		return sizeError(len(report), maxFeature)
	}
	frame := make([]byte, 1+len(report))
	defer clear(frame)
	copy(frame[1:], report)
	_, err := d.feature("set feature", hidiocSFeature, frame)
	return err
}

// GetFeature implements [FeatureReports].
func (d *hidrawDevice) GetFeature(report []byte) (int, error) {
	if len(report) == 0 || len(report) > maxFeature {
		return 0, sizeError(len(report), maxFeature)
	}
	frame := make([]byte, 1+len(report))
	defer clear(frame)
	n, err := d.feature("get feature", hidiocGFeature, frame)
	if err != nil {
		return 0, err
	}
	// The number counts, although the device has none: usbhid and uhid add it.
	if n < 1 || n > len(frame) {
		return 0, sizeError(n-1, len(report))
	}
	return copy(report, frame[1:n]), nil
}

// feature makes one request. It is synchronous USB I/O, as writing is, with a limit of the
// kernel's own; the descriptor stays open until it is over.
func (d *hidrawDevice) feature(verb string, request uint, frame []byte) (n int, err error) {
	err = control(d.file, func(fd int) error {
		for {
			r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request|uint(len(frame))<<16), uintptr(unsafe.Pointer(&frame[0])))
			switch {
			case errno == unix.EINTR:
				continue
			case errno == 0:
				n = int(r)
				return nil
			case (errno == unix.EPIPE || errno == unix.EIO || errno == unix.EPROTO) && !hungUp(fd):
				// A stalled request, or a refusal by who serves a uhid device.
				return ErrFeature
			case errno == unix.EINVAL:
				return ErrFeature // there are no feature reports
			case errno == unix.EPROTO:
				return ErrGone
			}
			return errno
		}
	})
	if err == nil || errors.Is(err, ErrFeature) {
		return n, err
	}
	return 0, d.explain(verb, err)
}

// hungUp says whether the device of a hidraw file is gone.
func hungUp(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}
