// Command fobd is the daemon that owns the conversation with security keys, so that
// programs don't have to. It serves programs on a Unix socket; fob is its command line.
//
// This package only wires: the engine is package daemon, the socket's language
// daemon/httpapi, the file daemon/config.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

// The exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		cancel(fmt.Errorf("received signal %q", <-signals))
		// Whoever asks twice does not want to wait.
		fmt.Fprintf(os.Stderr, "fobd: received signal %q again, ending at once\n", <-signals)
		os.Exit(exitFailed)
	}()

	cmd := command()
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "fobd: %v\n", err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		fmt.Fprintf(os.Stderr, "hint: %s\n", hinted.Hint())
	}
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}
