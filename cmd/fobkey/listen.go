package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/usbip"
)

// The kinds of sockets that carry raw reports.
var kinds = []string{"unix", "unixpacket", "tcp", "udp"}

// address is where to listen. Its text is as people write it.
type address struct {
	text string
	kind string // of kinds
	at   string // path, or IP address and port
}

// parseAddress reads KIND:WHERE; what names no kind is the path of a Unix socket.
func parseAddress(text string) (address, error) {
	a := address{text: text, kind: "unix", at: text}
	if kind, at, ok := strings.Cut(text, ":"); ok && slices.Contains(kinds, kind) {
		a.kind, a.at = kind, at
	}
	if a.at == "" {
		return address{}, fmt.Errorf("%q names no place to listen at", text)
	}
	if a.kind == "tcp" || a.kind == "udp" {
		at, err := netip.ParseAddrPort(a.at)
		if err != nil {
			return address{}, fmt.Errorf("%q: want an IP address and a port, such as %s:127.0.0.1:0", text, a.kind)
		}
		if !at.Addr().IsLoopback() {
			return address{}, fmt.Errorf("%q: only this machine may use the key, and %s is no loopback address", text, at.Addr())
		}
	}
	return a, nil
}

// bound is the address with the port that was chosen, for port 0.
func (a address) bound(at net.Addr) address {
	if a.kind == "tcp" || a.kind == "udp" {
		a.at = at.String()
		a.text = a.kind + ":" + a.at
	}
	return a
}

// acceptor gives a device for each one that connects.
type acceptor interface {
	Accept() (hid.Device, error)
	Addr() net.Addr
	Close() error
}

// listen listens for carriers of raw reports.
func (a address) listen() (acceptor, error) {
	switch a.kind {
	case "udp":
		at, err := net.ResolveUDPAddr("udp", a.at)
		if err != nil {
			return nil, err
		}
		conn, err := net.ListenUDP("udp", at)
		if err != nil {
			return nil, err
		}
		return hid.NewDatagramListener(conn, hid.DatagramConfig{}), nil
	case "tcp":
		l, err := net.Listen("tcp", a.at)
		return &conns{l, hid.NewStream}, err
	case "unixpacket":
		l, err := listen("unixpacket", a.at)
		return &conns{l, hid.NewPackets}, err
	}
	l, err := listen("unix", a.at)
	return &conns{l, hid.NewStream}, err
}

// listenUSBIP listens for hosts of USB/IP.
func (a address) listenUSBIP() (net.Listener, error) {
	switch a.kind {
	case "tcp":
		return usbip.Listen(a.at)
	case "unix":
		return listen("unix", a.at)
	}
	return nil, fmt.Errorf("%q: USB/IP is a stream, so say unix or tcp", a.text)
}

// parseUSBIPAddress is parseAddress where an IP address needs no kind.
func parseUSBIPAddress(text string) (address, error) {
	if _, err := netip.ParseAddrPort(text); err == nil {
		text = "tcp:" + text
	}
	a, err := parseAddress(text)
	if err == nil && a.kind != "tcp" && a.kind != "unix" {
		return address{}, fmt.Errorf("%q: USB/IP is a stream, so say unix or tcp", text)
	}
	return a, err
}

// conns gives a device for each connection.
type conns struct {
	net.Listener
	device func(conn net.Conn, inputSize, outputSize int) hid.Device
}

func (c *conns) Accept() (hid.Device, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c.device(conn, 0, 0), nil
}

// listen makes a socket at path; a socket that nobody listens at any more makes room.
func listen(kind, path string) (net.Listener, error) {
	if len(path) > 107 {
		return nil, fmt.Errorf("%s: longer than the 107 bytes of a socket's path", path)
	}
	l, err := net.Listen(kind, path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	info, e := os.Lstat(path)
	if e != nil || info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("%s exists and is no socket", path)
	}
	conn, e := net.Dial(kind, path)
	switch {
	case e == nil:
		_ = conn.Close()
		return nil, fmt.Errorf("another program listens at %s", path)
	case errors.Is(e, syscall.EPROTOTYPE):
		return nil, fmt.Errorf("another program listens at %s", path)
	case !errors.Is(e, syscall.ECONNREFUSED):
		return nil, e
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen(kind, path)
}
