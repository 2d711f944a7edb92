package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// child is a daemon that this program has started.
type child struct {
	socket string
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan error // gives what Wait said, once
}

// stopTimeout is how long a child may take to end.
const stopTimeout = 5 * time.Second

// startDaemon starts a daemon with one emulated key whose files are all in dir, and
// waits until it is ready.
func startDaemon(ctx context.Context, dir string) (*child, error) {
	program, err := findDaemon()
	if err != nil {
		return nil, err
	}
	socket, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	// The daemon says when it is ready, as to a service manager (sd_notify(3)).
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer notify.Close()

	// A configuration of the machine must not change what is shown.
	config := filepath.Join(dir, "fobd.toml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return nil, err
	}
	c := &child{socket: socket, exited: make(chan error, 1)}
	c.cmd = exec.CommandContext(ctx, program, "--config", config, "--socket", socket,
		"--no-hid", "--no-dbus", "--emulate=demo", "--state-dir", filepath.Join(dir, "state"))
	c.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = stopTimeout
	// Ctrl-C is this program's: it ends the child itself.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	ready := make(chan error, 1)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := notify.Read(b)
			if err != nil || isReady(b[:n]) {
				ready <- err
				return
			}
		}
	}()
	go func() { c.exited <- c.cmd.Wait() }()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case err = <-c.exited:
		c.exited <- err
		return nil, fmt.Errorf("%s ended at once: %w", program, c.said(err))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for %s: %w", program, err), c.stop())
	}
	return c, nil
}

// isReady finds READY=1 among the lines of a notification.
func isReady(message []byte) bool {
	for line := range strings.Lines(string(message)) {
		if strings.TrimSpace(line) == "READY=1" {
			return true
		}
	}
	return false
}

// stop ends the child gracefully and waits for it. A child that ended with an error,
// or has left its socket behind, is an error.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-c.exited:
		if err != nil {
			return fmt.Errorf("fobd: %w", c.said(err))
		}
	case <-time.After(stopTimeout):
		_ = c.cmd.Process.Kill()
		return fmt.Errorf("fobd did not end within %s: %w", stopTimeout, c.said(<-c.exited))
	}
	if _, err := os.Lstat(c.socket); err == nil {
		return errors.New("fobd left its socket behind")
	}
	return nil
}

// said adds the last line of the child's log to err.
func (c *child) said(err error) error {
	lines := strings.Split(strings.TrimSpace(c.log.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	if err == nil {
		return errors.New("no reason was given")
	}
	return err
}

// findDaemon finds fobd: beside this program, else in PATH.
func findDaemon() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "fobd")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath("fobd")
	if err != nil {
		return "", errors.New("fobd is neither beside fob nor in PATH: build it with make build")
	}
	return path, nil
}
