// Command fob is the command line of fobd: it lists keys, asks for a touch, a
// registration or an assertion, looks after PINs, and drives emulated keys.
//
// It is a pure client of the daemon's socket: whatever it can do, any program that
// speaks HTTP and JSON over a Unix socket can do as well. The answer of a command goes
// to the standard output, everything for people to the standard error or the terminal.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal cancels on the key; a second one ends the program at once.
	context.AfterFunc(ctx, stop)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	status := a.main(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}
