//go:build libusb || !linux

package hid

import karalabe "github.com/karalabe/hid"

// NewLibusbDevice makes the device of an open one of karalabe/hid.
func NewLibusbDevice(inner karalabe.Device, input, output int) Device {
	return newLibusbDevice(inner, input, output, func() {})
}
