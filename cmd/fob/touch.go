package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) touchCommand() *cobra.Command {
	var req api.TouchRequest
	cmd := &cobra.Command{
		Use:   "touch",
		Short: "Ask for a touch of a key",
		Long: `touch lets a key blink until it is touched and says which one it was. With several
keys attached and none named, all blink and the first touch wins.`,
		Example: "  fob touch --purpose 'deploy to production' && deploy",
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var result api.TouchResult
			if err := a.do(ctx, api.OpTouch, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("touched %s", keyName(result.Key)) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	purposeFlag(cmd, &req.Purpose)
	return cmd
}

func purposeFlag(cmd *cobra.Command, purpose *string) {
	cmd.Flags().StringVar(purpose, "purpose", "", "`text` that the person sees in the prompt: what the touch is for")
}

func (a *app) winkCommand() *cobra.Command {
	var req api.KeyRequest
	cmd := &cobra.Command{
		Use:   "wink",
		Short: "Let a key blink for a moment, to find it",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var result api.KeyResult
			if err := a.do(ctx, api.OpWink, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("%s winks", keyName(result.Key)) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	return cmd
}
