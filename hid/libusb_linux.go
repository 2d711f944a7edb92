//go:build libusb

package hid

import (
	"errors"
	"strings"

	karalabe "github.com/karalabe/hid"
)

// recognise finds the FIDO devices among all: libusb does not know a device's usage, but
// sysfs does, and hidapi's path is the name of the USB interface there ("1-5:1.1").
func (b *LibusbBus) recognise(all []karalabe.DeviceInfo) ([]libusbInfo, error) {
	nodes, err := NewLinuxBus(LinuxBusConfig{Log: b.log}).scan()
	if err != nil {
		return nil, err
	}
	var devices []libusbInfo
	for _, inner := range all {
		for _, node := range nodes {
			if strings.Contains(node.devpath, "/"+inner.Path+"/") {
				info := node.info
				info.Path = inner.Path
				devices = append(devices, libusbInfo{info, inner})
			}
		}
	}
	return devices, nil
}

// libusbChanges tells of changes by uevents.
type libusbChanges struct{ ueventConn }

func (b *LibusbBus) changes() (libusbChanges, error) {
	conn, err := listenUevents("/run")
	return libusbChanges{conn}, err
}

// wait returns when there may be something new.
func (c libusbChanges) wait() error {
	for {
		e, err := c.receive()
		switch {
		case errors.Is(err, errOverrun):
			return nil
		case err != nil:
			return err
		case e.subsystem == "hidraw", e.subsystem == "usb":
			return nil
		}
	}
}
