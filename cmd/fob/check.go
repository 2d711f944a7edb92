package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) checkCommand() *cobra.Command {
	var optionsFile, registeredFile, save string
	var req api.CheckRequest
	cmd := &cobra.Command{
		Use:   "check --options OPTIONS.json [CREDENTIAL.json]",
		Short: "Check a registration or an assertion as a relying party does",
		Long: `check looks at what register or assert printed against the options it was made for,
as a relying party does. The credential comes from a file or the standard input. An
assertion needs --registered: what check kept of the registration with --save or --json.`,
		Example: `  fob check --options options.json --save alice.json credential.json
  fob check --options options.json --registered alice.json assertion.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			name := "-"
			if len(args) > 0 {
				name = args[0]
			}
			inputs := 0
			for _, n := range []string{name, optionsFile, registeredFile} {
				if n == "-" {
					inputs++
				}
			}
			switch {
			case optionsFile == "":
				return usagef("--options is needed: the options that the credential was made for")
			case inputs > 1:
				return usagef("only one document can come from the standard input")
			}
			options, err := a.readJSON(optionsFile, "publicKey")
			if err != nil {
				return err
			}
			if req.Credential, err = a.readJSON(name, "credential"); err != nil {
				return err
			}
			if req.Origin, err = originOf(req.Origin, options); err != nil {
				return err
			}
			what := "registration"
			if isAssertion(req.Credential) {
				what = "assertion"
				if req.RequestOptions = options; registeredFile == "" {
					return usagef("an assertion needs --registered: what check kept of the registration")
				}
				data, err := a.readJSON(registeredFile, "registered")
				if err != nil {
					return err
				}
				if err := json.Unmarshal(data, &req.Registered); err != nil {
					return usagef("%s: %w", registeredFile, err)
				}
			} else if req.CreationOptions = options; registeredFile != "" {
				return usagef("--registered goes with an assertion, this is a registration")
			}
			var result api.CheckResult
			if err := a.ask(ctx, api.OpCheck, req, &result); err != nil {
				return err
			}
			if save != "" {
				if err := saveJSON(save, result.Registered); err != nil {
					return err
				}
			}
			return a.answer(result, func() error { return a.printVerified(what, result) })
		}),
	}
	f := cmd.Flags()
	f.StringVar(&req.Origin, "origin", "", "`origin` of the site, such as https://example.org (default: from the options)")
	f.StringVar(&optionsFile, "options", "", "`file` with the options that the credential was made for")
	f.StringVar(&registeredFile, "registered", "", "`file` with what check kept of the registration")
	f.StringVar(&save, "save", "", "write what a relying party keeps to this `file`")
	return cmd
}

// isAssertion tells an AuthenticationResponseJSON from a RegistrationResponseJSON
// (WebAuthn Level 3, section 5.1.8): only the former is signed by the credential.
func isAssertion(credential json.RawMessage) bool {
	var c struct {
		Response struct {
			Signature *json.RawMessage `json:"signature"`
		} `json:"response"`
	}
	return json.Unmarshal(credential, &c) == nil && c.Response.Signature != nil
}

func (a *app) printVerified(what string, r api.CheckResult) error {
	user := []string{}
	if r.UserPresent {
		user = append(user, "present")
	}
	if r.UserVerified {
		user = append(user, "verified")
	}
	rows := []row{
		{"valid", what},
		{"credential", r.Registered.CredentialID.String()},
		{"user", strings.Join(user, ", ")},
		{"counter", fmt.Sprint(r.Registered.SignCount)},
	}
	if r.Format != "" {
		rows = append(rows, row{"attestation", strings.TrimSpace(r.Format + " " + r.Attestation)}, row{"aaguid", r.Registered.AAGUID})
	}
	return table(a.out, rows...)
}
