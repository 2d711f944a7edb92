package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// app is one run of the program: where it reads and writes, and the flags that every
// command has.
type app struct {
	in       io.Reader
	out, err io.Writer

	json    bool
	socket  string
	timeout time.Duration
	pinFD   int
	yes     bool // --yes: the daemon's questions need no person

	ran bool // a command was reached: errors are no longer those of usage
}

// grace is how much later than the daemon this program gives up, so that the daemon's
// own account of a time-out arrives.
const grace = 2 * time.Second

// main runs one command line and returns the exit status.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if !a.ran {
		err = &usageError{err: err, command: cmd.CommandPath()}
	}
	return a.fail(err)
}

// root builds the tree of commands, from which usage, completion and man pages come.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fob",
		Short: "Use and look after security keys and tokens for one-time codes through fobd",
		Long: `fob asks the daemon fobd for a touch, a registration or an assertion of a security
key, looks after PINs, credentials, fingerprints and settings, and drives emulated keys.

The answer goes to the standard output; prompts and errors go to the standard error
or the terminal. A PIN is read from the terminal, or from a file descriptor given by
--pin-fd; never from an argument or the environment. Ctrl-C cancels on the key, too.

The socket is that of --socket, else $FOBD_SOCKET, else $XDG_RUNTIME_DIR/fobd/fobd.sock
when it exists, else /run/fobd/fobd.sock.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 denied, 4 no key, 5 cancelled or timed out.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              cobra.NoArgs,
		RunE:              needCommand,
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print the answer as JSON")
	flags.StringVar(&a.socket, "socket", "", "`path` of the daemon's socket")
	flags.DurationVar(&a.timeout, "timeout", 0, "give up after this `duration`, such as 30s (default: the daemon decides)")
	root.AddCommand(
		a.listCommand(), a.infoCommand(), a.touchCommand(), a.winkCommand(),
		a.registerCommand(), a.assertCommand(), a.checkCommand(),
		a.credentialCommand(), a.fingerprintCommand(), a.blobCommand(), a.configCommand(),
		a.pinCommand(), a.resetCommand(), a.leaseCommand(), a.agentCommand(), a.watchCommand(), a.emulateCommand(),
		a.enrollCommand(), a.verifyCommand(), a.statementCommand(), a.userCommand(), a.inventoryCommand(),
		a.codeCommand(), a.accountsCommand(), a.slotCommand(), a.awsCommand(), a.tokenCommand(), a.recoveryCodesCommand(), a.storeCommand(),
		a.policyCommand(), a.grantCommand(), a.auditCommand(),
		a.statusCommand(), a.demoCommand(), a.versionCommand(), a.manCommand(),
	)
	root.InitDefaultCompletionCmd()
	return root
}

// needCommand is run where only a subcommand makes sense.
func needCommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return fmt.Errorf("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// action is what a command does once its arguments and flags are known to be right.
type action func(ctx context.Context, args []string) error

// run makes a cobra function of an action.
func (a *app) run(do action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if a.timeout < 0 {
			return errors.New("--timeout must not be negative")
		}
		a.ran = true
		err := do(cmd.Context(), args)
		if u := (*usageError)(nil); errors.As(err, &u) {
			u.command = cmd.CommandPath()
		}
		return err
	}
}

// usageError says that the command line is wrong.
type usageError struct {
	err     error
	command string // its help explains
}

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// keyFlag gives cmd the flag that names a key.
func (a *app) keyFlag(cmd *cobra.Command, key *string) {
	cmd.Flags().StringVar(key, "key", "", "`id` or serial number of the key, as fob list shows it, or an AAGUID or \"emulated\" for keys of that kind (default: the only one, or the one that is touched)")
	// The only error is that the flag does not exist.
	_ = cmd.RegisterFlagCompletionFunc("key", a.completeKeys)
}

// pinFlag gives cmd the flag for PINs from a file descriptor.
func (a *app) pinFlag(cmd *cobra.Command) {
	a.pinFD = -1
	cmd.Flags().IntVar(&a.pinFD, "pin-fd", -1, "read PINs from this file `descriptor`, a line each, instead of from the terminal")
}

// lastRetryFlag gives cmd the flag that permits to spend the last PIN retry.
func lastRetryFlag(cmd *cobra.Command, allow *bool) {
	cmd.Flags().BoolVar(allow, "allow-last-retry", false, "let a PIN be tried although the key would be blocked if it is wrong")
}

// milliseconds is --timeout as it goes into a request.
func (a *app) milliseconds() uint32 {
	ms := (a.timeout + time.Millisecond - 1) / time.Millisecond
	return uint32(min(int64(ms), math.MaxUint32))
}

// errTimeout is the cause of a context that --timeout has ended.
var errTimeout = &api.Error{Code: api.CodeTimeout, Message: "no answer in time", Hint: "a longer --timeout gives it more"}

// ask runs an operation that never needs a person.
func (a *app) ask(ctx context.Context, op string, request, result any) error {
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.timeout, errTimeout)
		defer cancel()
	}
	c := client.New(a.socket)
	defer c.Close()
	return c.Do(ctx, op, request, result, nil)
}

// do runs an operation and shows its prompts.
func (a *app) do(ctx context.Context, op string, request, result any) error {
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.timeout+grace, errTimeout)
		defer cancel()
	}
	pins, err := a.pins()
	if err != nil {
		return err
	}
	ui := newScreen(a.err, pins)
	ui.yes = a.yes
	defer ui.close()
	c := client.New(a.socket)
	defer c.Close()
	return c.Do(ctx, op, request, result, ui)
}
