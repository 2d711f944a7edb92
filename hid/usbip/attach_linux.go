package usbip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ControllerPath is the kernel's virtual host controller in sysfs (drivers/usb/usbip of Linux,
// Documentation/ABI/testing/sysfs-platform-usbip-vudc and its like).
const ControllerPath = "/sys/devices/platform/vhci_hcd.0"

// portFree is VDEV_ST_NULL, the state of a port with nothing in it.
const portFree = 4

// detachTimeout bounds the wait for the kernel to drop a device.
const detachTimeout = 5 * time.Second

// Attachment is a device in this machine's kernel.
type Attachment struct {
	// Port is the port of the virtual hub.
	Port int

	controller string
	cancel     context.CancelFunc
	done       chan struct{} // closed when the kernel has let the device go
	err        error         // why, after done
	once       sync.Once
}

// Attach plugs the key into this machine's kernel, which needs root and the module vhci_hcd,
// and waits until the kernel has configured it. ctx bounds that wait only;
// [Attachment.Detach] unplugs the key, and so does [Device.Close].
func (d *Device) Attach(ctx context.Context) (*Attachment, error) {
	return d.attach(ctx, ControllerPath)
}

func (d *Device) attach(ctx context.Context, controller string) (*Attachment, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("usbip: %w", err)
	}
	defer theirs.Close() // the kernel has its own reference by then
	s := newSession(d, ours)
	if !d.enter() {
		_ = ours.Close()
		return nil, errUnplugged
	}
	if !d.claim(s) {
		d.conns.Done()
		_ = ours.Close()
		return nil, errors.New("usbip: the key is attached already")
	}
	running, cancel := d.until(context.Background())
	a := &Attachment{controller: controller, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer d.conns.Done()
		defer close(a.done)
		defer ours.Close()
		a.err = s.run(running, bufio.NewReader(ours))
	}()
	a.Port, err = plugIn(controller, theirs)
	if err == nil {
		select {
		case <-s.configured:
			return a, nil
		case <-a.done:
			err = fmt.Errorf("usbip: the kernel has dropped the key: %w", errors.Join(a.err, errUnplugged))
		case <-ctx.Done():
			err = fmt.Errorf("usbip: waiting for the kernel: %w", context.Cause(ctx))
		}
		_ = theirs.Close()
		_ = a.Detach()
		return nil, err
	}
	cancel()
	<-a.done
	return nil, err
}

// socketPair returns the two ends of a connection: one for us, one for the kernel.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(fds[0]), "usbip")
	defer file.Close()
	theirs = os.NewFile(uintptr(fds[1]), "vhci_hcd")
	if ours, err = net.FileConn(file); err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// plugIn hands the kernel its end of the connection, at the first free port.
func plugIn(controller string, theirs *os.File) (int, error) {
	ports, err := freePorts(controller)
	if err != nil {
		return 0, err
	}
	for _, port := range ports {
		order := fmt.Sprintf("%d %d %d %d", port, theirs.Fd(), deviceID, speedFull)
		err = os.WriteFile(filepath.Join(controller, "attach"), []byte(order), 0)
		switch {
		case err == nil:
			return port, nil
		case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINVAL):
			continue // somebody else was faster
		case errors.Is(err, fs.ErrPermission):
			return 0, fmt.Errorf("usbip: %w (only root may plug in a USB device)", err)
		}
		return 0, fmt.Errorf("usbip: %w", err)
	}
	return 0, errors.Join(errors.New("usbip: the virtual hub has no free port"), err)
}

// freePorts lists the ports of the hub for full-speed devices with nothing in them. The first
// line of the file names the columns: older kernels have no hub column.
func freePorts(controller string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(controller, "status"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("usbip: %w (is the kernel module vhci_hcd loaded?)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("usbip: %w", err)
	}
	var ports []int
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) > 0 && (words[0] == "hs" || words[0] == "ss") {
			if words[0] == "ss" {
				continue
			}
			words = words[1:]
		}
		if len(words) < 2 {
			continue
		}
		port, err := strconv.Atoi(words[0])
		if err != nil {
			continue // the names of the columns
		}
		if state, err := strconv.Atoi(words[1]); err == nil && state == portFree && port >= 0 {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// Done is closed when the kernel has let the device go, also by itself.
func (a *Attachment) Done() <-chan struct{} { return a.done }

// Detach unplugs the device and waits until the port is free.
func (a *Attachment) Detach() error {
	a.once.Do(a.cancel)
	<-a.done
	// That our end is closed is what tells the kernel. Its port becomes free a little later.
	timer := time.NewTimer(detachTimeout)
	defer timer.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ports, err := freePorts(a.controller)
		if err != nil {
			return err
		}
		for _, port := range ports {
			if port == a.Port {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-timer.C:
			return fmt.Errorf("usbip: the kernel keeps port %d", a.Port)
		}
	}
}
