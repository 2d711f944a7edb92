package hid_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
)

func TestLinuxBusListen(t *testing.T) {
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	here, there := socketpair(t)
	defer there.Close()
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{
		SysRoot: sys.root,
		Open:    func(string) (*os.File, error) { return nil, errors.New("opened for writing, too") },
		Listen:  func(string) (*os.File, error) { return here, nil },
	})
	if _, err := bus.Listen(t.Context(), "usb-9-9"); !errors.Is(err, hid.ErrNotFound) {
		t.Errorf("Listen to a device that is not there: %v, want %v", err, hid.ErrNotFound)
	}
	ear, err := bus.Listen(t.Context(), uhidID)
	if err != nil {
		t.Fatal(err)
	}
	report := make([]byte, ear.ReportSize())
	there.Write(fill(64, 1))
	there.Write(fill(63, 2))
	if _, err := ear.Read(report); err != nil || report[0] != 1 {
		t.Errorf("heard %x, %v; want a report of ones", report, err)
	}
	if _, err := ear.Read(report); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Read of a short report: %v, want %v", err, hid.ErrReportSize)
	}
	if _, err := ear.Read(report[:8]); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Read into a short buffer: %v, want %v", err, hid.ErrReportSize)
	}
	if err := ear.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := ear.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read past the deadline: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	ear.SetReadDeadline(time.Time{})
	there.Write(fill(64, 3))
	if _, err := ear.Read(report); err != nil || report[0] != 3 {
		t.Errorf("heard %x, %v after the deadline; want a report of threes", report, err)
	}
	ended := make(chan error)
	go func() {
		_, err := ear.Read(make([]byte, 64))
		ended <- err
	}()
	if err := ear.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read during Close: %v, want %v", err, os.ErrClosed)
	}
	if err := errors.Join(ear.Close(), func() error {
		if err := ear.SetReadDeadline(time.Time{}); !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("SetReadDeadline after Close: %w", err)
		}
		return nil
	}()); err != nil {
		t.Error(err)
	}
}

func TestLinuxBusListenHearsOfUnplugging(t *testing.T) {
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	here, there := socketpair(t)
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, Open: func(string) (*os.File, error) { return here, nil }})
	ear, err := bus.Listen(t.Context(), uhidID)
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	there.Close()
	if _, err := ear.Read(make([]byte, 64)); !errors.Is(err, hid.ErrGone) {
		t.Errorf("Read: %v, want %v", err, hid.ErrGone)
	}
}

// Listening takes no lock, and finds one that is held no obstacle.
func TestLinuxBusListenTakesNoLock(t *testing.T) {
	bus, _, path := lockBus(t)
	ear, err := bus.Listen(t.Context(), uhidID)
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	hold(t, path) // fails if it is locked
	second, err := bus.Listen(t.Context(), uhidID)
	if err != nil {
		t.Fatalf("Listen to a device that is locked: %v", err)
	}
	second.Close()
}

// fakeProc is a /proc with processes that have files open.
type fakeProc struct {
	t    *testing.T
	root string
}

// process adds a process and returns the folder of its descriptors.
func (p fakeProc) process(pid int, name string) string {
	dir := filepath.Join(p.root, strconv.Itoa(pid))
	if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "comm"), []byte(name+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return filepath.Join(dir, "fd")
}

// opens has a process open a file, for writing: other symbolic links than those of the real
// /proc have all permissions.
func (p fakeProc) opens(pid int, name, path string) {
	if err := os.Symlink(path, filepath.Join(p.process(pid, name), "5")); err != nil {
		p.t.Fatal(err)
	}
}

func TestLinuxBusHolder(t *testing.T) {
	sys := newFakeSys(t)
	sys.addUHID("hidraw3")
	dev := memoryDir(t)
	path := filepath.Join(dev, "hidraw3")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	proc := fakeProc{t, t.TempDir()}
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{SysRoot: sys.root, DevRoot: dev, ProcRoot: proc.root, Open: openFIFO})
	want := func(what string, want hid.Holder) {
		t.Helper()
		if got := bus.Holder(uhidID); got != want {
			t.Errorf("%s: holder %+v, want %+v", what, got, want)
		}
	}
	proc.opens(100, "other", "/dev/null")
	proc.opens(os.Getpid(), "self", path)
	want("nobody has it open but we", hid.Holder{})
	proc.opens(200, "chromium", path)
	want("one has it open", hid.Holder{PID: 200, Program: "chromium"})

	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	lock := func(pid int) {
		line := fmt.Sprintf("1: FLOCK  ADVISORY  WRITE %d %02x:%02x:%d 0 EOF\n", pid, unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
		if err := os.WriteFile(filepath.Join(proc.root, "locks"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	proc.process(300, "ssh-sk-helper")
	lock(300)
	want("one has the lock", hid.Holder{PID: 300, Program: "ssh-sk-helper"})
	lock(os.Getpid())
	want("we have the lock", hid.Holder{PID: 200, Program: "chromium"})
	proc.opens(400, "firefox", path)
	want("several have it open", hid.Holder{})
	sys.remove("hidraw3")
	want("it is unplugged", hid.Holder{})
}

// The real /proc: who has a file open for reading only is not who waits for a touch.
func TestWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hidraw3")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listening, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close()
	if got := hid.Writer(hid.Procfs("/proc"), path, 0); got != 0 {
		t.Errorf("who has it open for reading: %d, want nobody", got)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := hid.Writer(hid.Procfs("/proc"), path, 0); got != os.Getpid() {
		t.Errorf("who has it open: %d, want %d", got, os.Getpid())
	}
	if got := hid.Writer(hid.Procfs("/proc"), path, os.Getpid()); got != 0 {
		t.Errorf("who but us has it open: %d, want nobody", got)
	}
}
