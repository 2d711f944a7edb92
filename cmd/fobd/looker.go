package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/fobd/fobd/cmd/internal/sandbox"
	"github.com/fobd/fobd/daemon/process"
)

// lookerFD is the connection in the helper: the first one that os/exec hands over.
const lookerFD = 3

// lookerName is the command by which fobd starts itself as the helper.
const lookerName = "look-at-processes"

// startLooker starts the helper that looks at processes for a daemon that has locked itself in, and
// has it look from now on. end ends it.
func startLooker() (h *looker, end func(), err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("helper: %w", err)
	}
	ours, its := os.NewFile(uintptr(fds[0]), "helper"), os.NewFile(uintptr(fds[1]), "helper")
	defer func() { _ = errors.Join(ours.Close(), its.Close()) }()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, fmt.Errorf("helper: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", lookerName)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{its}
	cmd.Stderr = os.Stderr
	for _, v := range os.Environ() {
		// What the service manager says is for the daemon.
		if name, _, _ := strings.Cut(v, "="); name != "NOTIFY_SOCKET" && !strings.HasPrefix(name, "LISTEN_") && !strings.HasPrefix(name, "WATCHDOG_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("helper: %w", err), conn.Close())
	}
	h = &looker{process.NewHelper(conn), make(chan error, 1)}
	go func() { h.ended <- h.Run() }()
	end = func() {
		process.Use(nil)
		_ = h.Close()
		_ = cmd.Wait()
	}
	// Its first answer says that it has locked itself in. Each question waits a second; a machine that has
	// just begun can need more.
	for try := 0; !h.Look(os.Getpid()).Known; try++ {
		if len(h.ended) > 0 || try == 20 {
			end()
			return nil, nil, errors.New("helper: it does not answer; it needs /proc, and fobd's own file where it was started from")
		}
	}
	process.Use(h.Helper)
	return h, end, nil
}

// looker is the helper with what it ends with.
type looker struct {
	*process.Helper
	ended chan error
}

// wait waits for the end of the helper, or of ctx.
func (l *looker) wait(ctx context.Context) error {
	select {
	case err := <-l.ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// lookerCommand is the helper. It is not for people.
func lookerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    lookerName,
		Short:  "Tell the daemon about the programs that ask it; started by fobd itself",
		Hidden: true,
		Args:   noArguments,
		RunE:   func(*cobra.Command, []string) error { return look() },
	}
}

func look() error {
	// It ends with the daemon, when the connection does.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	unix.CloseOnExec(lookerFD)
	f := os.NewFile(lookerFD, "daemon")
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		return &usageError{errors.New(lookerName + " is started by fobd itself")}
	}
	if err := harden(); err != nil {
		return err
	}
	if err := keepOnly(cap.SYS_PTRACE); err != nil {
		return err
	}
	if _, err := sandbox.EnterReader(); err != nil {
		return err
	}
	return process.Serve(conn)
}

// keepOnly gives up all capabilities but those (capabilities(7)), for ever.
func keepOnly(values ...cap.Value) error {
	have := cap.GetProc()
	if none, err := have.Cf(cap.NewSet()); err == nil && none == 0 {
		return nil // and a service manager may forbid to ask
	}
	keep := cap.NewSet()
	for _, v := range values {
		if ok, err := have.GetFlag(cap.Permitted, v); err == nil && ok {
			if err := errors.Join(keep.SetFlag(cap.Permitted, true, v), keep.SetFlag(cap.Effective, true, v)); err != nil {
				return fmt.Errorf("capabilities: %w", err)
			}
		}
	}
	if err := keep.SetProc(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}
