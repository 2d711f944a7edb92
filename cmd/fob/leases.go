package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) leaseListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the leases",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			result, err := a.leases(ctx)
			if err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Leases) == 0 {
					a.note("fob: nobody has a lease")
					return nil
				}
				rows := []row{{"KEY", "NAME", "PROGRAM", "PID", "USER", "EXPIRES", "PURPOSE"}}
				for _, l := range result.Leases {
					rows = append(rows, row{
						l.Key.ID, l.Key.Name, orDash(l.Holder.Program), fmt.Sprint(l.Holder.PID), orDash(l.Holder.User), l.Expires, orDash(l.Purpose),
					})
				}
				return table(a.out, rows...)
			})
		}),
	}
}

func (a *app) leases(ctx context.Context) (*api.LeaseListResult, error) {
	result := new(api.LeaseListResult)
	return result, a.ask(ctx, api.OpLeaseList, api.LeaseListRequest{}, result)
}

func (a *app) leaseEndCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "end [KEY]",
		Short: "End a lease, so that others can use the key",
		Long: `end takes a lease away from the program that has it: that on KEY, or the only one.
Other users' leases are for administrators to end.`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if all && len(args) > 0 {
				return usagef("give a key or --all, not both")
			}
			keys := args
			if len(keys) == 0 {
				list, err := a.leases(ctx)
				if err != nil {
					return err
				}
				if len(list.Leases) > 1 && !all {
					return usagef("there are %d leases: name a key, or give --all", len(list.Leases))
				}
				for _, l := range list.Leases {
					keys = append(keys, l.Key.ID)
				}
			}
			if len(keys) == 0 {
				a.note("fob: nobody has a lease")
				return nil
			}
			for _, key := range keys {
				var result api.LeaseEndResult
				if err := a.ask(ctx, api.OpLeaseEnd, api.LeaseEndRequest{Key: key}, &result); err != nil {
					return err
				}
				if err := a.answer(result, func() error { return a.say("ended the lease on %s", keyName(result.Key)) }); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "end every lease")
	return cmd
}
