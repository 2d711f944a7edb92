package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/cmd/internal/cli"
	"github.com/fobd/fobd/daemon/config"
)

// usageError says that the command line itself is wrong.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// Hint says where the right way is written.
func (e *usageError) Hint() string { return "fobd --help tells the flags" }

// flags are the flags of the command line. They win over the file.
type flags struct {
	config, socket, stateDir, trace string
	logLevel, logFormat             string
	user, system, noHID, noDBus     bool
	emulate                         emulateFlag
}

// emulateFlag collects names of emulated keys.
type emulateFlag []string

// anyName stands for a key whose name does not matter.
const anyName = "-"

func (f *emulateFlag) String() string { return strings.Join(*f, ",") }
func (f *emulateFlag) Type() string   { return "name" }

func (f *emulateFlag) Set(name string) error {
	if name == anyName {
		name = ""
	}
	*f = append(*f, name)
	return nil
}

// command returns the command tree.
func command() *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:   "fobd",
		Short: "Share security keys among the programs of this machine",
		Long: `fobd owns the conversation with security keys (FIDO2 and U2F), so that programs don't
have to. It serves them on a Unix socket, queues them fairly, and tells the person
who wants which key for what. fob(1) is its command line.

Run by an ordinary user it serves that user, run by root the whole machine. SIGTERM
and SIGINT stop it: running operations are cancelled on the key first. SIGHUP has it read the
rules again.`,
		Version:       version,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, scope, _, err := f.load(cmd)
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, scope)
		},
	}
	root.SetVersionTemplate("fobd {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })

	p := root.PersistentFlags()
	p.StringVar(&f.config, "config", "", "read the configuration from `file`, not from its usual place")
	p.BoolVar(&f.user, "user", false, "serve one user (default unless root)")
	p.BoolVar(&f.system, "system", false, "serve the machine (default for root)")
	p.StringVar(&f.socket, "socket", "", "listen at `path`")
	p.StringVar(&f.stateDir, "state-dir", "", "keep lasting things in the folder `path`")
	p.Var(&f.emulate, "emulate", "add an emulated key that is touched at once; may be repeated")
	p.Lookup("emulate").NoOptDefVal = anyName
	p.BoolVar(&f.noHID, "no-hid", false, "use no real keys, only emulated ones")
	p.BoolVar(&f.noDBus, "no-dbus", false, "stay away from D-Bus")
	p.StringVar(&f.logLevel, "log-level", "", "log what is at least so important: debug, info, warn or error")
	p.StringVar(&f.logFormat, "log-format", "", "log as text or json")
	p.StringVar(&f.trace, "trace", "", "write everything said to real keys to `file`.1, .2 …, one for each opening, for finding faults")

	root.AddCommand(&cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and exit",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, scope, files, err := f.load(cmd)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if len(files) == 0 {
				_, err = fmt.Fprintf(out, "no file at %s: the defaults hold\n", scope.File())
				return err
			}
			for _, file := range files {
				if _, err := fmt.Fprintf(out, "%s: ok\n", file); err != nil {
					return err
				}
			}
			return nil
		},
	})
	root.AddCommand(cli.ManCommand("fobd", "8"))
	root.AddCommand(lookerCommand())
	return root
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// load reads the configuration and puts the flags on top.
func (f *flags) load(cmd *cobra.Command) (*config.Config, config.Scope, []string, error) {
	if f.user && f.system {
		return nil, "", nil, &usageError{errors.New("--user and --system exclude each other")}
	}
	scope := config.User
	if f.system || !f.user && os.Geteuid() == 0 {
		scope = config.System
	}
	cfg, files, err := config.Load(f.config, scope)
	if err != nil {
		return nil, "", nil, err
	}
	changed := cmd.Flags().Changed
	if changed("socket") {
		cfg.Socket.Path = f.socket
	}
	if changed("state-dir") {
		cfg.StateDir = f.stateDir
	}
	if changed("trace") {
		cfg.Trace = f.trace
	}
	if f.noHID {
		cfg.HID = false
	}
	if f.noDBus {
		cfg.DBus.Value = config.DBusOff
	}
	for _, name := range f.emulate {
		cfg.Emulate = append(cfg.Emulate, config.Emulate{Name: name})
	}
	if changed("log-level") {
		if err := cfg.Log.Level.UnmarshalText([]byte(f.logLevel)); err != nil {
			return nil, "", nil, &usageError{errors.New("--log-level: want debug, info, warn or error, not " + f.logLevel)}
		}
	}
	if changed("log-format") {
		if err := cfg.Log.Format.UnmarshalText([]byte(f.logFormat)); err != nil {
			return nil, "", nil, &usageError{fmt.Errorf("--log-format: %w", err)}
		}
	}
	return cfg, scope, files, cfg.Validate()
}
