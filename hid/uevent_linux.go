package hid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// uevent is what a message about a device says, as far as it matters here.
type uevent struct {
	action, subsystem, devpath string
}

var errUevent = errors.New("hid: bad uevent")

// Head of the messages that udev sends on to group 2 (struct monitor_netlink_header
// in systemd's sd-device). Numbers are in the machine's order except for the magic.
const (
	udevPrefix     = "libudev\x00"
	udevMagic      = 0xFEEDCAFE
	udevHeaderSize = 40 // size of version 2, the only one since 2009
)

// parseUevent reads a message of the kernel (Documentation/core-api/kobject.rst and
// lib/kobject_uevent.c: "add@/devices/…", then KEY=value, all ended by NUL) or of udev.
func parseUevent(message []byte) (uevent, error) {
	var properties []byte
	if bytes.HasPrefix(message, []byte(udevPrefix)) {
		if len(message) < udevHeaderSize {
			return uevent{}, fmt.Errorf("%w: cut header", errUevent)
		}
		if magic := binary.BigEndian.Uint32(message[8:]); magic != udevMagic {
			return uevent{}, fmt.Errorf("%w: magic number %#x", errUevent, magic)
		}
		offset := uint64(binary.NativeEndian.Uint32(message[16:]))
		length := uint64(binary.NativeEndian.Uint32(message[20:]))
		if offset < udevHeaderSize || offset+length > uint64(len(message)) {
			return uevent{}, fmt.Errorf("%w: properties outside of the message", errUevent)
		}
		properties = message[offset : offset+length]
	} else {
		head, rest, ok := bytes.Cut(message, []byte{0})
		if !ok || !bytes.Contains(head, []byte("@/")) {
			return uevent{}, fmt.Errorf("%w: no head", errUevent)
		}
		properties = rest
	}
	var e uevent
	for property := range bytes.SplitSeq(properties, []byte{0}) {
		key, value, _ := strings.Cut(string(property), "=")
		switch key {
		case "ACTION":
			e.action = value
		case "SUBSYSTEM":
			e.subsystem = value
		case "DEVPATH":
			e.devpath = value
		}
	}
	if e.action == "" || e.devpath == "" {
		return uevent{}, fmt.Errorf("%w: without action or device", errUevent)
	}
	return e, nil
}

// ueventConn is where uevents come from: netlink, or a test.
type ueventConn interface {
	// receive waits for the next message. It returns errOverrun when messages
	// were lost.
	receive() (uevent, error)
	// interrupt makes receive return, now and later.
	interrupt()
	Close() error
}

var errOverrun = errors.New("hid: uevents were lost")

// Multicast groups of NETLINK_KOBJECT_UEVENT.
const (
	groupKernel = 1
	groupUdev   = 2
)

// netlinkConn receives uevents through the runtime poller, without a thread and
// without waking up in between.
type netlinkConn struct {
	file    *os.File
	message [8192]byte // larger than any that the kernel (2 KiB) and udev send
	oob     [64]byte
}

// listenUevents subscribes to udev's messages, which come when permissions are set,
// or to the kernel's where no udev runs. Both need no privileges.
func listenUevents(runRoot string) (ueventConn, error) {
	group := uint32(groupUdev)
	if _, err := os.Stat(filepath.Join(runRoot, "udev", "control")); err != nil {
		group = groupKernel
	}
	return listenNetlink(group)
}

func listenNetlink(group uint32) (*netlinkConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("hid: watch devices: %w", os.NewSyscallError("socket", err))
	}
	file := os.NewFile(uintptr(fd), "netlink")
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		file.Close()
		return nil, fmt.Errorf("hid: watch devices: %w", os.NewSyscallError("setsockopt", err))
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group}); err != nil {
		file.Close()
		return nil, fmt.Errorf("hid: watch devices: %w", os.NewSyscallError("bind", err))
	}
	return &netlinkConn{file: file}, nil
}

func (c *netlinkConn) receive() (uevent, error) {
	conn, err := c.file.SyscallConn()
	if err != nil {
		return uevent{}, fmt.Errorf("hid: watch devices: %w", err)
	}
	for {
		var n, oobn, flags int
		var from unix.Sockaddr
		var inner error
		err := conn.Read(func(fd uintptr) bool {
			n, oobn, flags, from, inner = unix.Recvmsg(int(fd), c.message[:], c.oob[:], 0)
			return inner != unix.EAGAIN && inner != unix.EINTR
		})
		switch {
		case err != nil:
			return uevent{}, fmt.Errorf("hid: watch devices: %w", err)
		case inner == unix.ENOBUFS:
			return uevent{}, errOverrun
		case inner != nil:
			return uevent{}, fmt.Errorf("hid: watch devices: %w", os.NewSyscallError("recvmsg", inner))
		case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || !genuine(from, c.oob[:oobn]):
			continue
		}
		if e, err := parseUevent(c.message[:n]); err == nil {
			return e, nil
		}
	}
}

// genuine says whether a message came from the kernel by the kernel's group or from
// root by udev's. Anyone may send to a netlink socket.
func genuine(from unix.Sockaddr, oob []byte) bool {
	address, ok := from.(*unix.SockaddrNetlink)
	if !ok {
		return false
	}
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for i := range controls {
		credentials, err := unix.ParseUnixCredentials(&controls[i])
		if err != nil {
			continue
		}
		switch address.Groups {
		case groupKernel:
			return address.Pid == 0 && credentials.Pid == 0 && credentials.Uid == 0
		case groupUdev:
			return address.Pid != 0 && credentials.Uid == 0
		}
	}
	return false
}

func (c *netlinkConn) interrupt() { _ = c.file.SetReadDeadline(time.Unix(1, 0)) }

func (c *netlinkConn) Close() error { return c.file.Close() }
