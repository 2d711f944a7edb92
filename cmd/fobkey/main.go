// Command fobkey is one emulated security key in the foreground, without a daemon: a
// device of the kernel (--uhid, --usbip), a host's USB device over USB/IP (--usbip-listen),
// sockets of raw HID reports (--listen), or several of them.
//
// It is for tests of programs that talk to security keys. A control socket (--control)
// lets a script touch the key, pull it out and put it in again, and do to it what tests
// need: lines such as "touch once" or "power off", each answered by "ok" or "error: ...".
// docs/emulated-key.md has them all.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Sockets and the state belong to this user alone.
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := command(os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "fobkey: %v\n", err)
	var wrong *runError
	if !errors.As(err, &wrong) {
		fmt.Fprintln(os.Stderr, "hint: see fobkey --help")
		os.Exit(2)
	}
	os.Exit(1)
}
