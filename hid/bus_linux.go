package hid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// LinuxBusConfig says where a [LinuxBus] looks. The zero value is this machine.
type LinuxBusConfig struct {
	// SysRoot, DevRoot, ProcRoot and RunRoot stand for /sys, /dev, /proc and /run.
	SysRoot, DevRoot, ProcRoot, RunRoot string
	// Open opens a device node for reading and writing, non-blocking. Nil means to
	// open it and to insist that it is the character device that sysfs names.
	Open func(path string) (*os.File, error)
	// Listen opens a device node for reading only, non-blocking. Nil means Open, and where that
	// is nil, too, to open it as is said there.
	Listen func(path string) (*os.File, error)
	// Processes tells who has a device, by name. Nil means [Procfs] at ProcRoot.
	Processes Processes
	// Log gets a line for a device that is ignored, and why. Nil means none.
	Log *slog.Logger
}

// LinuxBus is the [Bus] of the kernel's hidraw devices. It is pure Go, learns what a
// device is from sysfs without opening it, and hears of changes through netlink,
// without polling.
//
// IDs are "usb-<bus>-<device>" with ".<interface>" if that is not 0, for USB devices,
// and "hid-<kernel's HID device>" for others, emulated ones among them.
type LinuxBus struct {
	sysRoot, devRoot, procRoot, runRoot string

	processes Processes

	open   func(path string) (*os.File, error)
	quiet  func(path string) (*os.File, error) // for listening only
	real   bool                                // open is our own
	log    *slog.Logger
	listen func() (ueventConn, error)
	// interfaces are those whose devices are on this bus; nil: FIDO's. See feature_linux.go.
	interfaces []Interface
}

// NewLinuxBus returns the bus of hidraw devices.
func NewLinuxBus(config LinuxBusConfig) *LinuxBus {
	b := &LinuxBus{
		sysRoot:  cmp.Or(config.SysRoot, "/sys"),
		devRoot:  cmp.Or(config.DevRoot, "/dev"),
		procRoot: cmp.Or(config.ProcRoot, "/proc"),
		runRoot:  cmp.Or(config.RunRoot, "/run"),
		open:     config.Open,
		quiet:    config.Listen,
		log:      cmp.Or(config.Log, slog.New(slog.DiscardHandler)),
	}
	if b.processes = config.Processes; b.processes == nil {
		b.processes = Procfs(b.procRoot)
	}
	b.listen = func() (ueventConn, error) { return listenUevents(b.runRoot) }
	if b.open == nil {
		b.real = true
		b.open = opener(os.O_RDWR)
	}
	switch {
	case b.quiet != nil:
	case b.real:
		b.quiet = opener(os.O_RDONLY)
	default:
		b.quiet = b.open
	}
	return b
}

func opener(mode int) func(string) (*os.File, error) {
	return func(path string) (*os.File, error) {
		return os.OpenFile(path, mode|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	}
}

// Devices implements [Bus]. It needs no access to the devices themselves.
func (b *LinuxBus) Devices() ([]Info, error) {
	nodes, err := b.scan()
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(nodes))
	for i, node := range nodes {
		infos[i] = node.info
	}
	return infos, nil
}

// Watch implements [Bus]. Besides ctx's end, it returns when the kernel's messages
// cannot be had (any more).
func (b *LinuxBus) Watch(ctx context.Context, event func(Event)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Subscribing comes first: what appears during the first scan has a message.
	conn, err := b.listen()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.interrupt)()

	var known []hidrawNode
	rescan := func() {
		now, err := b.scan()
		if err != nil {
			b.log.Warn("hid: devices not listed", "error", err)
			return
		}
		before := known
		known = now
		for _, node := range before {
			if !slices.ContainsFunc(now, node.same) {
				event(Event{Kind: Detached, Info: node.info})
			}
		}
		for _, node := range now {
			if !slices.ContainsFunc(before, node.same) {
				event(Event{Kind: Attached, Info: node.info})
			}
		}
	}
	rescan()
	for {
		e, err := conn.receive()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errOverrun):
			rescan()
		case err != nil:
			return err
		case e.subsystem != "hidraw":
		case e.action == "remove":
			// sysfs may still show it.
			at := slices.IndexFunc(known, func(n hidrawNode) bool { return n.devpath == e.devpath })
			if at >= 0 {
				gone := known[at]
				known = slices.Delete(known, at, at+1)
				event(Event{Kind: Detached, Info: gone.info})
			}
		default:
			rescan()
		}
	}
}

// same says whether both are one device, plugged in once.
func (n hidrawNode) same(other hidrawNode) bool {
	return n.instance == other.instance && n.name == other.name
}

// Open implements [Bus]. "Taking" a device means the lock that libfido2 takes, too;
// waiting hears who has it. A device that has just appeared gets two seconds until
// its permissions allow access. The error is [fs.ErrPermission] if they don't.
func (b *LinuxBus) Open(ctx context.Context, id string, waiting func(Holder)) (Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	node, err := b.find(id)
	if err != nil {
		return nil, err
	}
	file, err := b.take(ctx, node, waiting)
	if err != nil {
		return nil, err
	}
	return newHidrawDevice(file, node.info.InputSize, node.info.OutputSize), nil
}

// find looks up an attached device.
func (b *LinuxBus) find(id string) (hidrawNode, error) {
	nodes, err := b.scan()
	if err != nil {
		return hidrawNode{}, err
	}
	at := slices.IndexFunc(nodes, func(n hidrawNode) bool { return n.info.ID == id })
	if at < 0 {
		return hidrawNode{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return nodes[at], nil
}

// take opens and locks a device. Reports of the former holder may be queued in a file
// that was opened before the lock was free, so after waiting it is opened anew.
func (b *LinuxBus) take(ctx context.Context, node hidrawNode, waiting func(Holder)) (*os.File, error) {
	told := tellHolder{tell: waiting}
	for {
		file, err := b.openNode(ctx, node, b.open)
		if err != nil {
			return nil, err
		}
		waited, err := b.lock(ctx, node, file, &told)
		if err == nil && !waited {
			return file, nil
		}
		file.Close()
		if err != nil {
			return nil, err
		}
	}
}

// lock waits for the lock on file, and says whether it had to.
func (b *LinuxBus) lock(ctx context.Context, node hidrawNode, file *os.File, told *tellHolder) (waited bool, err error) {
	for pause := 10 * time.Millisecond; ; pause = min(pause*3/2, 250*time.Millisecond) {
		free, err := tryLock(file)
		if err != nil {
			return waited, fmt.Errorf("hid: lock %s: %w", node.info.Path, err)
		}
		if free {
			return waited, nil
		}
		told.holder(b.holderOf(file))
		waited = true
		// The jitter keeps two that wait from meeting again and again.
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return waited, fmt.Errorf("hid: %s is held by %v: %w", node.info.Path, told.last, err)
		}
		if err := b.check(node); err != nil {
			return waited, err
		}
	}
}

// tellHolder calls tell once per holder.
type tellHolder struct {
	tell  func(Holder)
	last  Holder // the last that was told of
	told  bool
	looks int
}

func (t *tellHolder) holder(h Holder) {
	t.looks++
	// A holder that is not in the table has most likely just let go. One that is still
	// unknown at the second look is told of.
	unknown := h == Holder{}
	if unknown && (t.told || t.looks < 2) || t.told && h == t.last {
		return
	}
	t.last, t.told = h, true
	if t.tell != nil {
		t.tell(h)
	}
}

// permissionGrace is how long a new node may stay without the permissions that udev is
// about to set.
const permissionGrace = 2 * time.Second

// openNode opens a device's node and makes sure that it is still that device.
func (b *LinuxBus) openNode(ctx context.Context, node hidrawNode, open func(string) (*os.File, error)) (*os.File, error) {
	path := node.info.Path
	limit := time.Now().Add(permissionGrace)
	for {
		file, err := open(path)
		if err == nil {
			if err := errors.Join(b.check(node), b.checkNode(node, file)); err != nil {
				file.Close()
				return nil, err
			}
			return file, nil
		}
		// The path may be missing because the device is.
		if gone := b.check(node); gone != nil {
			return nil, gone
		}
		denied := errors.Is(err, fs.ErrPermission)
		switch {
		case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
			return nil, fmt.Errorf("%w: %s", ErrNotFound, node.info.ID)
		case !denied && !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("hid: %w", err)
		}
		if !time.Now().Before(limit) || !b.young(path) {
			if denied {
				err = fmt.Errorf("%w (is the udev rule 70-fobd.rules installed, and this user in group fobd?)", err)
			}
			return nil, fmt.Errorf("hid: %w", err)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("hid: waiting for access to %s: %w", path, err)
		}
	}
}

// young says whether a node appeared, or is still to appear, so recently that its
// permissions may not be set yet.
func (b *LinuxBus) young(path string) bool {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return time.Since(time.Unix(stat.Ctim.Unix())) < permissionGrace
}

// check gives ErrNotFound if the device has been unplugged, even if another one has
// its path by now.
func (b *LinuxBus) check(node hidrawNode) error {
	instance, err := b.instance(node.name)
	switch {
	case err == nil && instance == node.instance:
		return nil
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrNotFound, node.info.ID)
	}
	return fmt.Errorf("hid: %s: %w", node.info.ID, err)
}

// checkNode compares the open file with the device number in sysfs.
func (b *LinuxBus) checkNode(node hidrawNode, file *os.File) error {
	if !b.real {
		return nil
	}
	var stat unix.Stat_t
	if err := control(file, func(fd int) error { return unix.Fstat(fd, &stat) }); err != nil {
		return fmt.Errorf("hid: %s: %w", node.info.Path, err)
	}
	want, err := readAttribute(filepath.Join(b.class(), node.name, "dev"))
	if err != nil {
		return fmt.Errorf("%w: %s", ErrNotFound, node.info.ID)
	}
	rdev := uint64(stat.Rdev) //nolint:unconvert // has 32 bits on mips
	got := fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev))
	if stat.Mode&unix.S_IFMT != unix.S_IFCHR || got != strings.TrimSpace(string(want)) {
		return fmt.Errorf("hid: %s is not the device node of %s", node.info.Path, node.info.ID)
	}
	return nil
}

// sleep waits, and returns the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
