package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// envLeaseFD names the environment variable that tells a program which of its file descriptors
// the lease is.
const envLeaseFD = "FOB_LEASE_FD"

// leaseFD is that file descriptor, the first after the standard ones.
const leaseFD = 3

func (a *app) leaseCommand() *cobra.Command {
	var req api.LeaseRequest
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "lease [-- COMMAND [ARG]...]",
		Short: "Have a key alone for a while, and send it messages of CTAP",
		Long: `lease takes a key that nobody else can use meanwhile. The lease ends when COMMAND or the input
does, when its time is over, or when an administrator ends it (fob lease end).

COMMAND finds the key as file descriptor 3, which $FOB_LEASE_FD says, too: a socket of type
SEQPACKET whose packets are the reports of CTAPHID, 64 bytes each. Its exit status is that of fob.

Without COMMAND each line of the standard input is a message: "cbor" and a CTAP2 request, or "msg" and an
APDU of U2F, in hexadecimal. For each there is a line with the answer; one that the daemon does
not pass on is answered by "error" and a code.

The daemon asks its policy about every message. PIN tokens are good within the lease only, and
hmac-secret cannot be used there: fob assert has it.`,
		Example: "  echo 'cbor 04' | fob lease --purpose 'look at it'\n  fob lease --for 2m -- my-provisioning-tool",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.RunE = a.run(func(ctx context.Context, args []string) error {
		if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
			return usagef("%q is no command of fob lease; a program of yours goes behind --", args[0])
		}
		if duration < 0 || duration.Milliseconds() > math.MaxUint32 {
			return usagef("--for %s is out of range", duration)
		}
		req.DurationMS, req.TimeoutMS = uint32(duration.Milliseconds()), a.milliseconds()
		if len(args) == 0 {
			return a.lease(ctx, req, a.sendLines)
		}
		return a.lease(ctx, req, func(ctx context.Context, l *lease) error { return a.runWith(ctx, l, args) })
	})
	a.keyFlag(cmd, &req.Key)
	purposeFlag(cmd, &req.Purpose)
	lastRetryFlag(cmd, &req.AllowLastRetry)
	cmd.Flags().DurationVar(&duration, "for", 0, "the lease's `duration`, at most 5m (default 30s)")
	cmd.AddCommand(a.leaseListCommand(), a.leaseEndCommand())
	return cmd
}

// lease is one that this program has.
type lease struct {
	client *client.Client
	id     string
	// over is closed when the lease is; err and result say how it ended.
	over   chan struct{}
	result api.LeaseResult
	err    error
}

// leaseScreen is a screen that takes the name of the lease for itself.
type leaseScreen struct {
	*screen
	held chan<- string
}

// Show implements client.Prompter.
func (s *leaseScreen) Show(p api.Prompt) {
	if p.Kind == api.PromptLease {
		s.held <- p.Lease
		p.Lease = ""
	}
	s.screen.Show(p)
}

// lease has a key while use runs.
func (a *app) lease(ctx context.Context, req api.LeaseRequest, use func(context.Context, *lease) error) error {
	ui := newScreen(a.err, nil)
	defer ui.close()
	l := &lease{client: client.New(a.socket), over: make(chan struct{})}
	defer l.client.Close()
	held := make(chan string, 1)
	holding, hangUp := context.WithCancel(ctx)
	defer func() {
		hangUp()
		<-l.over
	}()
	go func() {
		defer close(l.over)
		l.err = l.client.Do(holding, api.OpLease, req, &l.result, &leaseScreen{ui, held})
	}()
	select {
	case l.id = <-held:
	case <-l.over:
		return l.err
	}
	err := use(ctx, l)
	end := l.client.Do(ctx, api.OpLeaseEnd, api.LeaseEndRequest{Lease: l.id}, nil, nil)
	switch {
	case err != nil:
		return err
	case errors.Is(end, &api.Error{Code: api.CodeNotFound}):
		// It has ended by itself, and is about to say why.
		<-l.over
		return l.ended()
	}
	return end
}

// ended says why a lease that is over ended; nil when the program gave it back.
func (l *lease) ended() error {
	name := clean(keyName(l.result.Key))
	switch {
	case l.err != nil:
		return l.err
	case l.result.Ended == api.LeaseExpired:
		return &api.Error{Code: api.CodeTimeout, Message: "the lease on " + name + " has expired", Hint: "a longer --for gives it more time"}
	case l.result.Ended == api.LeaseRevoked:
		return &api.Error{Code: api.CodeCancelled, Message: "the lease on " + name + " was taken away"}
	}
	return nil
}

// runWith runs a program that has the lease as a file descriptor.
func (a *app) runWith(ctx context.Context, l *lease, command []string) error {
	file, err := l.client.LeaseReports(ctx, l.id)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", envLeaseFD, leaseFD))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", command[0], err)
	}
	return nil
}

// maxMessage bounds a line of the input: a message of CTAPHID has at most 7609 bytes (CTAP 2.2, section
// 11.2.4).
const maxMessage = 2*7609 + 16

// sendLines sends what the lines of the input say.
func (a *app) sendLines(ctx context.Context, l *lease) error {
	lines, failed := make(chan string), make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		s := bufio.NewScanner(a.in)
		s.Buffer(make([]byte, 0, 4096), maxMessage)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-done:
				return
			}
		}
		failed <- s.Err()
	}()
	for {
		select {
		case line := <-lines:
			if err := a.sendLine(ctx, l, line); err != nil {
				return err
			}
		case err := <-failed:
			if err != nil {
				return fmt.Errorf("standard input: %w", err)
			}
			return nil
		case <-l.over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sendLine sends one line and prints the answer. Only what ends the lease is an error.
func (a *app) sendLine(ctx context.Context, l *lease, line string) error {
	kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	if kind == "" || strings.HasPrefix(kind, "#") {
		return nil
	}
	message, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil || len(message) == 0 {
		return usagef("the input has %q, want cbor or msg and hexadecimal digits", clean(line))
	}
	r := api.LeaseSendRequest{Lease: l.id}
	switch kind {
	case "cbor":
		r.CBOR = message
	case "msg":
		r.MSG = message
	default:
		return usagef("the input has %q, want cbor or msg and hexadecimal digits", clean(line))
	}
	var result api.LeaseSendResult
	err = l.client.Do(ctx, api.OpLeaseSend, r, &result, nil)
	var refused *api.Error
	switch {
	case err == nil:
		return a.answer(result, func() error {
			_, err := fmt.Fprintln(a.out, hex.EncodeToString(result.Response))
			return err
		})
	case errors.As(err, &refused) && refused.Code != api.CodeNotFound:
		message, hint := explain(err)
		a.note("fob: %s", message)
		if hint != "" {
			a.note("hint: %s", hint)
		}
		_, err = io.WriteString(a.out, "error "+string(refused.Code)+"\n")
	case errors.As(err, &refused):
		// The lease is over, and says itself why.
		<-l.over
		return l.ended()
	}
	return err
}
