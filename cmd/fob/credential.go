package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) credentialCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "credential",
		Short: "Look after the credentials that a key stores",
		Long: `A key stores the credentials that sites can find without a user name (passkeys, resident
SSH keys). The others live with their sites and are not listed. The key wants the PIN or a
finger before it tells anything.`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(a.credentialListCommand(), a.credentialShowCommand(), a.credentialRenameCommand(), a.credentialDeleteCommand())
	return cmd
}

// managed gives cmd the flags of commands that want the person verified.
func (a *app) managed(cmd *cobra.Command, key *string, last *bool) {
	a.keyFlag(cmd, key)
	lastRetryFlag(cmd, last)
	a.pinFlag(cmd)
}

// siteFlag gives cmd the flag that limits it to one site.
func siteFlag(cmd *cobra.Command, rpID *string) {
	cmd.Flags().StringVar(rpID, "site", "", "look only at the credentials for this `RP ID`, such as example.org")
}

// yesFlag gives cmd the flag that answers the daemon's question.
func (a *app) yesFlag(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask whether to "+what)
}

func (a *app) credentialListCommand() *cobra.Command {
	var req api.CredentialListRequest
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the credentials that a key stores",
		Example: "  fob credential list --site example.org",
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.CredentialListResult
			if err := a.do(ctx, api.OpCredentialList, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				rows := []row{{"SITE", "USER", "CREDENTIAL", "ALGORITHM", "PROTECTION"}}
				for _, site := range r.Sites {
					for _, c := range site.Credentials {
						rows = append(rows, row{site.RPID, userName(c), shortID(c.ID), orDash(c.Algorithm), protection(c.CredProtect)})
					}
				}
				if len(rows) > 1 {
					if err := table(a.out, rows...); err != nil {
						return err
					}
				}
				a.note("fob: %s stores %d and has room for %d more", keyName(r.Key), r.Existing, r.Remaining)
				return nil
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	siteFlag(cmd, &req.RPID)
	return cmd
}

// userName is what a person calls the account of a credential.
func userName(c api.DiscoverableCredential) string {
	switch {
	case c.UserName != "":
		return c.UserName
	case c.DisplayName != "":
		return c.DisplayName
	}
	return "(" + c.UserID.String() + ")"
}

// shortID is the beginning of a credential's id, which is enough to name it.
func shortID(id api.Bytes) string {
	const enough = 12
	text := id.String()
	return text[:min(enough, len(text))]
}

// protection gives the policy of credProtect in words that fit a table (CTAP 2.3, section 12.1).
func protection(policy string) string {
	switch policy {
	case "":
		return "-"
	case "userVerificationOptional":
		return "none"
	case "userVerificationOptionalWithCredentialIDList":
		return "hidden without PIN"
	case "userVerificationRequired":
		return "PIN always"
	}
	return policy
}

// credentialFlags gives cmd the flags of a command on one credential.
func (a *app) credentialFlags(cmd *cobra.Command, req *api.CredentialRequest) {
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	siteFlag(cmd, &req.RPID)
}

const namesCredential = `CREDENTIAL is the beginning of its id, as fob credential list shows it, or the user's name when
only one credential has that.`

func (a *app) credentialShowCommand() *cobra.Command {
	var req api.CredentialRequest
	cmd := &cobra.Command{
		Use:   "show CREDENTIAL",
		Short: "Show all that a key tells of a credential",
		Long:  "show shows one stored credential. " + namesCredential,
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Credential, req.TimeoutMS = args[0], a.milliseconds()
			var r api.CredentialResult
			if err := a.do(ctx, api.OpCredentialShow, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				c := r.Credential
				rows := []row{
					{"key", keyName(r.Key)},
					{"site", r.RPID},
					{"site name", orDash(r.Name)},
					{"credential", c.ID.String()},
					{"user", orDash(c.UserName)},
					{"display name", orDash(c.DisplayName)},
					{"user id", c.UserID.String()},
					{"algorithm", orDash(c.Algorithm)},
					{"protection", protection(c.CredProtect)},
					{"can have a blob", yesNo(c.LargeBlob)},
					{"third-party payment", yesNo(c.ThirdPartyPayment)},
				}
				return table(a.out, rows...)
			})
		}),
	}
	a.credentialFlags(cmd, &req)
	return cmd
}

func (a *app) credentialDeleteCommand() *cobra.Command {
	var req api.CredentialRequest
	cmd := &cobra.Command{
		Use:   "delete CREDENTIAL",
		Short: "Delete a credential from a key",
		Long:  "delete asks first: what is deleted cannot be brought back. " + namesCredential,
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Credential, req.TimeoutMS = args[0], a.milliseconds()
			var r api.CredentialResult
			if err := a.do(ctx, api.OpCredentialDelete, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				return a.say("%s has no credential of %s for %s any more", keyName(r.Key), userName(r.Credential), r.RPID)
			})
		}),
	}
	a.credentialFlags(cmd, &req)
	a.yesFlag(cmd, "delete it")
	return cmd
}

func (a *app) credentialRenameCommand() *cobra.Command {
	var req api.CredentialRenameRequest
	var name, display string
	cmd := &cobra.Command{
		Use:   "rename CREDENTIAL",
		Short: "Change the user's name that a key tells of a credential",
		Long: `rename changes what a key tells of the user of a credential; the site does not learn
of it. An empty name takes it away. ` + namesCredential,
		Example: "  fob credential rename alice --name alice@example.org",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = a.run(func(ctx context.Context, args []string) error {
		if cmd.Flags().Changed("name") {
			req.UserName = &name
		}
		if cmd.Flags().Changed("display-name") {
			req.DisplayName = &display
		}
		if req.UserName == nil && req.DisplayName == nil {
			return usagef("nothing to change: give --name, --display-name or both")
		}
		req.Credential, req.TimeoutMS = args[0], a.milliseconds()
		var r api.CredentialResult
		if err := a.do(ctx, api.OpCredentialRename, req, &r); err != nil {
			return err
		}
		return a.answer(r, func() error {
			return a.say("the credential for %s on %s is of %s now", r.RPID, keyName(r.Key), userName(r.Credential))
		})
	})
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	siteFlag(cmd, &req.RPID)
	cmd.Flags().StringVar(&name, "name", "", "the user's account `name`")
	cmd.Flags().StringVar(&display, "display-name", "", "the user's `name` for people")
	return cmd
}

// counted gives a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
