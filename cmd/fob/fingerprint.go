package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) fingerprintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fingerprint",
		Short: "Look after the fingerprints that a key knows",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(a.fingerprintAddCommand(), a.fingerprintListCommand(), a.fingerprintRenameCommand(), a.fingerprintDeleteCommand())
	return cmd
}

func (a *app) fingerprintAddCommand() *cobra.Command {
	var req api.FingerprintAddRequest
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Teach a key a finger",
		Long: `add asks for the PIN and then for touches of the sensor until the key knows the finger. Each
touch gives a line that says how it was and how many good ones are still wanted. Ctrl-C gives up;
the key then forgets the samples.`,
		Example: "  fob fingerprint add --name 'left thumb'",
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.FingerprintResult
			if err := a.do(ctx, api.OpFingerprintAdd, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%s knows %s now", keyName(r.Key), fingerName(r.Fingerprint)) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	cmd.Flags().StringVar(&req.Name, "name", "", "what the finger is `called`")
	return cmd
}

// fingerName is how a person knows a fingerprint.
func fingerName(f api.Fingerprint) string {
	if f.Name != "" {
		return fmt.Sprintf("%s (%s)", f.Name, f.ID)
	}
	return "the finger " + f.ID.String()
}

func (a *app) fingerprintListCommand() *cobra.Command {
	var req api.FingerprintListRequest
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the fingerprints that a key knows",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.FingerprintListResult
			if err := a.do(ctx, api.OpFingerprintList, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				if len(r.Fingerprints) == 0 {
					a.note("fob: %s knows no finger; fob fingerprint add teaches it one", keyName(r.Key))
					return nil
				}
				rows := []row{{"FINGERPRINT", "NAME"}}
				for _, f := range r.Fingerprints {
					rows = append(rows, row{f.ID.String(), orDash(f.Name)})
				}
				return table(a.out, rows...)
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	return cmd
}

const namesFingerprint = "FINGERPRINT is its id, as fob fingerprint list shows it, or its name."

func (a *app) fingerprintRenameCommand() *cobra.Command {
	var req api.FingerprintRenameRequest
	cmd := &cobra.Command{
		Use:   "rename FINGERPRINT NAME",
		Short: "Give a fingerprint another name",
		Long:  "rename changes the name that the key keeps. " + namesFingerprint,
		Args:  cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Fingerprint, req.Name, req.TimeoutMS = args[0], args[1], a.milliseconds()
			var r api.FingerprintResult
			if err := a.do(ctx, api.OpFingerprintRename, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%s knows %s", keyName(r.Key), fingerName(r.Fingerprint)) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	return cmd
}

func (a *app) fingerprintDeleteCommand() *cobra.Command {
	var req api.FingerprintRequest
	cmd := &cobra.Command{
		Use:   "delete FINGERPRINT",
		Short: "Let a key forget a fingerprint",
		Long:  "delete asks first. " + namesFingerprint,
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Fingerprint, req.TimeoutMS = args[0], a.milliseconds()
			var r api.FingerprintResult
			if err := a.do(ctx, api.OpFingerprintDelete, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%s has forgotten %s", keyName(r.Key), fingerName(r.Fingerprint)) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	a.yesFlag(cmd, "forget it")
	return cmd
}
