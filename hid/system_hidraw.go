//go:build linux && !libusb

package hid

import "log/slog"

// NewSystemBus returns the bus of the devices attached to this machine: hidraw on Linux,
// karalabe/hid elsewhere and with the build tag libusb. log and processes may be nil.
func NewSystemBus(log *slog.Logger, processes Processes) Bus {
	return NewLinuxBus(LinuxBusConfig{Log: log, Processes: processes})
}
