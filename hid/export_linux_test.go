package hid

import "os"

// UeventFeed stands in for netlink.
type UeventFeed struct {
	events      chan uevent
	errors      chan error
	interrupted chan struct{}
	Closed      chan struct{}
}

// FeedUevents makes a bus listen to the feed that it returns. onListen runs when the
// bus subscribes.
func FeedUevents(b *LinuxBus, onListen func()) *UeventFeed {
	f := &UeventFeed{
		events:      make(chan uevent),
		errors:      make(chan error),
		interrupted: make(chan struct{}),
		Closed:      make(chan struct{}),
	}
	b.listen = func() (ueventConn, error) {
		if onListen != nil {
			onListen()
		}
		return f, nil
	}
	return f
}

func (f *UeventFeed) Send(action, subsystem, devpath string) {
	f.events <- uevent{action, subsystem, devpath}
}

func (f *UeventFeed) Overrun() { f.errors <- errOverrun }

func (f *UeventFeed) Fail(err error) { f.errors <- err }

func (f *UeventFeed) receive() (uevent, error) {
	select {
	case e := <-f.events:
		return e, nil
	case err := <-f.errors:
		return uevent{}, err
	case <-f.interrupted:
		return uevent{}, errOverrun
	}
}

func (f *UeventFeed) interrupt() { close(f.interrupted) }

func (f *UeventFeed) Close() error {
	close(f.Closed)
	return nil
}

// ParseUevent gives parseUevent's result in parts.
func ParseUevent(message []byte) (action, subsystem, devpath string, err error) {
	e, err := parseUevent(message)
	return e.action, e.subsystem, e.devpath, err
}

// Netlink is the real thing.
type Netlink struct{ conn *netlinkConn }

// ListenNetlink subscribes to a group.
func ListenNetlink(group uint32) (Netlink, error) {
	conn, err := listenNetlink(group)
	return Netlink{conn}, err
}

func (n Netlink) Receive() (action, subsystem, devpath string, err error) {
	e, err := n.conn.receive()
	return e.action, e.subsystem, e.devpath, err
}

func (n Netlink) Interrupt()   { n.conn.interrupt() }
func (n Netlink) Close() error { return n.conn.Close() }

var (
	ErrUevent  = errUevent
	ErrOverrun = errOverrun
	FindLock   = findLock
	Writer     = writer
)

// NewHidraw makes the device of an open file.
func NewHidraw(file *os.File, input, output int) Device { return newHidrawDevice(file, input, output) }
