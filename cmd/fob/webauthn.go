package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

// ceremony holds the flags that register and assert share.
type ceremony struct {
	rp, verification string
	origin           string
	save             string
}

func (c *ceremony) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.origin, "origin", "", "`origin` of the site, such as https://example.org (default: from the options)")
	f.StringVar(&c.rp, "rp", "", "make the options for this `site`, with a random challenge, instead of reading them")
	f.StringVar(&c.verification, "uv", "preferred", "with --rp: user verification `wanted`: required, preferred or discouraged")
	f.StringVar(&c.save, "save-options", "", "write the options to this `file`, for fob check")
}

// options gives the options of the ceremony: made by fresh with --rp, else read.
func (a *app) options(c *ceremony, args []string, fresh func() any) (json.RawMessage, error) {
	if !slices.Contains([]string{"required", "preferred", "discouraged"}, c.verification) {
		return nil, usagef("--uv is required, preferred or discouraged, not %q", c.verification)
	}
	var options json.RawMessage
	var err error
	switch {
	case c.rp != "" && len(args) > 0:
		return nil, usagef("--rp makes the options: give no file with it")
	case c.rp != "":
		if options, err = json.Marshal(fresh()); err != nil {
			return nil, err
		}
	default:
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		if a.pinFD == 0 && (name == "" || name == "-") {
			return nil, usagef("the standard input cannot hold both the options and a PIN")
		}
		if options, err = a.readJSON(name, "publicKey"); err != nil {
			return nil, err
		}
	}
	if c.origin, err = originOf(c.origin, options); err != nil {
		return nil, err
	}
	if c.save != "" {
		return options, saveJSON(c.save, options)
	}
	return options, nil
}

func (a *app) registerCommand() *cobra.Command {
	var c ceremony
	var user string
	var discoverable bool
	var req api.RegisterRequest
	cmd := &cobra.Command{
		Use:   "register [OPTIONS.json]",
		Short: "Make a new credential on a key",
		Long: `register makes a credential for a site. It reads the site's options, a
PublicKeyCredentialCreationOptionsJSON of WebAuthn Level 3, bare or as {"publicKey": ...},
from a file or from the standard input, and prints the RegistrationResponseJSON for the site.
With --json it prints {"key": ..., "credential": ...} in one line.`,
		Example: `  fob register --origin https://example.org options.json > credential.json
  fob register --rp example.org --user alice --save-options options.json > credential.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			switch {
			case c.rp != "" && user == "":
				return usagef("--rp needs --user")
			case c.rp == "" && (user != "" || discoverable):
				return usagef("--user and --discoverable go with --rp")
			}
			options, err := a.options(&c, args, func() any { return newCreation(c.rp, user, c.verification, discoverable) })
			if err != nil {
				return err
			}
			req.Origin, req.Options, req.TimeoutMS = c.origin, options, a.milliseconds()
			var result api.RegisterResult
			if err := a.do(ctx, api.OpRegister, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				a.note("fob: registered with %s", keyName(result.Key))
				return a.printJSON(result.Credential, "  ")
			})
		}),
	}
	a.keyFlag(cmd, &req.Key)
	c.flags(cmd)
	cmd.Flags().StringVar(&user, "user", "", "with --rp: `name` of the user's account")
	cmd.Flags().BoolVar(&discoverable, "discoverable", false, "with --rp: keep the credential on the key, so that it is found without its id")
	purposeFlag(cmd, &req.Purpose)
	lastRetryFlag(cmd, &req.AllowLastRetry)
	a.pinFlag(cmd)
	return cmd
}

func (a *app) assertCommand() *cobra.Command {
	var c ceremony
	var credentials []string
	var req api.AssertRequest
	cmd := &cobra.Command{
		Use:   "assert [OPTIONS.json]",
		Short: "Sign in with a credential of a key",
		Long: `assert signs a site's challenge with a credential. It reads the site's options, a
PublicKeyCredentialRequestOptionsJSON of WebAuthn Level 3, bare or as {"publicKey": ...},
from a file or from the standard input, and prints the AuthenticationResponseJSON for the site.
With --json it prints {"key": ..., "credential": ...} in one line.`,
		Example: `  fob assert --origin https://example.org options.json > assertion.json
  fob assert --rp example.org --credential "$id" --save-options options.json > assertion.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if c.rp == "" && len(credentials) > 0 {
				return usagef("--credential goes with --rp")
			}
			ids := make([]api.Bytes, len(credentials))
			for i, text := range credentials {
				if err := ids[i].UnmarshalJSON([]byte(`"` + text + `"`)); err != nil || len(ids[i]) == 0 {
					return usagef("--credential is base64url, as the member id of a credential: %q is not", text)
				}
			}
			options, err := a.options(&c, args, func() any { return newRequest(c.rp, c.verification, ids) })
			if err != nil {
				return err
			}
			req.Origin, req.Options, req.TimeoutMS = c.origin, options, a.milliseconds()
			var result api.AssertResult
			if err := a.do(ctx, api.OpAssert, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				a.note("fob: asserted with %s", keyName(result.Key))
				return a.printJSON(result.Credential, "  ")
			})
		}),
	}
	a.keyFlag(cmd, &req.Key)
	c.flags(cmd)
	cmd.Flags().StringArrayVar(&credentials, "credential", nil, "with --rp: `id` of a credential that may answer (base64url; can be repeated)")
	purposeFlag(cmd, &req.Purpose)
	lastRetryFlag(cmd, &req.AllowLastRetry)
	a.pinFlag(cmd)
	return cmd
}
