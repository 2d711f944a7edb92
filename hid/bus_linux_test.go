package hid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
)

const uhidID = "hid-0003:1209:F0BD.0007"

func TestLinuxBusWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newFakeSys(t)
		usb := sys.addUSB("hidraw3")
		bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root})
		var uhid string
		// This one appears when the bus has subscribed and not yet listed.
		feed := hid.FeedUevents(bus, func() { uhid = sys.addUHID("hidraw10") })
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error)
		go func() {
			ended <- bus.Watch(ctx, func(e hid.Event) {
				got = append(got, fmt.Sprintf("%v %s", e.Kind, e.Info.ID))
			})
		}()
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(got, want) {
				t.Errorf("%s: events %q, want %q", what, got, want)
			}
			got = nil
		}
		expect("first", "attached "+uhidID, "attached usb-1-12.1")
		feed.Send("add", "hidraw", uhid)
		expect("its own message")
		feed.Send("bind", "hid", "/devices/x")
		expect("another subsystem")
		feed.Send("remove", "hidraw", usb) // sysfs still shows it
		expect("remove", "detached usb-1-12.1")
		sys.remove("hidraw3")
		feed.Send("remove", "hidraw", usb)
		expect("remove again")
		sys.remove("hidraw10")
		// Another device has got the path: lost messages are made up for.
		sys.add("hidraw10", "virtual/misc/uhid/0003:1209:F0BD.0008", uhidUevent, hid.FIDOReportDescriptor(64, 64))
		feed.Overrun()
		expect("overrun", "detached "+uhidID, "attached hid-0003:1209:F0BD.0008")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v, want %v", err, context.Canceled)
		}
		<-feed.Closed
	})
}

func TestLinuxBusWatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: t.TempDir()})
		feed := hid.FeedUevents(bus, nil)
		failure := errors.New("no more messages")
		go feed.Fail(failure)
		if err := bus.Watch(t.Context(), nil); !errors.Is(err, failure) {
			t.Errorf("Watch: %v, want %v", err, failure)
		}
	})
}

// A real netlink socket: the bus ends with the context.
func TestLinuxBusWatchNetlink(t *testing.T) {
	listenNetlink(t, 1)
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root})
	ctx, cancel := context.WithCancel(t.Context())
	err := bus.Watch(ctx, func(e hid.Event) {
		if e.Kind != hid.Attached || e.Info.ID != uhidID {
			t.Errorf("event %v", e)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v, want %v", err, context.Canceled)
	}
}

// lockBus is a bus whose one device is a FIFO, which can be opened several times and
// locked. The queue is not kept apart by opener, as it is with hidraw.
func lockBus(t *testing.T) (bus *hid.LinuxBus, sys fakeSys, path string) {
	t.Helper()
	sys = newFakeSys(t)
	sys.addUHID("hidraw3")
	dev := memoryDir(t)
	path = filepath.Join(dev, "hidraw3")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: dev, Open: openFIFO}), sys, path
}

// memoryDir makes a directory on a tmpfs where there is one: overlayfs and btrfs show
// another device number to stat than in the table of locks. /dev never is one of these.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fobd-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func openFIFO(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
}

func hold(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := openFIFO(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	conn, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLinuxBusOpenLocks(t *testing.T) {
	bus, _, path := lockBus(t)
	device, err := bus.Open(t.Context(), uhidID, func(h hid.Holder) { t.Errorf("had to wait for %v", h) })
	if err != nil {
		t.Fatal(err)
	}
	other, err := openFIFO(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	flock := func() (err error) {
		conn, _ := other.SyscallConn()
		conn.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
		return err
	}
	if err := flock(); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("flock of an open device: %v, want %v", err, unix.EWOULDBLOCK)
	}
	device.Close()
	if err := flock(); err != nil {
		t.Errorf("flock after Close: %v", err)
	}
}

func TestLinuxBusOpenWaitsForTheHolder(t *testing.T) {
	_, sys, path := lockBus(t)
	file := hold(t, path)
	opens := 0
	dev := filepath.Dir(path)
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: dev, Open: func(path string) (*os.File, error) {
		opens++
		return openFIFO(path)
	}})
	var holders []hid.Holder
	device, err := bus.Open(t.Context(), uhidID, func(h hid.Holder) {
		holders = append(holders, h)
		file.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	comm, _ := os.ReadFile("/proc/self/comm")
	want := hid.Holder{PID: os.Getpid(), Program: strings.TrimSpace(string(comm))}
	if len(holders) != 1 || holders[0] != want {
		t.Errorf("waited for %v, want once for %v", holders, want)
	}
	if opens != 2 {
		t.Errorf("opened %d times, want 2: reports of the former holder would be read", opens)
	}
}

func TestLinuxBusOpenGivesUpWithTheContext(t *testing.T) {
	bus, _, path := lockBus(t)
	hold(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := bus.Open(ctx, uhidID, func(hid.Holder) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("Open: %v, want %v and the holder", err, context.Canceled)
	}
}

func TestLinuxBusOpenUnpluggedWhileWaiting(t *testing.T) {
	bus, sys, path := lockBus(t)
	hold(t, path)
	_, err := bus.Open(t.Context(), uhidID, func(hid.Holder) {
		sys.remove("hidraw3")
		// Somebody else has got the name.
		sys.add("hidraw3", "virtual/misc/uhid/0003:1209:F0BD.0008", uhidUevent, hid.FIDOReportDescriptor(64, 64))
	})
	if !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open: %v, want %v", err, hid.ErrNotFound)
	}
}

// The unknown holder is one outside of our PID namespace, or one that let go just now.
func TestLinuxBusOpenUnknownHolder(t *testing.T) {
	_, sys, path := lockBus(t)
	hold(t, path)
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{
		SysRoot: sys.root, DevRoot: filepath.Dir(path), ProcRoot: t.TempDir(), Open: openFIFO,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var holders []hid.Holder
	_, err := bus.Open(ctx, uhidID, func(h hid.Holder) { holders = append(holders, h) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: %v, want %v", err, context.DeadlineExceeded)
	}
	if !slices.Equal(holders, []hid.Holder{{}}) {
		t.Errorf("waited for %v, want once for the unknown", holders)
	}
}

// Several programs have the key one after another; in between, nobody is in the table.
func TestLinuxBusOpenSeveralHolders(t *testing.T) {
	_, sys, path := lockBus(t)
	hold(t, path)
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	proc := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	locked := func(pid int) {
		t.Helper()
		write("locks", fmt.Sprintf("1: FLOCK  ADVISORY  WRITE %d %02x:%02x:%d 0 EOF\n", pid,
			unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino))
	}
	write("71/comm", "ssh-sk-helper\n")
	locked(71)
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{
		SysRoot: sys.root, DevRoot: filepath.Dir(path), ProcRoot: proc, Open: openFIFO,
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var holders []hid.Holder
	_, err := bus.Open(ctx, uhidID, func(h hid.Holder) {
		switch holders = append(holders, h); len(holders) {
		case 1:
			write("locks", "")
			time.AfterFunc(100*time.Millisecond, func() { locked(72) })
		case 2:
			time.AfterFunc(100*time.Millisecond, cancel)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want %v", err, context.Canceled)
	}
	if want := []hid.Holder{{PID: 71, Program: "ssh-sk-helper"}, {PID: 72}}; !slices.Equal(holders, want) {
		t.Errorf("waited for %v, want %v", holders, want)
	}
}

func TestLinuxBusOpenNotFound(t *testing.T) {
	bus, sys, path := lockBus(t)
	if _, err := bus.Open(t.Context(), "usb-1-1", nil); !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open of another ID: %v, want %v", err, hid.ErrNotFound)
	}
	// The path changes hands between listing and opening.
	bus = hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: filepath.Dir(path), Open: func(path string) (*os.File, error) {
		sys.remove("hidraw3")
		sys.add("hidraw3", "virtual/misc/uhid/0003:1209:F0BD.0008", uhidUevent, hid.FIDOReportDescriptor(64, 64))
		return openFIFO(path)
	}})
	if _, err := bus.Open(t.Context(), uhidID, nil); !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open of a reused path: %v, want %v", err, hid.ErrNotFound)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bus.Open(ctx, uhidID, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want %v", err, context.Canceled)
	}
}

// Without an injected Open, what is no device node is refused.
func TestLinuxBusOpenInsistsOnTheNode(t *testing.T) {
	_, sys, path := lockBus(t)
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: filepath.Dir(path)})
	if device, err := bus.Open(t.Context(), uhidID, nil); err == nil || errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Open of a FIFO = %v, %v", device, err)
	}
}

func TestLinuxBusOpenPermission(t *testing.T) {
	_, sys, path := lockBus(t)
	denied := 0
	open := func(path string) (*os.File, error) {
		if denied--; denied >= 0 {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}
		return openFIFO(path)
	}
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: filepath.Dir(path), Open: open})

	denied = 3 // the node is new: udev needs a moment
	device, err := bus.Open(t.Context(), uhidID, nil)
	if err != nil {
		t.Fatalf("Open of a new node: %v", err)
	}
	device.Close()

	denied = 1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := bus.Open(ctx, uhidID, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: %v, want %v", err, context.DeadlineExceeded)
	}

	// A node that has been there for long is not waited for. /dev/null is one.
	sys.remove("hidraw3")
	sys.add("null", uhidDevice, uhidUevent, hid.FIDOReportDescriptor(64, 64))
	bus = hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, Open: open})
	start := time.Now()
	_, err = bus.Open(t.Context(), uhidID, nil)
	if !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("Open: %v, want %v", err, fs.ErrPermission)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("Open took %v", took)
	}
	for _, want := range []string{"/dev/null", "70-fobd.rules", "group fobd"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestFindLock(t *testing.T) {
	const table = `1: POSIX  ADVISORY  WRITE 700 00:05:1087 0 EOF
2: FLOCK  ADVISORY  READ 701 00:05:1087 0 EOF
3: -> FLOCK  ADVISORY  WRITE 702 00:05:1087 0 EOF
4: FLOCK  ADVISORY  WRITE 703 00:05:10870 0 EOF
cut
5: FLOCK  ADVISORY  WRITE 704 00:05:1087 0 EOF
`
	if got := hid.FindLock(strings.NewReader(table), "00:05:1087"); got != 704 {
		t.Errorf("FindLock = %d, want 704", got)
	}
	if got := hid.FindLock(strings.NewReader(table), "00:06:1087"); got != 0 {
		t.Errorf("FindLock = %d, want 0", got)
	}
}

// Another process holds the lock, as ssh would.
func TestLinuxBusOpenNamesAnotherProcess(t *testing.T) {
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip(err)
	}
	bus, _, path := lockBus(t)
	// flock(1) would wait for a FIFO's writer; any file can be locked.
	os.Remove(path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// cat ends when its input does, and the lock goes with it.
	command := exec.CommandContext(t.Context(), flock, "--no-fork", "-x", path, "cat")
	input, _ := command.StdinPipe()
	output, _ := command.StdoutPipe()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// What comes back came from cat: the lock is held and the program's name is its.
	if _, err := input.Write([]byte("held\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(output, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	var holders []hid.Holder
	device, err := bus.Open(t.Context(), uhidID, func(h hid.Holder) {
		holders = append(holders, h)
		input.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	device.Close()
	command.Wait()
	want := hid.Holder{PID: command.Process.Pid, Program: "cat"}
	if len(holders) != 1 || holders[0] != want {
		t.Errorf("waited for %v, want once for %v", holders, want)
	}
}

func TestNewSystemBus(t *testing.T) {
	if _, err := hid.NewSystemBus(nil, nil).Devices(); err != nil {
		t.Errorf("Devices: %v", err)
	}
}
