package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) pinCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Look after the PIN of a key",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(a.pinStatusCommand(), a.pinSetCommand(), a.pinChangeCommand())
	return cmd
}

func (a *app) pinStatusCommand() *cobra.Command {
	var req api.KeyRequest
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether a PIN is set and how many tries are left",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.PINStatusResult
			if err := a.do(ctx, api.OpPINStatus, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				rows := []row{{"key", keyName(r.Key)}, {"pin", pinWords(r)}}
				if r.Retries != nil {
					rows = append(rows, row{"tries left", fmt.Sprint(*r.Retries)})
				}
				if r.UVRetries != nil {
					rows = append(rows, row{"sensor tries left", fmt.Sprint(*r.UVRetries)})
				}
				if r.Supported {
					rows = append(rows, row{"length", fmt.Sprintf("%d to %d characters", r.MinLength, r.MaxLength)})
				}
				if r.Complexity != nil && *r.Complexity {
					rows = append(rows, row{"simple PINs", "refused"})
				}
				if r.ComplexityURL != "" {
					rows = append(rows, row{"rules", r.ComplexityURL})
				}
				if r.NeedsReplug {
					rows = append(rows, row{"blocked", "until it is pulled out and put in again"})
				}
				if r.ForceChange {
					rows = append(rows, row{"change", "needed before the key can be used"})
				}
				return table(a.out, rows...)
			})
		}),
	}
	a.keyFlag(cmd, &req.Key)
	return cmd
}

func pinWords(r api.PINStatusResult) string {
	switch {
	case !r.Supported:
		return "not supported"
	case r.Set:
		return "set"
	}
	return "not set"
}

func (a *app) pinSetCommand() *cobra.Command {
	var req api.PINSetRequest
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Set the first PIN of a key",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var result api.KeyResult
			if err := a.do(ctx, api.OpPINSet, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("%s has a PIN now", keyName(result.Key)) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	a.pinFlag(cmd)
	return cmd
}

func (a *app) pinChangeCommand() *cobra.Command {
	var req api.PINChangeRequest
	cmd := &cobra.Command{
		Use:   "change",
		Short: "Change the PIN of a key",
		Long: `change asks for the PIN and for the new one. With --pin-fd the first line is the PIN,
the second the new one.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var result api.KeyResult
			if err := a.do(ctx, api.OpPINChange, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("%s has a new PIN", keyName(result.Key)) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	lastRetryFlag(cmd, &req.AllowLastRetry)
	a.pinFlag(cmd)
	return cmd
}
