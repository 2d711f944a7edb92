package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "See and try the rules: who may do what",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(a.policyListCommand(), a.policyExplainCommand(), a.policyCheckCommand(), a.policySchemaCommand())
	return cmd
}

func (a *app) policyListCommand() *cobra.Command {
	var text bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the rules that hold",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.PolicyListResult
			if err := a.ask(ctx, api.OpPolicyList, nil, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if text {
					for _, r := range result.Rules {
						if _, err := fmt.Fprintf(a.out, "// %s:%d\n%s\n\n", clean(r.File), r.Line, cleanLines(r.Text)); err != nil {
							return err
						}
					}
					return nil
				}
				rows := []row{{"RULE", "EFFECT", "WHERE", "REASON"}}
				for _, r := range result.Rules {
					rows = append(rows, row{r.ID, r.Effect, fmt.Sprintf("%s:%d", r.File, r.Line), orDash(r.Reason)})
				}
				return table(a.out, rows...)
			})
		}),
	}
	cmd.Flags().BoolVar(&text, "text", false, "print the rules themselves, in Cedar")
	return cmd
}

func (a *app) policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print what rules can speak of, in Cedar's schema language",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.PolicyListResult
			if err := a.ask(ctx, api.OpPolicyList, nil, &result); err != nil {
				return err
			}
			return a.answer(map[string]string{"schema": result.Schema}, func() error {
				_, err := fmt.Fprint(a.out, cleanLines(result.Schema)+"\n")
				return err
			})
		}),
	}
}

func (a *app) policyExplainCommand() *cobra.Command {
	var req api.PolicyExplainRequest
	cmd := &cobra.Command{
		Use:   "explain OPERATION",
		Short: "Say how a request would be decided, and by which rules",
		Long: `explain asks how the daemon would decide, without doing anything: for yourself and fob, or as the
flags say. OPERATION is a name as in the socket's API ("touch", "register", "pin-change"), or "claim-origin":
to speak for a web site, or "second-factor": whether --user counts as verified when --given was shown. Only administrators can ask for other users.`,
		Example: "  fob policy explain reset\n  fob policy explain claim-origin --exe /usr/bin/mail --origin https://example.org",
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Operation = args[0]
			var result api.PolicyExplainResult
			if err := a.ask(ctx, api.OpPolicyExplain, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.explained(&result) })
		}),
	}
	f := cmd.Flags()
	f.StringVar(&req.User, "user", "", "another `user`")
	f.StringSliceVar(&req.Groups, "group", nil, "in these `groups` instead of the user's own")
	f.StringVar(&req.Exe, "exe", "", "through the program at `path`")
	f.StringVar(&req.Unit, "unit", "", "through a program of the systemd `unit`")
	f.StringVar(&req.Flatpak, "flatpak", "", "through the flatpak `id`")
	f.StringVar(&req.Snap, "snap", "", "through the snap `name`")
	f.StringVar(&req.Key, "key", "", "with this `key`, by id or serial number")
	f.StringVar(&req.Origin, "origin", "", "for the site with this `origin`")
	f.StringVar(&req.RPID, "rp", "", "for the site with this RP `ID`")
	f.StringSliceVar(&req.Given, "given", nil, "for second-factor: when the person has shown these `things`: key, verification, code, recovery")
	return cmd
}

// explained says a decision to a person.
func (a *app) explained(r *api.PolicyExplainResult) error {
	verdict := map[string]string{
		"allow": "allowed", "deny": "denied", "ask": "allowed after a person has agreed (" + strings.Join(r.Grants, ", ") + ")",
	}[r.Decision]
	if err := a.say("%s", verdict); err != nil {
		return err
	}
	decided := map[string]bool{}
	for _, rule := range r.Rules {
		decided[rule.ID] = true
		reason := ""
		if rule.Reason != "" {
			reason = ": " + rule.Reason
		}
		if err := a.say("  by %s (%s:%d)%s", rule.ID, rule.File, rule.Line, reason); err != nil {
			return err
		}
	}
	if len(r.Rules) == 0 {
		if err := a.say("  no rule permits it"); err != nil {
			return err
		}
	}
	for _, rule := range r.Looked {
		if !decided[rule.ID] {
			if err := a.say("  does not apply: %s (%s:%d)", rule.ID, rule.File, rule.Line); err != nil {
				return err
			}
		}
	}
	if err := a.say("asked was:"); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Request)) {
		if err := a.say("  %-12s %s", name, r.Request[name]); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) policyCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Check files of rules before they are put into place",
		Long: `check asks the daemon whether each FILE could stand beside the rules that hold, where one of the same name
would be replaced: syntax, words that there are, names of rules. It changes nothing.`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			wrong := 0
			for _, file := range args {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				var result api.PolicyCheckResult
				if err := a.ask(ctx, api.OpPolicyCheck, api.PolicyCheckRequest{Name: filepath.Base(file), Text: string(text)}, &result); err != nil {
					return err
				}
				wrong += len(result.Errors)
				if err := a.answer(result, func() error {
					for _, e := range result.Errors {
						if err := a.say("%s", strings.ReplaceAll(e, "\n", "; ")); err != nil {
							return err
						}
					}
					if len(result.Errors) == 0 {
						return a.say("%s: ok", file)
					}
					return nil
				}); err != nil {
					return err
				}
			}
			if wrong > 0 {
				return errWrongRules
			}
			return nil
		}),
	}
}

var errWrongRules = errors.New("the rules are not right")

func (a *app) grantCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "See and end what you have agreed to for a while",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the grants: which program, which site, until when",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.GrantListResult
			if err := a.ask(ctx, api.OpGrantList, nil, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Grants) == 0 {
					a.note("fob: nothing has been agreed to for a while")
					return nil
				}
				rows := []row{{"GRANT", "USER", "PROGRAM", "SITE", "UNTIL", "USES"}}
				for _, g := range result.Grants {
					rows = append(rows, row{g.ID, g.User, g.App, orDash(g.RPID), g.Until, fmt.Sprint(g.Uses)})
				}
				return table(a.out, rows...)
			})
		}),
	}
	var all bool
	revoke := &cobra.Command{
		Use:   "revoke [GRANT]",
		Short: "End a grant, or with --all all of yours",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req := api.GrantRevokeRequest{All: all}
			if len(args) > 0 {
				req.Grant = args[0]
			}
			if all == (len(args) > 0) {
				return usagef("name a grant, or give --all")
			}
			var result api.GrantRevokeResult
			if err := a.ask(ctx, api.OpGrantRevoke, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("ended: %d", result.Revoked) })
		}),
	}
	revoke.Flags().BoolVar(&all, "all", false, "end all grants")
	cmd.AddCommand(list, revoke)
	return cmd
}
