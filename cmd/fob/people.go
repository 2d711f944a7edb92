package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) enrollCommand() *cobra.Command {
	var req api.UserEnrollRequest
	cmd := &cobra.Command{
		Use:   "enroll USER",
		Short: "Make a security key a person's",
		Long: `enroll makes a credential on a key and keeps what it needs to know the key again, for "fob verify". Which models
of keys are taken, the daemon's configuration says ([people]). Tokens that show codes are enrolled with "fob token enroll".`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.User, req.TimeoutMS = args[0], a.milliseconds()
			var result api.UserEnrollResult
			if err := a.do(ctx, api.OpUserEnroll, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.showToken(result.Token) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	purposeFlag(cmd, &req.Purpose)
	lastRetryFlag(cmd, &req.AllowLastRetry)
	a.pinFlag(cmd)
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	var req api.UserVerifyRequest
	var age time.Duration
	var code bool
	cmd := &cobra.Command{
		Use:   "verify USER",
		Short: "Ask a person for what is enrolled for them, and state that it was given",
		Long: `verify asks a person for a touch of their key, or a code, or as much as the policy wants, and prints a statement that they are
here: a JSON Web Token that local programs check with the keys of "fob statement keys". The exit status says the same. Everybody can
be asked by their own programs; others are asked by administrators.`,
		Example: `  fob verify alice && restore-backup
  fob verify alice --max-age 10m --audience backup | fob statement check --audience backup`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if age < 0 {
				return usagef("--max-age must not be negative")
			}
			if code {
				codes, err := a.lines("Code")
				if err != nil {
					return err
				}
				req.Code = codes[0]
			}
			req.User, req.MaxAge, req.TimeoutMS = args[0], int(age/time.Second), a.milliseconds()
			var result api.UserVerifyResult
			if err := a.do(ctx, api.OpUserVerify, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				how := "verified"
				if result.Reused {
					how = "verified before, at " + result.AuthTime
				}
				if len(result.Methods) > 0 {
					how += " by " + strings.Join(result.Methods, ", ")
				}
				if len(result.Tokens) > 0 {
					how += " with " + strings.Join(result.Tokens, ", ")
				}
				a.note("fob: %s: %s", result.User, how)
				return a.say("%s", result.Statement)
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&req.With, "with", "", "nothing else will do: a `kind`, key or code")
	f.BoolVar(&code, "code", false, "take a code from the standard input")
	f.DurationVar(&age, "max-age", 0, "take what was given a `duration` ago at most")
	f.StringVar(&req.Audience, "audience", "", "the statement is for this `program`")
	f.StringVar(&req.Nonce, "nonce", "", "a `text` that stands in the statement")
	a.keyFlag(cmd, &req.Key)
	purposeFlag(cmd, &req.Purpose)
	lastRetryFlag(cmd, &req.AllowLastRetry)
	a.pinFlag(cmd)
	return cmd
}

func (a *app) statementCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "statement",
		Short: "Check the statements of verify",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Print the keys that statements are signed with, as a JWK Set",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result json.RawMessage
			if err := a.ask(ctx, api.OpStatementKeys, api.StatementKeysRequest{}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.printJSON(result, "  ") })
		}),
	}
	var req api.StatementCheckRequest
	check := &cobra.Command{
		Use:   "check",
		Short: "Check a statement from the standard input",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			lines, err := a.lines("Statement")
			if err != nil {
				return err
			}
			req.Statement = lines[0]
			var result api.StatementCheckResult
			if err := a.ask(ctx, api.OpStatementCheck, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				return table(a.out, row{"user", result.User}, row{"by", orDash(strings.Join(result.Methods, ", "))}, row{"with", orDash(strings.Join(result.Tokens, ", "))},
					row{"at", result.AuthTime}, row{"until", result.Expires}, row{"issuer", result.Issuer}, row{"nonce", orDash(result.Nonce)})
			})
		}),
	}
	check.Flags().StringVar(&req.Audience, "audience", "", "it must be for this `program`")
	check.Flags().StringVar(&req.User, "user", "", "it must be about this `person`")
	cmd.AddCommand(keys, check)
	return cmd
}

func (a *app) userListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the people, and how many keys and tokens they have",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.UserListResult
			if err := a.ask(ctx, api.OpUserList, api.UserListRequest{}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Users) == 0 {
					a.note("fob: nobody")
					return nil
				}
				rows := []row{{"USER", "KEYS", "TOKENS", "RECOVERY CODES", "LAST USED"}}
				for _, u := range result.Users {
					keys, tokens := 0, 0
					for _, k := range u.Tokens {
						switch {
						case k.State != "active":
						case k.Kind == "fido":
							keys++
						default:
							tokens++
						}
					}
					rows = append(rows, row{u.Name, strconv.Itoa(keys), strconv.Itoa(tokens), strconv.Itoa(u.Recovery), orDash(u.LastUsed)})
				}
				return table(a.out, rows...)
			})
		}),
	}
}

func (a *app) userShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show USER",
		Short: "Show what a person has",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var result api.UserListResult
			if err := a.ask(ctx, api.OpUserShow, api.UserRequest{User: args[0]}, &result); err != nil {
				return err
			}
			if len(result.Users) != 1 {
				return errNoAnswer
			}
			u := result.Users[0]
			return a.answer(u, func() error {
				rows := []row{{"user", u.Name}, {"since", u.Created}, {"last used", orDash(u.LastUsed)}, {"recovery codes", strconv.Itoa(u.Recovery)}}
				if u.Failures > 0 {
					rows = append(rows, row{"wrong codes", strconv.Itoa(u.Failures)})
				}
				if u.LockedUntil != "" {
					rows = append(rows, row{"must wait until", u.LockedUntil})
				}
				if err := table(a.out, rows...); err != nil || len(u.Tokens) == 0 {
					return err
				}
				return table(a.out, tokenRows(u.Tokens)...)
			})
		}),
	}
}

func (a *app) userRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove USER",
		Short: "Remove a person, and end what is theirs alone",
		Long: `remove retires the security keys and the authenticator apps of a person, and voids the recovery codes. Tokens that
only have a display are as imported again, for somebody else.`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var result api.UserRemoveResult
			if err := a.ask(ctx, api.OpUserRemove, api.UserRequest{User: args[0]}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if err := a.say("removed: %s", result.User); err != nil {
					return err
				}
				for _, serial := range result.Retired {
					if err := a.say("retired: %s", serial); err != nil {
						return err
					}
				}
				for _, serial := range result.Freed {
					if err := a.say("for somebody else: %s", serial); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
}

func (a *app) inventoryCommand() *cobra.Command {
	var req api.InventoryRequest
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Say who has what: keys and tokens, models, firmware, last use",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.InventoryResult
			if err := a.ask(ctx, api.OpInventory, req, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if asCSV {
					return a.inventoryCSV(result.Items)
				}
				if len(result.Items) == 0 {
					a.note("fob: nothing")
					return nil
				}
				rows := []row{{"USER", "SERIAL", "KIND", "STATE", "MODEL", "FIRMWARE", "LAST USED", "NOTES"}}
				for _, i := range result.Items {
					rows = append(rows, row{orDash(i.User), i.Serial, i.Kind, i.State, orDash(model(i)), orDash(number(i.Firmware)), orDash(i.LastUsed), orDash(strings.Join(i.Notes, ", "))})
				}
				return table(a.out, rows...)
			})
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&asCSV, "csv", false, "print CSV, for spreadsheets")
	f.IntVar(&req.Unused, "unused", 0, "only what was not used for so many `days`")
	f.BoolVar(&req.Expired, "expired", false, "only what is past its date")
	f.StringVar(&req.User, "user", "", "only what `user` has")
	f.StringVar(&req.State, "state", "", "only what is in this `state`: imported, assigned, active, disabled, locked, lost or retired")
	return cmd
}

// model is what a person calls the thing.
func model(i api.Item) string {
	if i.ModelName != "" {
		return i.ModelName
	}
	return strings.TrimSpace(i.Manufacturer + " " + i.Model)
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// inventoryCSV prints lines for spreadsheets (RFC 4180).
func (a *app) inventoryCSV(items []api.Item) error {
	w := csv.NewWriter(a.out)
	if err := w.Write([]string{"user", "serial", "kind", "state", "model", "aaguid", "firmware", "issuer", "last used", "expires", "attached", "notes"}); err != nil {
		return err
	}
	for _, i := range items {
		cells := []string{
			i.User, i.Serial, i.Kind, i.State, model(i), i.AAGUID, number(i.Firmware), i.Issuer, i.LastUsed, i.Expires, strconv.FormatBool(i.Attached), strings.Join(i.Notes, ", "),
		}
		for n, cell := range cells {
			cells[n] = inert(clean(cell))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// inert keeps a spreadsheet from taking a cell for a formula: names and serial numbers come from files of others.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
