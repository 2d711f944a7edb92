package usbip_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid/usbip"
)

// controller is a virtual host controller that the test plays: attach is a pipe.
func controller(t *testing.T, status string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "attach"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const status = `hub port sta spd dev      sockfd local_busid
hs  0000 006 002 00010002 000003 1-1
hs  0001 004 000 00000000 000000 0-0
ss  0008 004 000 00000000 000000 0-0
`

// kernel reads an order to attach and returns what it says and the kernel's end.
func kernel(t *testing.T, dir string) (order string, conn net.Conn) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "attach"))
	if err != nil {
		t.Error(err)
		return "", nil
	}
	var port, fd, device, speed int
	if _, err := fmt.Sscan(string(data), &port, &fd, &device, &speed); err != nil {
		t.Errorf("%q: %v", data, err)
		return "", nil
	}
	fd, err = unix.Dup(fd) // as the kernel takes a reference
	if err != nil {
		t.Error(err)
		return "", nil
	}
	file := os.NewFile(uintptr(fd), "kernel")
	defer file.Close()
	if conn, err = net.FileConn(file); err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%d %#x %d", port, device, speed), conn
}

func TestAttach(t *testing.T) {
	dir := controller(t, status)
	key := newDevice(t, usbip.Config{})
	hosts := make(chan *host, 1)
	go func() {
		order, conn := kernel(t, dir)
		if want := "1 0x10002 2"; order != want {
			t.Errorf("the order is %q, want %q: port 1 is the free one", order, want)
		}
		h := newHost(t, conn)
		h.configure()
		hosts <- h
	}()
	attachment, err := key.AttachTo(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if attachment.Port != 1 {
		t.Errorf("port %d, want 1", attachment.Port)
	}
	h := <-hosts
	want := bytes.Repeat([]byte{7}, 64)
	h.submit(1, nil, nil, 64)
	if _, err := key.Write(want); err != nil {
		t.Fatal(err)
	}
	if got := h.answer(); !bytes.Equal(got.data, want) {
		t.Errorf("report %x, want %x", got.data, want)
	}
	if _, err := key.AttachTo(t.Context(), dir); err == nil {
		t.Error("a key can be attached twice")
	}
	if err := attachment.Detach(); err != nil {
		t.Error(err)
	}
	<-attachment.Done()
	if _, err := h.tryAnswer(); err == nil {
		t.Error("the kernel still has a connection")
	}
}

func TestAttachToAKernelThatHangsUp(t *testing.T) {
	dir := controller(t, status)
	go func() {
		if _, conn := kernel(t, dir); conn != nil {
			time.Sleep(10 * time.Millisecond) // until the order is given and our copy is closed
			_ = conn.(*net.UnixConn).CloseWrite()
			_ = conn.Close()
		}
	}()
	if _, err := newDevice(t, usbip.Config{}).AttachTo(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "dropped") {
		t.Errorf("Attach: %v, want that the kernel has dropped it", err)
	}
}

func TestAttachEndsWithItsContext(t *testing.T) {
	dir := controller(t, status)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if _, conn := kernel(t, dir); conn != nil {
			cancel()
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	if _, err := newDevice(t, usbip.Config{}).AttachTo(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("Attach: %v, want %v", err, context.Canceled)
	}
}

func TestAttachWithoutAPort(t *testing.T) {
	key := newDevice(t, usbip.Config{})
	if _, err := key.AttachTo(t.Context(), t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "vhci_hcd") {
		t.Errorf("without the module: %v", err)
	}
	full := strings.ReplaceAll(status, "hs  0001 004", "hs  0001 006")
	if _, err := key.AttachTo(t.Context(), controller(t, full)); err == nil || !strings.Contains(err.Error(), "no free port") {
		t.Errorf("a full hub: %v", err)
	}
	// The key is usable all the same.
	attached(t, key)
}

// Older kernels have no column for the hub.
func TestAttachToAnOlderKernel(t *testing.T) {
	dir := controller(t, "prt sta spd bus dev socket           local_busid\n000 004 000 000 000 0000000000000000 0-0\n")
	configured := make(chan struct{})
	go func() {
		defer close(configured)
		if _, conn := kernel(t, dir); conn != nil {
			newHost(t, conn).configure()
		}
	}()
	attachment, err := newDevice(t, usbip.Config{}).AttachTo(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	<-configured
	if err := attachment.Detach(); err != nil {
		t.Error(err)
	}
}
