// Package bus is what all that is on D-Bus has in common: a connection with one name, who calls on
// it, and who leaves.
//
// It is for daemon/dbusapi and the adapters for other programs' interfaces below it. References are
// to the D-Bus Specification.
package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

// DaemonName is the name of the bus itself, and of its interface.
const DaemonName = "org.freedesktop.DBus"

const peerInterface = DaemonName + ".Peer"

// ErrLost says that the bus hung up.
var ErrLost = errors.New("the bus hung up")

// Conn is a connection to a bus. It is made by [Dial].
type Conn struct {
	*dbus.Conn
	left func(name string)
	hear func(*dbus.Signal)

	mu       sync.Mutex // guards watchers and what the bus knows of them
	watchers int
}

// Options are what a connection is for. The zero value only talks and exports.
type Options struct {
	// Left is called with the unique name of every program that leaves the bus while somebody
	// watches ([Conn.Watch]). It must not wait.
	Left func(name string)
	// Handler, if not nil, answers all calls, and closes the files that come with them. Without one,
	// files that come with calls are closed at once.
	Handler dbus.Handler
	// Signal is called with every other signal that matches. It must not wait.
	Signal func(*dbus.Signal)
}

// Address is where the session's bus or the system's is.
func Address(system bool) (string, error) {
	if !system {
		return sessionAddress()
	}
	if address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); address != "" {
		return address, nil
	}
	return "unix:path=/var/run/dbus/system_bus_socket", nil
}

// sessionAddress is where the session's bus is ("Well-known Message Bus Instances"). None is started.
func sessionAddress() (string, error) {
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return address, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(dir, "bus")), nil
	}
	return "", errors.New("no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set; run fobd as a user's daemon")
}

// Dial joins the bus at address, or the session's when that is empty.
func Dial(address string, o Options) (*Conn, error) {
	if address == "" {
		var err error
		if address, err = sessionAddress(); err != nil {
			return nil, err
		}
	}
	c := &Conn{left: o.Left, hear: o.Signal}
	options := []dbus.ConnOption{dbus.WithSignalHandler(c)}
	if o.Handler != nil {
		options = append(options, dbus.WithHandler(o.Handler), dbus.WithIncomingInterceptor(closeStray))
	} else {
		options = append(options, dbus.WithIncomingInterceptor(closeAll))
	}
	conn, err := dbus.Connect(address, options...)
	if err != nil {
		return nil, fmt.Errorf("the bus at %s: %w", address, err)
	}
	c.Conn = conn
	return c, nil
}

// Watch makes the bus tell who leaves it, until stop is called as often as Watch was: a program that
// nobody calls on is not woken up by others that come and go. Whoever leaves after Watch has returned
// is told.
func (c *Conn) Watch(ctx context.Context) (stop func(), err error) {
	// All leave, by a name that nobody owns any more.
	rule := "type='signal',sender='" + DaemonName + "',interface='" + DaemonName + "',member='NameOwnerChanged',arg2=''"
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == 0 {
		if err := c.BusObject().CallWithContext(ctx, DaemonName+".AddMatch", 0, rule).Err; err != nil {
			return nil, fmt.Errorf("the bus does not tell who leaves: %w", err)
		}
	}
	c.watchers++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.watchers--; c.watchers == 0 {
			c.BusObject().Go(DaemonName+".RemoveMatch", dbus.FlagNoReplyExpected, nil, rule)
		}
	}), nil
}

// DeliverSignal implements dbus.SignalHandler. It runs in the order of the messages.
func (c *Conn) DeliverSignal(iface, member string, signal *dbus.Signal) {
	if iface != DaemonName || member != "NameOwnerChanged" || signal.Sender != DaemonName {
		if c.hear != nil {
			c.hear(signal)
		}
		return
	}
	if c.left == nil || len(signal.Body) != 3 {
		return
	}
	name, _ := signal.Body[0].(string)
	if owner, ok := signal.Body[2].(string); ok && owner == "" && name != "" {
		c.left(name)
	}
}

// Own takes a name, which nobody else may have.
func (c *Conn) Own(ctx context.Context, name string) error {
	var reply uint32
	err := c.BusObject().CallWithContext(ctx, DaemonName+".RequestName", 0, name, uint32(dbus.NameFlagDoNotQueue)).Store(&reply)
	if err != nil {
		return fmt.Errorf("the bus does not give us the name %s: %w", name, err)
	}
	if dbus.RequestNameReply(reply) != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("another program has the name %s on this bus already; end it, or switch this off in fobd.toml", name)
	}
	return nil
}

// Identify asks the bus who the owner of a unique name is ("org.freedesktop.DBus.GetConnectionCredentials").
func (c *Conn) Identify(ctx context.Context, name string) (policy.Actor, error) {
	var answer map[string]dbus.Variant
	if err := c.BusObject().CallWithContext(ctx, DaemonName+".GetConnectionCredentials", 0, name).Store(&answer); err != nil {
		return policy.Actor{}, fmt.Errorf("the bus does not say who is calling: %w", err)
	}
	pidfd := -1
	defer func() {
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
	}()
	if fd, ok := answer["ProcessFD"].Value().(dbus.UnixFD); ok {
		pidfd = int(fd)
	}
	uid, ok := answer["UnixUserID"].Value().(uint32)
	if !ok {
		return policy.Actor{}, errors.New("the bus does not say which user is calling")
	}
	who := policy.Actor{UID: uid, Via: "dbus", BusName: name}
	if pid, ok := answer["ProcessID"].Value().(uint32); ok {
		who.PID = int(pid)
	}
	groups, _ := answer["UnixGroupIDs"].Value().([]uint32)
	if len(groups) > 0 {
		who.GID = groups[0]
	}
	return frontend.Identify(who, groups, pidfd), nil
}

// closeAll closes the files of a message that is no reply to us.
func closeAll(m *dbus.Message) {
	if m.Type != dbus.TypeMethodReply {
		CloseFiles(m.Body)
	}
}

// closeStray closes the files of a message that neither is a reply nor reaches a handler.
func closeStray(m *dbus.Message) {
	if m.Type == dbus.TypeMethodCall {
		// godbus answers these itself.
		if inter, _ := m.Headers[dbus.FieldInterface].Value().(string); inter != peerInterface {
			return
		}
	}
	closeAll(m)
}

// CloseFiles closes the file descriptors among the values of a message, each once: two values can be
// the same.
func CloseFiles(body []any) {
	files := map[dbus.UnixFD]bool{}
	for _, v := range body {
		collect(reflect.ValueOf(v), files)
	}
	for fd := range files {
		_ = unix.Close(int(fd))
	}
}

func collect(v reflect.Value, files map[dbus.UnixFD]bool) {
	if !v.IsValid() || !v.CanInterface() {
		return
	}
	switch x := v.Interface().(type) {
	case dbus.UnixFD:
		files[x] = true
		return
	case dbus.Variant:
		collect(reflect.ValueOf(x.Value()), files)
		return
	case []byte:
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), files)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			collect(k, files)
			collect(v.MapIndex(k), files)
		}
	case reflect.Interface:
		collect(v.Elem(), files)
	}
}
