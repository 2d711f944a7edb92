package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

// maxBackup bounds a backup, in bytes: what the daemon takes, without the base64 around it.
const maxBackup = 384 << 20

// errNoAnswer says that the daemon answered with something else than it was asked for.
var errNoAnswer = errors.New("the daemon's answer cannot be understood")

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the database of people and tokens",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(a.storeBackupCommand(), a.storeRestoreCommand(), a.storeCheckCommand(), a.storeRotateCommand())
	return cmd
}

func (a *app) storeBackupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of people, tokens and keys to a new file",
		Long: `backup writes all that the database has at one moment to FILE. Seeds stay sealed in it: it is of no use without the
daemon's key file (tokens.key), which is to be kept apart from it.`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if err := notThere(args[0]); err != nil {
				return err
			}
			var result api.StoreBackupResult
			if err := a.ask(ctx, api.OpStoreBackup, api.StoreBackupRequest{}, &result); err != nil {
				return err
			}
			if err := createFile(args[0], result.Data); err != nil {
				return err
			}
			return a.answer(result.StoreContents, func() error {
				return a.say("%s: %d people, %d tokens and keys", args[0], result.Users, result.Tokens)
			})
		}),
	}
}

func (a *app) storeRestoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into an empty database, all of it or nothing",
		Long: `restore puts a backup back, with the key file that it was made with in place. No code from before is accepted afterwards: time tokens go on
with the next step, recovery codes are void, and counter tokens are enrolled again by two codes ("fob token enroll").`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			data, err := a.readFile(args[0], maxBackup)
			if err != nil {
				return err
			}
			var result api.StoreRestoreResult
			if err := a.ask(ctx, api.OpStoreRestore, api.StoreRestoreRequest{Data: data}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if err := a.say("restored from %s: %d people, %d tokens and keys", result.Taken, result.Users, result.Tokens); err != nil {
					return err
				}
				for _, serial := range result.Resync {
					if err := a.say("to be enrolled again: %s", serial); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
}

var errDamaged = errors.New("not all is well")

func (a *app) storeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Look for damage in the database, or in a backup",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var req api.StoreCheckRequest
			if len(args) > 0 {
				var err error
				if req.Data, err = a.readFile(args[0], maxBackup); err != nil {
					return err
				}
				if len(req.Data) == 0 {
					return usagef("%s is empty", args[0])
				}
			}
			var result api.StoreCheckResult
			if err := a.ask(ctx, api.OpStoreCheck, req, &result); err != nil {
				return err
			}
			if err := a.answer(result, func() error {
				for _, e := range result.Errors {
					if err := a.say("%s", e); err != nil {
						return err
					}
				}
				if len(result.Errors) == 0 {
					return a.say("ok: %d people, %d tokens and keys", result.Users, result.Tokens)
				}
				return nil
			}); err != nil {
				return err
			}
			if len(result.Errors) > 0 {
				return errDamaged
			}
			return nil
		}),
	}
}

func (a *app) storeRotateCommand() *cobra.Command {
	var old bool
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Seal all seeds with a new key",
		Long: `rotate-key puts a new key into the daemon's key file and seals all seeds with it. The keys from before stay in the file, for
backups that were made with them; copy the file anew. Daemons that share a database, or have their key from systemd, get new
files by hand; then --no-new-key seals with what is first in them.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.StoreResealResult
			if err := a.ask(ctx, api.OpStoreReseal, api.StoreResealRequest{NewKey: !old}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if result.KeyFile != "" {
					a.note("fob: a new key is in %s; keep a copy of it", result.KeyFile)
				}
				return a.say("sealed anew: %s", strconv.Itoa(result.Resealed))
			})
		}),
	}
	cmd.Flags().BoolVar(&old, "no-new-key", false, "use the first key that is in the file")
	return cmd
}
