package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) resetCommand() *cobra.Command {
	var req api.ResetRequest
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Erase everything on a key",
		Long: `reset erases all credentials and the PIN of a key. It asks first, then says when to pull
the key out, put it in and touch it. With several keys attached, --key must name one.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			key, err := a.resetTarget(ctx, req.Key)
			if err != nil {
				return err
			}
			if !yes {
				sure, err := confirm(ctx, api.Prompt{
					Kind: api.PromptConfirm, Operation: api.OpReset, Key: key.ID,
					Message: "This erases every credential and the PIN of " + keyName(key) + ", for good.",
				})
				if err != nil {
					return err
				}
				if !sure {
					return &api.Error{Code: api.CodeCancelled, Message: "nothing was erased", Key: key.ID}
				}
			}
			req.Key, req.TimeoutMS = key.ID, a.milliseconds()
			var result api.KeyResult
			if err := a.do(ctx, api.OpReset, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("%s is erased", keyName(result.Key)) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask whether to erase")
	return cmd
}

// resetTarget finds the key to erase: the one with that id, or the only one.
func (a *app) resetTarget(ctx context.Context, id string) (api.Key, error) {
	var list api.ListResult
	if err := a.ask(ctx, api.OpList, api.ListRequest{}, &list); err != nil {
		return api.Key{}, err
	}
	if id == "" {
		switch len(list.Keys) {
		case 0:
			return api.Key{}, &api.Error{Code: api.CodeNoKey, Message: "no key is attached", Hint: "put the key in"}
		case 1:
			return list.Keys[0], nil
		}
		return api.Key{}, usagef("%d keys are attached: name the one to erase with --key (fob list shows them)", len(list.Keys))
	}
	for _, k := range list.Keys {
		if k.ID == id {
			return k, nil
		}
	}
	return api.Key{}, &api.Error{Code: api.CodeNoKey, Message: fmt.Sprintf("no key %s is attached", id), Hint: "fob list shows the attached keys"}
}
