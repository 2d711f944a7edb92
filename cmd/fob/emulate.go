package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/cmd/internal/cli"
	"github.com/fobd/fobd/daemon/api"
)

func (a *app) emulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emulate",
		Short: "Add and drive emulated keys of the daemon",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(
		a.emulateAddCommand(), a.emulateListCommand(), a.emulateRemoveCommand(),
		a.emulateTouchCommand(), a.emulatePowerCommand(), a.emulateSetCommand(),
		a.emulateFaultCommand(), a.emulateClockCommand(), a.emulateFingerCommand(), a.emulateObserveCommand(),
		a.emulateSnapshotCommand(), a.emulateRestoreCommand(), a.emulateCloneCommand(),
		a.emulateImportCommand(), a.emulateExportCommand(),
	)
	return cmd
}

// person holds the flags that say what the emulated person does.
type person struct {
	presence, uv string
	delay        time.Duration
}

func (p *person) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.presence, "presence", "", "what the emulated person `does` when the key blinks: grant, deny, manual (waits for fob emulate touch) or delay")
	f.DurationVar(&p.delay, "delay", 0, "`time` until the touch, with --presence delay")
	f.StringVar(&p.uv, "uv", "", "what the key's own user verification `does`: none, grant or deny")
}

func (p *person) delayMS() (uint32, error) {
	if p.delay < 0 || p.delay.Milliseconds() > math.MaxUint32 {
		return 0, usagef("--delay %s is out of range", p.delay)
	}
	return uint32(p.delay.Milliseconds()), nil
}

func (a *app) emulateAddCommand() *cobra.Command {
	var p person
	var seed string
	var req api.EmulateAddRequest
	cmd := &cobra.Command{
		Use:     "add [NAME]",
		Short:   "Add an emulated key",
		Example: "  fob emulate add test --presence delay --delay 300ms --uv grant",
		Args:    cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if len(args) > 0 {
				req.Name = args[0]
			}
			req.Presence, req.UV = p.presence, p.uv
			if req.DelayMS, err = p.delayMS(); err != nil {
				return err
			}
			if seed != "" {
				if req.Seed, err = cli.ReadSeed(seed); err != nil {
					return usagef("%w", err)
				}
			}
			return a.emulated(ctx, api.OpEmulateAdd, req, "added")
		}),
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&req.State, "state", "", "`name` of the file in the daemon's state directory that keeps the credentials (default: in memory)")
	f.StringVar(&req.Profile, "profile", "", "`kind` of key: u2f, minimal, fido2.0, fido2.1, fido2.3 (default) or fido2.3-bio")
	f.StringArrayVar(&req.Faults, "fault", nil, "`fault` that the key has from the beginning, as fob emulate fault takes it; more than once for more")
	f.StringVar(&req.Attestation, "attestation", "", "attestation `form`: packed, self, none or fido-u2f")
	f.StringSliceVar(&req.Algorithms, "algorithms", nil, "COSE algorithm `names` in order of preference, such as ES256,EdDSA (default: all)")
	f.BoolVar(&req.CTAP1Only, "ctap1-only", false, "make a U2F key")
	f.StringVar(&seed, "seed", "", "`file` with hexadecimal bytes that make the key repeat itself; for tests only")
	f.BoolVar(&req.UHID, "uhid", false, "also show the key to the kernel, through /dev/uhid")
	f.StringVar(&req.OATH, "oath", "", "`kind` of application for one-time codes: yubikey (default), neo, canokey, nitrokey or none")
	f.BoolVar(&req.NoResetWindow, "no-reset-window", false, "let reset work at any time, not only 10 seconds after power-up")
	// The only error is that the flag does not exist.
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(profiles, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// emulated runs an operation on one emulated key and says what became of the key.
func (a *app) emulated(ctx context.Context, op string, req any, done string) error {
	var result api.EmulateResult
	if err := a.ask(ctx, op, req, &result); err != nil {
		return err
	}
	return a.answer(result, func() error {
		if id := result.Key.Key; id != "" {
			return a.say("%s %s (%s)", done, result.Key.Name, id)
		}
		return a.say("%s %s", done, result.Key.Name)
	})
}

func (a *app) emulateListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the emulated keys",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.EmulateListResult
			if err := a.ask(ctx, api.OpEmulateList, struct{}{}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Keys) == 0 {
					a.note("fob: no key is emulated")
					return nil
				}
				rows := []row{{"NAME", "KEY", "PROFILE", "POWER", "PRESENCE", "UV", "CREDENTIALS", "BLINKS", "STATE", "FAULTS"}}
				for _, k := range result.Keys {
					power := "off"
					if k.Power {
						power = "on"
					}
					rows = append(rows, row{
						k.Name, orDash(k.Key), k.Profile, power, k.Presence, k.UV,
						fmt.Sprint(k.Credentials), yesNo(k.Waiting), orDash(k.State), orDash(strings.Join(k.Faults, " ")),
					})
				}
				return table(a.out, rows...)
			})
		}),
	}
}

func (a *app) emulateRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "remove [NAME]",
		Short:             "Remove an emulated key",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeEmulated,
		RunE: a.run(func(ctx context.Context, args []string) error {
			return a.emulated(ctx, api.OpEmulateRemove, nameRequest(args), "removed")
		}),
	}
}

func (a *app) emulateTouchCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "touch [NAME]",
		Short:             "Touch an emulated key once",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeEmulated,
		RunE: a.run(func(ctx context.Context, args []string) error {
			return a.emulated(ctx, api.OpEmulateTouch, nameRequest(args), "touched")
		}),
	}
}

func nameRequest(args []string) api.EmulateNameRequest {
	if len(args) == 0 {
		return api.EmulateNameRequest{}
	}
	return api.EmulateNameRequest{Name: args[0]}
}

func (a *app) emulatePowerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "power on|off [NAME]",
		Short: "Plug an emulated key in or pull it out",
		Args:  cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeEmulated(cmd, args[1:], word)
		},
		RunE: a.run(func(ctx context.Context, args []string) error {
			req := api.EmulatePowerRequest{Name: nameRequest(args[1:]).Name}
			switch args[0] {
			case "on":
				req.On = true
			case "off":
			default:
				return usagef("power is on or off, not %q", args[0])
			}
			return a.emulated(ctx, api.OpEmulatePower, req, "power "+args[0]+":")
		}),
	}
}

func (a *app) emulateSetCommand() *cobra.Command {
	var p person
	cmd := &cobra.Command{
		Use:               "set [NAME]",
		Short:             "Change what the emulated person does",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeEmulated,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if p == (person{}) {
				return usagef("nothing to set: give --presence, --delay or --uv")
			}
			delay, err := p.delayMS()
			if err != nil {
				return err
			}
			req := api.EmulateSetRequest{Name: nameRequest(args).Name, Presence: p.presence, DelayMS: delay, UV: p.uv}
			return a.emulated(ctx, api.OpEmulateSet, req, "set")
		}),
	}
	p.flags(cmd)
	return cmd
}

// completeEmulated offers the names of the emulated keys to the shell.
func (a *app) completeEmulated(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	var result api.EmulateListResult
	if err := a.ask(ctx, api.OpEmulateList, struct{}{}, &result); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, k := range result.Keys {
		words = append(words, clean(k.Name))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
