package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/config"
)

// endpoint is the socket and what keeps it ours.
type endpoint struct {
	net.Listener
	path string
	lock *os.File // nil when systemd owns the socket
}

// Close removes the socket, then the lock. It may be called again.
func (e *endpoint) Close() error {
	err := e.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if e.lock != nil {
		// While the lock is held nobody else can have one by this name.
		err = errors.Join(err, os.Remove(e.lock.Name()), e.lock.Close())
		e.lock = nil
	}
	return err
}

// busyError says that another daemon serves already.
type busyError struct {
	path, who string
}

func (e *busyError) Error() string {
	return fmt.Sprintf("%s is served by another fobd%s", e.path, e.who)
}

// Hint says what to do.
func (e *busyError) Hint() string { return "stop it, or choose another --socket" }

// listen takes over the socket that systemd hands over, else makes one.
func listen(ctx context.Context, c config.Socket, scope config.Scope, log *slog.Logger) (*endpoint, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("socket from systemd: %w", err)
	}
	switch {
	case len(given) > 1:
		return nil, fmt.Errorf("systemd hands over %d sockets, want one", len(given))
	case len(given) == 1:
		if _, ok := given[0].(*net.UnixListener); !ok {
			return nil, errors.New("systemd hands over a socket that is not ListenStream= with a path")
		}
		return &endpoint{Listener: given[0], path: given[0].Addr().String()}, nil
	}

	dirMode := fs.FileMode(0o700)
	if scope == config.System {
		dirMode = 0o755
	}
	if err := makeDir(filepath.Dir(c.Path), dirMode); err != nil {
		return nil, err
	}
	lock, err := takeLock(c.Path)
	if err != nil {
		return nil, err
	}
	e := &endpoint{path: c.Path, lock: lock}
	if err := removeStale(ctx, c.Path); err != nil {
		return nil, errors.Join(err, os.Remove(lock.Name()), lock.Close())
	}
	// The umask keeps everyone else out until permissions say otherwise.
	var lc net.ListenConfig
	if e.Listener, err = lc.Listen(ctx, "unix", c.Path); err != nil {
		return nil, errors.Join(err, os.Remove(lock.Name()), lock.Close())
	}
	if err := permit(c); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// makeDir makes the socket's own folder, if it is missing; its parent must be there.
func makeDir(dir string, mode fs.FileMode) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("folder for the socket: %w", err)
	}
	return os.Chmod(dir, mode) // the umask is stricter
}

// takeLock takes the lock of a socket: only its holder may make or remove it. The file
// goes when the lock does, so one that was taken may be gone by now; then it is tried anew.
func takeLock(socket string) (*os.File, error) {
	name := socket + ".lock"
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock of the socket: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			holder := make([]byte, 20)
			n, _ := f.Read(holder)
			_ = f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("lock of the socket: %w", err)
			}
			who := ""
			if pid, err := strconv.Atoi(string(holder[:n])); err == nil {
				who = fmt.Sprintf(" (process %d)", pid)
			}
			return nil, &busyError{socket, who}
		}
		held, err1 := f.Stat()
		named, err2 := os.Lstat(name)
		if err1 == nil && err2 == nil && os.SameFile(held, named) {
			err := errors.Join(f.Truncate(0), writeString(f, strconv.Itoa(os.Getpid())))
			if err != nil {
				return nil, fmt.Errorf("lock of the socket: %w", errors.Join(err, f.Close()))
			}
			return f, nil
		}
		_ = f.Close()
	}
}

func writeString(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// removeStale removes a socket that a daemon has left behind: one that nobody answers.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return &busyError{path: path}
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("%s is in the way: %w", path, err)
}

// permit gives the socket its group and mode.
func permit(c config.Socket) error {
	if c.Group != "" {
		gid, err := groupID(c.Group)
		if err != nil {
			return fmt.Errorf("socket.group: %w", err)
		}
		if err := os.Lchown(c.Path, -1, gid); err != nil {
			return fmt.Errorf("socket.group: %w", err)
		}
	}
	return os.Chmod(c.Path, c.Mode.FileMode)
}

func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
