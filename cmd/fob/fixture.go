package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

// profiles are the kinds of emulated keys, for the shell.
var profiles = []string{"u2f", "minimal", "fido2.0", "fido2.1", "fido2.3", "fido2.3-bio"}

// sampleWords are what a sensor can say of a sample (CTAP 2.3, section 6.7.4), for the shell.
var sampleWords = []string{
	"good", "too-high", "too-low", "too-left", "too-right", "too-fast", "too-slow", "poor-quality", "too-skewed",
	"too-short", "merge-failure", "exists", "no-user-activity", "no-user-presence-transition",
}

// maxFixture bounds a file with a snapshot or with credentials, in bytes.
const maxFixture = 8 << 20

// nameFlag gives cmd the flag that names an emulated key, where its arguments are something else.
func (a *app) nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "", "`name` of the emulated key (default: the only one)")
	a.completeName(cmd, "name")
}

// completeName offers the names of the emulated keys to the shell, for a flag.
func (a *app) completeName(cmd *cobra.Command, flag string) {
	// The only error is that the flag does not exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return a.completeEmulated(cmd, nil, word)
	})
}

func (a *app) emulateFaultCommand() *cobra.Command {
	var req api.EmulateFaultRequest
	cmd := &cobra.Command{
		Use:   "fault on FAULT...|off NAME...|clear",
		Short: "Switch faults of an emulated key on or off",
		Long: `fault makes an emulated key do what keys should not, to see what a program makes of it. A FAULT is
a name, or name=value; the list is in docs/emulated-key.md.`,
		Example: `  fob emulate fault on status=getAssertion:PIN_AUTH_INVALID:once wrong-signature
  fob emulate fault clear`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"on", "off", "clear"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: a.run(func(ctx context.Context, args []string) error {
			switch words := args[1:]; {
			case args[0] == "clear" && len(words) == 0:
				req.Clear = true
			case args[0] == "on" && len(words) > 0:
				req.On = words
			case args[0] == "off" && len(words) > 0:
				req.Off = words
			default:
				return usagef("want on FAULT..., off NAME... or clear")
			}
			var result api.EmulateResult
			if err := a.ask(ctx, api.OpEmulateFault, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Key.Faults) == 0 {
					return a.say("%s has no faults", result.Key.Name)
				}
				return a.say("%s has the faults %s", result.Key.Name, strings.Join(result.Key.Faults, " "))
			})
		}),
	}
	a.nameFlag(cmd, &req.Name)
	return cmd
}

func (a *app) emulateClockCommand() *cobra.Command {
	var req api.EmulateClockRequest
	cmd := &cobra.Command{
		Use:   "clock DURATION",
		Short: "Move the clock of an emulated key forwards",
		Long: `clock takes an emulated key off the wall clock, and moves its time: the reset window, the lives
of tokens, and how long it blinks all follow. From then on its time passes by this command only.`,
		Example: "  fob emulate clock 10s",
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			d, err := time.ParseDuration(args[0])
			if err != nil || d < 0 {
				return usagef("want a time such as 10s, not %q", args[0])
			}
			req.AdvanceMS = uint64(d.Milliseconds())
			return a.emulated(ctx, api.OpEmulateClock, req, "moved the clock of")
		}),
	}
	a.nameFlag(cmd, &req.Name)
	return cmd
}

func (a *app) emulateFingerCommand() *cobra.Command {
	var req api.EmulateFingerRequest
	cmd := &cobra.Command{
		Use:   "finger SAMPLE...",
		Short: "Say what an emulated sensor makes of the next samples",
		Long: `finger scripts the fingerprint sensor of an emulated key: each SAMPLE is what it says of one touch. After
them all are good. SAMPLE is one of ` + strings.Join(sampleWords, ", ") + ".",
		Example:   "  fob emulate finger too-fast poor-quality",
		Args:      cobra.MinimumNArgs(1),
		ValidArgs: sampleWords,
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Samples = args
			return a.emulated(ctx, api.OpEmulateFinger, req, "scripted the sensor of")
		}),
	}
	a.nameFlag(cmd, &req.Name)
	return cmd
}

// written says with --json what went into a file: the secrets themselves stay out of logs.
type written struct {
	Name        string `json:"name"` // of the emulated key
	File        string `json:"file"`
	Credentials *int   `json:"credentials,omitempty"` // how many
}

func (a *app) emulateSnapshotCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Save the whole state of an emulated key",
		Long: `snapshot writes the state of an emulated key, private keys and PIN hash included, to a file that you
alone can read. fob emulate restore brings it back.`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var result api.EmulateSnapshotResult
			if err := a.ask(ctx, api.OpEmulateSnapshot, api.EmulateNameRequest{Name: name}, &result); err != nil {
				return err
			}
			if err := writeSecretFile(args[0], result.Snapshot); err != nil {
				return err
			}
			return a.answer(written{result.Name, args[0], nil}, func() error { return a.say("saved %s in %s", result.Name, args[0]) })
		}),
	}
	a.nameFlag(cmd, &name)
	return cmd
}

func (a *app) emulateRestoreCommand() *cobra.Command {
	var req api.EmulateRestoreRequest
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put an emulated key back to a saved state",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if req.Snapshot, err = a.readFile(args[0], maxFixture); err != nil {
				return err
			}
			return a.emulated(ctx, api.OpEmulateRestore, req, "restored")
		}),
	}
	a.nameFlag(cmd, &req.Name)
	return cmd
}

func (a *app) emulateCloneCommand() *cobra.Command {
	var req api.EmulateCloneRequest
	cmd := &cobra.Command{
		Use:   "clone [NAME]",
		Short: "Add an emulated key that is a copy of another one",
		Long: `clone adds an emulated key called NAME with the secrets and counters that another one has now, as a key
that somebody copied would have.`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Clone = nameRequest(args).Name
			return a.emulated(ctx, api.OpEmulateClone, req, "added")
		}),
	}
	cmd.Flags().StringVar(&req.Name, "from", "", "`name` of the emulated key to copy (default: the only one)")
	a.completeName(cmd, "from")
	return cmd
}

// fixtures is a file of credentials.
type fixtures struct {
	Credentials []api.EmulatedCredential `json:"credentials"`
}

func (a *app) emulateImportCommand() *cobra.Command {
	var req api.EmulateImportRequest
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Put credentials into an emulated key",
		Long: `import reads JSON of the form that fob emulate export writes: {"credentials":[{"rpId":…,
"privateKey":…}]}, with binary values in base64url and keys in PKCS #8. All go in, or none.`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			data, err := a.readFile(args[0], maxFixture)
			if err != nil {
				return err
			}
			var f fixtures
			if err := json.Unmarshal(data, &f); err != nil {
				return usagef("%s: %w", args[0], err)
			}
			if len(f.Credentials) == 0 {
				return usagef("%s: no credentials in it", args[0])
			}
			req.Credentials = f.Credentials
			return a.emulated(ctx, api.OpEmulateImport, req, "imported "+counted(len(f.Credentials), "credential", "credentials")+" into")
		}),
	}
	a.nameFlag(cmd, &req.Name)
	return cmd
}

func (a *app) emulateExportCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Write the credentials of an emulated key, with their private keys",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var result api.EmulateExportResult
			if err := a.ask(ctx, api.OpEmulateExport, api.EmulateNameRequest{Name: name}, &result); err != nil {
				return err
			}
			if result.Credentials == nil {
				result.Credentials = []api.EmulatedCredential{}
			}
			data, err := jsonLine(fixtures{result.Credentials}, "  ")
			if err != nil {
				return err
			}
			if err := writeSecretFile(args[0], data); err != nil {
				return err
			}
			n := len(result.Credentials)
			return a.answer(written{result.Name, args[0], &n}, func() error {
				return a.say("wrote %s of %s to %s", counted(n, "credential", "credentials"), result.Name, args[0])
			})
		}),
	}
	a.nameFlag(cmd, &name)
	return cmd
}

func (a *app) emulateObserveCommand() *cobra.Command {
	var req api.EmulateObserveRequest
	var follow bool
	cmd := &cobra.Command{
		Use:   "observe [NAME]",
		Short: "Show what an emulated key was asked, and what became of it",
		Long: `observe prints a line for each command that reached the key and for each credential that was created,
changed, deleted or used. The key remembers the last 1024.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeEmulated,
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Name = nameRequest(args).Name
			if a.timeout > 0 { // of all requests together
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, a.timeout, errTimeout)
				defer cancel()
			}
			for {
				var r api.EmulateObserveResult
				err := a.ask(ctx, api.OpEmulateObserve, req, &r)
				if quiet(err) && req.Wait && ctx.Err() == nil {
					continue // the daemon does not wait for ever
				}
				if err == nil {
					err = a.observed(r.Observations)
				}
				if err != nil || !follow {
					return err
				}
				req.Since, req.Wait = r.Next, true
			}
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes, until Ctrl-C or --timeout")
	return cmd
}

// quiet tells whether err says that nothing happened in time.
func quiet(err error) bool {
	var answer *api.Error
	return errors.As(err, &answer) && answer.Code == api.CodeTimeout
}

// observed prints observations, a line each.
func (a *app) observed(list []api.Observation) error {
	for _, o := range list {
		if a.json {
			if err := a.printJSON(o, ""); err != nil {
				return err
			}
			continue
		}
		words := []string{o.Time, o.Command}
		if o.Kind == "credential" {
			words = append(words, o.Event, shortID(o.Credential))
		} else {
			words = append(words, o.Status)
		}
		if o.RPID != "" {
			words = append(words, "for "+o.RPID)
		}
		if len(o.List) > 0 {
			words = append(words, fmt.Sprintf("with a list of %d", len(o.List)))
		}
		if err := a.say("%s", strings.Join(words, " ")); err != nil {
			return err
		}
	}
	return nil
}
