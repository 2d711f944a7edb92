package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look after the settings of a key",
		Long: `A key keeps settings of its own (CTAP 2.3, authenticatorConfig). Most can only be made
stricter: a reset, which erases the key, takes them back. Before such a step, fob asks.`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(
		a.configShowCommand(), a.configMinPINCommand(), a.configAlwaysUVCommand(),
		a.configSimpleCommand("enterprise-attestation", api.OpConfigEnterprise, "turn it on",
			"Let a key tell its serial number to the sites of its enterprise"),
		a.configSimpleCommand("long-touch-reset", api.OpConfigLongTouch, "want it",
			"Make a reset of a key need a long touch"),
		a.configVendorCommand(),
	)
	return cmd
}

func (a *app) configShowCommand() *cobra.Command {
	var req api.ConfigIdentifyRequest
	var identify bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the settings of a key",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.ConfigResult
			var err error
			if identify {
				err = a.do(ctx, api.OpConfigIdentify, req, &r)
			} else {
				err = a.do(ctx, api.OpConfigShow, api.ConfigRequest{Key: req.Key, TimeoutMS: req.TimeoutMS}, &r)
			}
			if err != nil {
				return err
			}
			return a.printConfig(r)
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	cmd.Flags().BoolVar(&identify, "identify", false, "also show the identifier that the key tells only to whom it has verified")
	return cmd
}

// printConfig prints the settings of a key, those that it has.
func (a *app) printConfig(r api.ConfigResult) error {
	return a.answer(r, func() error {
		rows := []row{{"key", keyName(r.Key)}}
		flag := func(name string, v *bool) {
			if v != nil {
				rows = append(rows, row{name, yesNo(*v)})
			}
		}
		flag("always verify the person", r.AlwaysUV)
		flag("enterprise attestation", r.EnterpriseAttestation)
		if r.MinPINLength > 0 {
			rows = append(rows, row{"shortest PIN", fmt.Sprintf("%d characters", r.MinPINLength)})
		}
		if r.MaxPINLength > 0 {
			rows = append(rows, row{"longest PIN", fmt.Sprintf("%d characters", r.MaxPINLength)})
		}
		flag("PIN must be changed", r.ForcePINChange)
		flag("PIN must not be simple", r.PINComplexityPolicy)
		if r.PINComplexityURL != "" {
			rows = append(rows, row{"rules for PINs", r.PINComplexityURL})
		}
		flag("long touch for a reset", r.LongTouchForReset)
		can := "nothing"
		if len(r.Commands) > 0 {
			can = strings.Join(r.Commands, ", ")
		}
		rows = append(rows, row{"can be set", can})
		if len(r.Identifier) > 0 {
			rows = append(rows, row{"identifier", r.Identifier.String()})
		}
		if len(r.CredentialStore) > 0 {
			rows = append(rows, row{"state of the credentials", r.CredentialStore.String()})
		}
		return table(a.out, rows...)
	})
}

// configSimpleCommand is a setting that can only be turned on.
func (a *app) configSimpleCommand(name, op, what, short string) *cobra.Command {
	var req api.ConfigEnterpriseRequest
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Long:  short + ". fob asks first: only a reset, which erases the key, takes it back.",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.ConfigResult
			if err := a.do(ctx, op, req, &r); err != nil {
				return err
			}
			return a.printConfig(r)
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	a.yesFlag(cmd, what)
	return cmd
}

func (a *app) configAlwaysUVCommand() *cobra.Command {
	var req api.ConfigAlwaysUVRequest
	cmd := &cobra.Command{
		Use:   "always-uv on|off",
		Short: "Make a key verify the person for everything, or stop that",
		Long: `With always-uv on, a key wants the PIN or a finger for every registration and assertion, even
when the site does not ask for it, and does not speak U2F any more.`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"on", "off"},
		RunE: a.run(func(ctx context.Context, args []string) error {
			switch args[0] {
			case "on":
				req.On = true
			case "off":
			default:
				return usagef("always-uv is on or off, not %q", args[0])
			}
			req.TimeoutMS = a.milliseconds()
			var r api.ConfigResult
			if err := a.do(ctx, api.OpConfigAlwaysUV, req, &r); err != nil {
				return err
			}
			return a.printConfig(r)
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	return cmd
}

func (a *app) configMinPINCommand() *cobra.Command {
	var req api.ConfigMinPINRequest
	var length uint
	cmd := &cobra.Command{
		Use:   "min-pin",
		Short: "Set the rules for the PIN of a key",
		Long: `min-pin makes the shortest PIN longer, says which sites may ask for that length, and can make
the person change the PIN. fob asks first: only a reset, which erases the key, allows shorter PINs again.`,
		Example: "  fob config min-pin --length 6 --site example.org",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = a.run(func(ctx context.Context, _ []string) error {
		if cmd.Flags().Changed("length") {
			req.MinLength = &length
		}
		if req.MinLength == nil && len(req.RPIDs) == 0 && !req.ForceChange && !req.Complexity {
			return usagef("nothing to set: give --length, --site, --force-change or --complexity")
		}
		req.TimeoutMS = a.milliseconds()
		var r api.ConfigResult
		if err := a.do(ctx, api.OpConfigMinPIN, req, &r); err != nil {
			return err
		}
		return a.printConfig(r)
	})
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	f := cmd.Flags()
	f.UintVar(&length, "length", 0, "`number` of characters that a PIN needs at least")
	f.StringSliceVar(&req.RPIDs, "site", nil, "`RP ID` of a site that may ask for the length; more than once for more")
	f.BoolVar(&req.ForceChange, "force-change", false, "the PIN must be changed before the key is used again")
	f.BoolVar(&req.Complexity, "complexity", false, "simple PINs are refused from now on")
	a.yesFlag(cmd, "set it")
	return cmd
}

func (a *app) configVendorCommand() *cobra.Command {
	var req api.ConfigVendorRequest
	var file string
	cmd := &cobra.Command{
		Use:   "vendor NUMBER",
		Short: "Send a vendor's own setting to a key",
		Long: `vendor sends a prototype command of the key's vendor (CTAP 2.3, vendorPrototype). What it does
is in the vendor's documents only; fob asks first.`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if req.Command, err = strconv.ParseUint(args[0], 0, 64); err != nil {
				return usagef("the number of a vendor's command is like 0x6377, not %q", args[0])
			}
			if file != "" {
				if req.Data, err = a.readFile(file, maxBlob); err != nil {
					return err
				}
			}
			req.TimeoutMS = a.milliseconds()
			var r api.ConfigResult
			if err := a.do(ctx, api.OpConfigVendor, req, &r); err != nil {
				return err
			}
			return a.printConfig(r)
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	cmd.Flags().StringVar(&file, "data", "", "`file` with CBOR that goes with the command, or - for the standard input")
	a.yesFlag(cmd, "send it")
	return cmd
}
