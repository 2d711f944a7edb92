package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) accountsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accounts",
		Short: "Look after the accounts for one-time codes on plugged-in tokens",
		Long: `A token keeps the seeds of its accounts and shows them to nobody; "fob code" reads its codes. YubiKeys and other keys with an OATH application
are reached through pcscd, Nitrokeys 3 directly.`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(
		a.accountsListCommand(), a.accountsAddCommand(), a.accountsDeleteCommand(), a.accountsRenameCommand(),
		a.accountsProtectCommand(), a.accountsResetCommand(),
	)
	return cmd
}

func (a *app) accountsListCommand() *cobra.Command {
	var req api.AccountListRequest
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the accounts on plugged-in tokens",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.AccountListResult
			if err := a.do(ctx, api.OpAccountList, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				a.failures(r.Failed)
				rows := []row{{"ISSUER", "NAME", "KIND", "HASH", "PERIOD", "TOKEN"}}
				for _, c := range r.Accounts {
					period := "-"
					if c.Period > 0 {
						period = strconv.FormatInt(c.Period, 10)
					}
					rows = append(rows, row{orDash(c.Issuer), c.Name, c.Kind, orDash(c.Hash), period, c.KeyName})
				}
				if len(rows) > 1 {
					if err := table(a.out, rows...); err != nil {
						return err
					}
				}
				for _, t := range r.Tokens {
					n := 0
					for _, c := range r.Accounts {
						if c.Key == t.Key {
							n++
						}
					}
					a.note("fob: %s has %s%s", t.KeyName, counted(n, "account", "accounts"), protected(t))
				}
				return nil
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	return cmd
}

// protected says what keeps strangers from the accounts of a token, and whether anybody has seen one of its kind.
func protected(t api.AccountToken) string {
	text := ""
	switch t.Protection {
	case "code":
		text = ", behind an access code"
	case "pin":
		text = ", and a PIN"
	}
	if t.Unseen {
		text += "; fobd's part for its kind was written from the protocol, and has not yet seen a device"
	}
	return text
}

// maxPicture bounds a file with accounts, in bytes.
const maxPicture = 8 << 20

func (a *app) accountsAddCommand() *cobra.Command {
	var req api.AccountAddRequest
	var typed typedAccount
	cmd := &cobra.Command{
		Use:   "add [FILE...]",
		Short: "Put accounts on a plugged-in token",
		Long: `add puts accounts on a token. FILE is a picture (PNG, JPEG) of the QR code that a site or an app shows, or a text with an otpauth or
otpauth-migration URI; - is the standard input. Several FILEs are one: the pictures of an app's export, for example.

Without FILE it asks for issuer, name and secret; what cannot be asked at a terminal is read from the standard input, a line each. A
secret is never an argument: others could see it.`,
		Example: "  fob accounts add qr.png\n  zbarcam --raw --oneshot | fob accounts add -\n  fob accounts add --touch",
		RunE: a.run(func(ctx context.Context, args []string) error {
			for _, name := range args {
				data, err := a.readFile(name, maxPicture)
				if err != nil {
					return err
				}
				defer clear(data)
				req.Files = append(req.Files, data)
			}
			if len(args) == 0 {
				uri, err := typed.uri(ctx, a)
				if err != nil {
					return err
				}
				req.URI = uri
			}
			req.TimeoutMS = a.milliseconds()
			var r api.AccountAddResult
			if err := a.do(ctx, api.OpAccountAdd, req, &r); err != nil {
				return err
			}
			err := a.answer(r, func() error {
				for _, c := range r.Added {
					if err := a.say("%s is on %s", title(c), c.KeyName); err != nil {
						return err
					}
				}
				return nil
			})
			for _, f := range r.Failed {
				message, _ := explain(f.Error)
				a.note("fob: %s is not: %s", title(api.Account{Issuer: f.Issuer, Name: f.Name}), message)
			}
			if len(r.Failed) > 0 {
				err = errors.Join(err, r.Failed[0].Error)
			}
			return err
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	f := cmd.Flags()
	f.BoolVar(&req.Touch, "touch", false, "want a touch for each code")
	f.BoolVar(&req.PIN, "pin", false, "want the token's PIN for each code (Nitrokey)")
	f.BoolVar(&req.Overwrite, "overwrite", false, "replace an account of the same name, where the token can do that")
	f.StringVar(&typed.kind, "kind", "totp", "`kind` of an account that is typed: totp, hotp or steam")
	f.StringVar(&typed.hash, "hash", "", "its hash `function`: SHA1, SHA256 or SHA512")
	f.IntVar(&typed.digits, "digits", 0, "its `number` of digits: 6, 7 or 8")
	f.IntVar(&typed.period, "period", 0, "how many `seconds` its codes are shown")
	f.Uint64Var(&typed.counter, "counter", 0, "the first `number` that its codes are made from (hotp)")
	return cmd
}

// typedAccount is an account that a person types.
type typedAccount struct {
	kind, hash     string
	digits, period int
	counter        uint64
}

// uri asks for the rest, and makes an otpauth URI.
func (t *typedAccount) uri(ctx context.Context, a *app) (string, error) {
	if t.kind != "totp" && t.kind != "hotp" && t.kind != "steam" {
		return "", usagef("--kind must be totp, hotp or steam")
	}
	issuer, name, secret, err := a.typedSecret(ctx)
	if err != nil {
		return "", err
	}
	q := url.Values{"secret": {strings.ToUpper(strings.ReplaceAll(strings.TrimRight(secret, "="), " ", ""))}}
	set := func(name, value string) {
		if value != "" && value != "0" {
			q.Set(name, value)
		}
	}
	set("issuer", issuer)
	set("algorithm", strings.ToUpper(t.hash))
	set("digits", strconv.Itoa(t.digits))
	set("period", strconv.Itoa(t.period))
	host := t.kind
	switch t.kind {
	case "hotp":
		q.Set("counter", strconv.FormatUint(t.counter, 10))
	case "steam":
		host = "totp"
		q.Set("encoder", "steam")
	}
	label := url.PathEscape(name)
	if issuer != "" {
		label = url.PathEscape(issuer) + ":" + label
	}
	return "otpauth://" + host + "/" + label + "?" + q.Encode(), nil
}

// typedSecret asks for an account at the terminal, where the secret is not shown, or reads it from the standard input.
func (a *app) typedSecret(ctx context.Context) (issuer, name, secret string, err error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		lines, err := a.lines("Issuer, or -", "Name", "Secret")
		if err != nil {
			return "", "", "", err
		}
		return strings.TrimPrefix(lines[0], "-"), lines[1], lines[2], nil
	}
	tty, err := openTTY()
	if err != nil {
		return "", "", "", err
	}
	defer tty.Close()
	for _, q := range []struct {
		question string
		echo     bool
		to       *string
	}{{"Issuer (the site, or empty): ", true, &issuer}, {"Name (yours there): ", true, &name}, {"Secret (base32): ", false, &secret}} {
		line, err := readTTY(ctx, tty, q.question, q.echo)
		if err != nil {
			return "", "", "", err
		}
		*q.to = strings.TrimSpace(string(line))
		clear(line)
	}
	return issuer, name, secret, nil
}

func (a *app) accountsDeleteCommand() *cobra.Command {
	var req api.AccountRequest
	cmd := &cobra.Command{
		Use:   "delete ACCOUNT",
		Short: "Delete an account from a plugged-in token",
		Long:  "delete asks first: its seed cannot be brought back, and the site may let you in with nothing else.",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Account, req.TimeoutMS = args[0], a.milliseconds()
			var r api.AccountResult
			if err := a.do(ctx, api.OpAccountDelete, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%s is not on %s any more", title(r.Account), r.Account.KeyName) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	a.yesFlag(cmd, "delete it")
	return cmd
}

func (a *app) accountsRenameCommand() *cobra.Command {
	var req api.AccountRenameRequest
	cmd := &cobra.Command{
		Use:     "rename ACCOUNT NEW",
		Short:   "Give an account another name",
		Long:    `rename changes what the token calls an account; the site does not learn of it. NEW is "issuer:name", or a name without an issuer.`,
		Example: "  fob accounts rename github 'GitHub:alice'",
		Args:    cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Account, req.TimeoutMS = args[0], a.milliseconds()
			var ok bool
			if req.Issuer, req.Name, ok = strings.Cut(args[1], ":"); !ok {
				req.Issuer, req.Name = "", args[1]
			}
			var r api.AccountResult
			if err := a.do(ctx, api.OpAccountRename, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("it is called %s now", title(r.Account)) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	return cmd
}

func (a *app) accountsProtectCommand() *cobra.Command {
	var req api.AccountProtectRequest
	cmd := &cobra.Command{
		Use:   "protect",
		Short: "Set or change the access code, or PIN, of a token's accounts",
		Long: `protect asks for a new access code (YubiKeys and others) or a PIN (Nitrokeys), and for the one from before if there is one. Without it
a token then tells neither accounts nor codes; a Nitrokey only those that were added with --pin. It cannot be recovered.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.AccountTokenResult
			if err := a.do(ctx, api.OpAccountProtect, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				if r.Token.Protection == "" {
					return a.say("the accounts on %s have no access code", r.Token.KeyName)
				}
				return a.say("the accounts on %s are protected", r.Token.KeyName)
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	cmd.Flags().BoolVar(&req.Remove, "remove", false, "take the access code away")
	return cmd
}

func (a *app) accountsResetCommand() *cobra.Command {
	var req api.AccountResetRequest
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Delete all accounts of a plugged-in token, and what protects them",
		Long:  "reset asks first. FIDO credentials stay: those are erased by \"fob reset\".",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.AccountTokenResult
			if err := a.do(ctx, api.OpAccountReset, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%s has no accounts any more", r.Token.KeyName) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	a.yesFlag(cmd, "delete them all")
	return cmd
}
