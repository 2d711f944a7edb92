// Package bus is what the adapters for other programs' D-Bus interfaces have in common: a
// connection with one name, and who calls on it.
//
// It is for daemon/dbusapi/credentialsd and daemon/dbusapi/touchdetector. References are to the
// D-Bus Specification.
package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/internal/frontend"
	"github.com/fobd/fobd/daemon/policy"
)

const daemonName = "org.freedesktop.DBus"

// ErrLost says that the bus hung up.
var ErrLost = errors.New("the bus hung up")

// Conn is a connection to a bus. It is made by [Dial].
type Conn struct {
	*dbus.Conn
	left func(name string)
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

// Dial joins the bus at address, or the session's when that is empty. left, if not nil, is called with the unique name of every program
// that leaves the bus; it must not wait. Files that come with calls are closed: no adapter takes any.
func Dial(ctx context.Context, address string, left func(name string)) (*Conn, error) {
	if address == "" {
		var err error
		if address, err = sessionAddress(); err != nil {
			return nil, err
		}
	}
	c := &Conn{left: left}
	conn, err := dbus.Connect(address, dbus.WithSignalHandler(c), dbus.WithIncomingInterceptor(closeFiles))
	if err != nil {
		return nil, fmt.Errorf("the bus at %s: %w", address, err)
	}
	c.Conn = conn
	if left == nil {
		return c, nil
	}
	// All leave, by a name that nobody owns any more.
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(daemonName), dbus.WithMatchInterface(daemonName),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(2, "")); err != nil {
		return nil, errors.Join(fmt.Errorf("the bus does not tell who leaves: %w", err), conn.Close())
	}
	return c, nil
}

// DeliverSignal implements dbus.SignalHandler. It runs in the order of the messages.
func (c *Conn) DeliverSignal(iface, member string, signal *dbus.Signal) {
	if c.left == nil || iface != daemonName || member != "NameOwnerChanged" || signal.Sender != daemonName || len(signal.Body) != 3 {
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
	err := c.BusObject().CallWithContext(ctx, daemonName+".RequestName", 0, name, uint32(dbus.NameFlagDoNotQueue)).Store(&reply)
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
	if err := c.BusObject().CallWithContext(ctx, daemonName+".GetConnectionCredentials", 0, name).Store(&answer); err != nil {
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
	who := policy.Actor{UID: uid}
	if pid, ok := answer["ProcessID"].Value().(uint32); ok {
		who.PID = int(pid)
	}
	if groups, ok := answer["UnixGroupIDs"].Value().([]uint32); ok && len(groups) > 0 {
		who.GID = groups[0]
	}
	return frontend.Identify(who, pidfd), nil
}

// closeFiles closes the files of a message that is no reply to us, each once.
func closeFiles(m *dbus.Message) {
	if m.Type == dbus.TypeMethodReply {
		return
	}
	files := map[dbus.UnixFD]bool{}
	for _, v := range m.Body {
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
