package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fobd/fobd/daemon/api"
)

// maxSeedFile bounds a seed file that is sent, in bytes: what the daemon takes, without the base64 around it.
const maxSeedFile = 256 << 20

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Look after tokens for one-time codes, and check codes",
		Long: `token looks after tokens for one-time codes (OATH) that only have a display, and authenticator apps: the
daemon has their seeds and checks their codes.

A token is imported from the seed file that came with it, and made a person's by two codes in a row (enroll).
Codes are read from the standard input, a line each; never from an argument.`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(
		a.tokenImportCommand(), a.tokenListCommand(), a.tokenAssignCommand(), a.tokenEnrollCommand(), a.tokenVerifyCommand(), a.tokenResyncCommand(),
		a.oneTokenCommand("show", "Show a token", api.OpTokenShow), a.oneTokenCommand("disable", "Stop accepting the codes of a token", api.OpTokenDisable),
		a.oneTokenCommand("enable", "Accept the codes of a token again: of a disabled, a locked or a found one", api.OpTokenEnable),
		a.oneTokenCommand("retire", "End a token for good", api.OpTokenRetire), a.tokenLostCommand(), a.tokenFindCommand(),
		a.tokenCodeCommand(), a.tokenCreateCommand(), a.tokenExportCommand(), a.tokenChallengeCommand(), a.tokenAnswerCommand(),
	)
	return cmd
}

func (a *app) tokenCodeCommand() *cobra.Command {
	req := api.TokenCodeRequest{}
	cmd := &cobra.Command{
		Use:   "code SERIAL",
		Short: "Show the code that a registered token shows now",
		Long: `code makes the code of a token whose seed the daemon has, for accounts elsewhere that are behind the same token. Nothing is spent by it. The
codes of plugged-in tokens are shown by "fob code".`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Serial = args[0]
			var r api.TokenCodeResult
			if err := a.do(ctx, api.OpTokenCode, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				a.note("fob: %s%s", r.Serial, left(r.Until))
				if req.Two {
					if err := a.say("%s", r.Before); err != nil {
						return err
					}
				}
				return a.say("%s", r.Code)
			})
		}),
	}
	twoFlag(cmd, &req.Two)
	return cmd
}

// twoFlag gives cmd the flag for two codes.
func twoFlag(cmd *cobra.Command, two *bool) {
	cmd.Flags().BoolVar(two, "two", false, "two codes in a row, the one before first: some sites ask for them")
}

// lines reads lines from the standard input, after a label each where a person types.
func (a *app) lines(labels ...string) ([]string, error) {
	f, isFile := a.in.(*os.File)
	person := isFile && term.IsTerminal(int(f.Fd()))
	in := bufio.NewReader(io.LimitReader(a.in, 4096))
	var lines []string
	for _, label := range labels {
		if person {
			fmt.Fprintf(a.err, "%s: ", label)
		}
		line, err := in.ReadString('\n')
		line = strings.TrimSpace(line)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if line == "" {
			return nil, usagef("no %s on the standard input; want %d lines: %s", strings.ToLower(label), len(labels), strings.ToLower(strings.Join(labels, ", ")))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// tokenRows are a table of tokens.
func tokenRows(tokens []api.Token) []row {
	rows := []row{{"SERIAL", "KIND", "STATE", "USER", "ISSUER", "LAST USED"}}
	for _, k := range tokens {
		rows = append(rows, row{k.Serial, k.Kind, k.State, orDash(k.User), orDash(k.Issuer), orDash(k.LastUsed)})
	}
	return rows
}

// showToken says all of a token.
func (a *app) showToken(k api.Token) error {
	rows := []row{{"serial", k.Serial}, {"state", k.State}, {"user", orDash(k.User)}, {"kind", k.Kind}}
	add := func(name, value string) {
		if value != "" && value != "0" {
			rows = append(rows, row{name, value})
		}
	}
	add("suite", k.Suite)
	add("hash", k.Hash)
	add("digits", strconv.Itoa(k.Digits))
	add("period", strconv.FormatInt(k.Period, 10))
	add("manufacturer", k.Manufacturer)
	add("model", k.Model)
	add("issuer", k.Issuer)
	add("site", k.RPID)
	add("aaguid", k.AAGUID)
	add("firmware", number(k.Firmware))
	add("attestation", k.Attestation)
	add("next", strconv.FormatUint(k.Counter, 10))
	add("drift", strconv.FormatInt(k.Drift, 10))
	add("failures", strconv.Itoa(k.Failures))
	add("last used", k.LastUsed)
	add("expires", k.Expires)
	return table(a.out, rows...)
}

func (a *app) oneTokenCommand(name, short, op string) *cobra.Command {
	return &cobra.Command{
		Use:   name + " SERIAL",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			return a.askToken(ctx, op, api.TokenRequest{Serial: args[0]})
		}),
	}
}

// askToken runs an operation that answers with a token.
func (a *app) askToken(ctx context.Context, op string, request any) error {
	var result api.TokenResult
	if err := a.ask(ctx, op, request, &result); err != nil {
		return err
	}
	return a.answer(result, func() error { return a.showToken(result.Token) })
}

func (a *app) tokenImportCommand() *cobra.Command {
	var req api.TokenImportRequest
	var keyFile, passphraseFile string
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Bring tokens from a seed file, all of it or nothing",
		Long: `import reads a seed file: PSKC (RFC 6030), the CSV files of OATH, Yubico and Feitian, SafeNet's XML, SafeWord's records,
pam_oath's users file, otpauth and otpauth-migration URIs, and pictures (PNG, JPEG) of their QR codes. Several FILEs are one: the
pictures of an app's export, for example. FILE is - for the standard input. It is taken whole, or not at all: a line says what became
of each token.`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var err error
			for _, name := range args {
				data, err := a.readFile(name, maxSeedFile)
				if err != nil {
					return err
				}
				defer clear(data)
				req.Files = append(req.Files, data)
			}
			if req.Key, req.Passphrase, err = a.secretFiles(keyFile, passphraseFile); err != nil {
				return err
			}
			defer func() { clear(req.Key); clear(req.Passphrase) }()
			var result api.TokenImportResult
			if err := a.do(ctx, api.OpTokenImport, req, &result); err != nil {
				return err
			}
			if err := a.answer(result, func() error { return a.imported(&result) }); err != nil {
				return err
			}
			if !result.Imported && !req.DryRun {
				return errors.New("nothing was imported: a file is taken whole or not at all")
			}
			return nil
		}),
	}
	f := cmd.Flags()
	f.StringVar(&req.Format, "format", "", "the file is of this `format`: pskc, csv, yubico, xml, dat, usersfile, uri or migration (default: found out)")
	f.StringVar(&keyFile, "key-file", "", "open an encrypted PSKC file with the key in `file`, 16, 24 or 32 bytes")
	f.StringVar(&passphraseFile, "passphrase-file", "", "open it with the passphrase in `file`")
	f.BoolVar(&req.DryRun, "dry-run", false, "only say what would become of the tokens")
	return cmd
}

// secretFiles reads a key and a passphrase from files; a line's end belongs to neither passphrase.
func (a *app) secretFiles(keyFile, passphraseFile string) (key, passphrase []byte, err error) {
	if keyFile != "" {
		if key, err = a.readFile(keyFile, 4096); err != nil {
			return nil, nil, err
		}
	}
	if passphraseFile != "" {
		if passphrase, err = a.readFile(passphraseFile, 4096); err != nil {
			return nil, nil, err
		}
		passphrase = bytes.TrimRight(passphrase, "\r\n")
	}
	return key, passphrase, nil
}

// imported says what became of the tokens of a file: each that was not simply taken, and how many there are.
func (a *app) imported(r *api.TokenImportResult) error {
	count := map[string]int{}
	for _, l := range r.Lines {
		count[l.Verdict]++
		why := l.Reason
		if l.SameSeed != "" {
			why = "it has the same seed as " + l.SameSeed
		}
		if why != "" {
			if err := a.say("line %d: %s: %s: %s", l.Line, orDash(l.Serial), l.Verdict, why); err != nil {
				return err
			}
		}
	}
	return a.say("%s: new %d, known %d, conflicting %d, refused %d", r.Format, count["new"], count["known"], count["conflicting"], count["refused"])
}

func (a *app) tokenListCommand() *cobra.Command {
	var req api.TokenListRequest
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tokens",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			all := api.TokenListResult{Tokens: []api.Token{}}
			for {
				var page api.TokenListResult
				if err := a.ask(ctx, api.OpTokenList, req, &page); err != nil {
					return err
				}
				all.Tokens = append(all.Tokens, page.Tokens...)
				if !page.More || req.Limit > 0 {
					all.More = page.More
					break
				}
				req.After = page.Tokens[len(page.Tokens)-1].Serial
			}
			return a.answer(all, func() error {
				if len(all.Tokens) == 0 {
					a.note("fob: no tokens")
					return nil
				}
				return table(a.out, tokenRows(all.Tokens)...)
			})
		}),
	}
	cmd.Flags().StringVar(&req.State, "state", "", "only those in this `state`: imported, assigned, active, disabled, locked, lost or retired")
	cmd.Flags().StringVar(&req.User, "user", "", "only those of `user`")
	cmd.Flags().IntVar(&req.Limit, "limit", 0, "at most `n`")
	return cmd
}

func (a *app) tokenAssignCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assign SERIAL USER",
		Short: "Give a token to a person, who then enrols it",
		Args:  cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			return a.askToken(ctx, api.OpTokenAssign, api.TokenAssignRequest{Serial: args[0], User: args[1]})
		}),
	}
}

func (a *app) tokenEnrollCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "enroll USER SERIAL",
		Short: "Make a token a person's, by two of its codes in a row",
		Args:  cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			codes, err := a.lines("Code", "Next code")
			if err != nil {
				return err
			}
			return a.askToken(ctx, api.OpTokenEnroll, api.TokenCodesRequest{User: args[0], Serial: args[1], Code1: codes[0], Code2: codes[1]})
		}),
	}
}

func (a *app) tokenResyncCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resync SERIAL",
		Short: "Find the counter or the clock of a token again, by two of its codes in a row",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			codes, err := a.lines("Code", "Next code")
			if err != nil {
				return err
			}
			return a.askToken(ctx, api.OpTokenResync, api.TokenCodesRequest{Serial: args[0], Code1: codes[0], Code2: codes[1]})
		}),
	}
}

func (a *app) tokenVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify USER",
		Short: "Check a code of a person, of any of their tokens; it is spent by that",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			codes, err := a.lines("Code")
			if err != nil {
				return err
			}
			var result api.TokenVerifyResult
			if err := a.ask(ctx, api.OpTokenVerify, api.TokenVerifyRequest{User: args[0], Code: codes[0]}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if result.Recovery {
					return a.say("accepted: a recovery code of %s", result.User)
				}
				return a.say("accepted: %s of %s", result.Serial, result.User)
			})
		}),
	}
}

func (a *app) tokenFindCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "find",
		Short: "Find the tokens that show a code now",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			codes, err := a.lines("Code")
			if err != nil {
				return err
			}
			var result api.TokenListResult
			if err := a.ask(ctx, api.OpTokenFind, api.TokenFindRequest{Code: codes[0]}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Tokens) == 0 {
					a.note("fob: no token shows this code")
					return nil
				}
				return table(a.out, tokenRows(result.Tokens)...)
			})
		}),
	}
}

func (a *app) tokenLostCommand() *cobra.Command {
	var req api.TokenLostRequest
	cmd := &cobra.Command{
		Use:   "lost SERIAL",
		Short: "End a lost token at once, and give its owner recovery codes",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Serial = args[0]
			return a.recovery(ctx, api.OpTokenLost, req)
		}),
	}
	cmd.Flags().IntVar(&req.Codes, "codes", 0, "how many recovery codes `n` the owner gets")
	cmd.Flags().IntVar(&req.Hours, "hours", 0, "they hold for so many `hours` (default 24)")
	return cmd
}

// recovery runs an operation that gives recovery codes.
func (a *app) recovery(ctx context.Context, op string, request any) error {
	var result api.RecoveryCodesResult
	if err := a.ask(ctx, op, request, &result); err != nil {
		return err
	}
	return a.answer(result, func() error {
		for _, code := range result.Codes {
			if err := a.say("%s", code); err != nil {
				return err
			}
		}
		if len(result.Codes) > 0 {
			a.note("fob: each is accepted once, until %s; they are not shown again", result.Expires)
		}
		return nil
	})
}

func (a *app) recoveryCodesCommand() *cobra.Command {
	var req api.RecoveryCodesRequest
	cmd := &cobra.Command{
		Use:   "recovery-codes USER",
		Short: "Give a person recovery codes in place of those from before",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.User = args[0]
			return a.recovery(ctx, api.OpRecoveryCodes, req)
		}),
	}
	cmd.Flags().IntVar(&req.Codes, "codes", 0, "how many `n` (default 8)")
	cmd.Flags().IntVar(&req.Hours, "hours", 0, "they hold for so many `hours` (default 24)")
	return cmd
}

func (a *app) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Look after the people that tokens belong to",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(a.userListCommand(), a.userShowCommand(), a.userRemoveCommand(), &cobra.Command{
		Use:   "unlock USER",
		Short: "Let a person try codes again who gave too many wrong ones",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var result api.UserResult
			if err := a.ask(ctx, api.OpUserUnlock, api.UserRequest{User: args[0]}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.say("unlocked: %s", result.User) })
		}),
	})
	return cmd
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var req api.TokenCreateRequest
	var png string
	var uri, inverted bool
	cmd := &cobra.Command{
		Use:   "create USER",
		Short: "Make a token for an authenticator app, as a QR code",
		Long: `create makes a new seed for a person's authenticator app and shows it as a QR code, once. When the app shows codes, two of them in a
row make it active: "fob token enroll USER SERIAL".`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if png != "" {
				if err := notThere(png); err != nil {
					return err
				}
			}
			req.User = args[0]
			var result api.TokenCreateResult
			if err := a.ask(ctx, api.OpTokenCreate, req, &result); err != nil {
				return err
			}
			defer func() { clear(result.URI); clear(result.PNG) }()
			if png != "" {
				if err := createFile(png, result.PNG); err != nil {
					return err
				}
			}
			return a.answer(result, func() error {
				var err error
				switch {
				case uri:
					err = a.say("%s", string(result.URI))
				case png == "" && inverted:
					_, err = io.WriteString(a.out, result.Inverted)
				case png == "":
					_, err = io.WriteString(a.out, result.Text)
				}
				a.note("fob: %s for %s; it is not shown again", result.Token.Serial, result.Token.User)
				a.note("hint: fob token enroll %s %s, with two codes in a row", result.Token.User, result.Token.Serial)
				return err
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&req.Issuer, "issuer", "", "the `name` before the person's in the app (default: the daemon's)")
	f.StringVar(&req.Kind, "kind", "", "totp, or hotp for a `kind` with a counter")
	f.StringVar(&req.Hash, "hash", "", "SHA1, SHA256 or SHA512; many apps know the first `function` only")
	f.IntVar(&req.Digits, "digits", 0, "6 or 8; many apps know the first `number` only")
	f.Int64Var(&req.Period, "period", 0, "`seconds` that a code is shown; many apps know 30 only")
	f.StringVar(&png, "png", "", "write the QR code to a new `file`, as a picture, instead of to the terminal")
	f.BoolVar(&inverted, "inverted", false, "for a terminal with dark text on light")
	f.BoolVar(&uri, "uri", false, "print the otpauth URI instead")
	return cmd
}

func (a *app) tokenExportCommand() *cobra.Command {
	var req api.TokenExportRequest
	var keyFile, passphraseFile string
	cmd := &cobra.Command{
		Use:   "export FILE [SERIAL...]",
		Short: "Take tokens out, with their seeds, as an encrypted PSKC file",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Serials = args[1:]
			switch {
			case (keyFile == "") == (passphraseFile == ""):
				return usagef("an export is encrypted: with --key-file or with --passphrase-file")
			case (len(req.Serials) == 0) == !req.All:
				return usagef("name tokens, or ask for --all")
			}
			if err := notThere(args[0]); err != nil {
				return err
			}
			var err error
			if req.Key, req.Passphrase, err = a.secretFiles(keyFile, passphraseFile); err != nil {
				return err
			}
			defer func() { clear(req.Key); clear(req.Passphrase) }()
			var result api.TokenExportResult
			if err := a.ask(ctx, api.OpTokenExport, req, &result); err != nil {
				return err
			}
			if err := createFile(args[0], result.Data); err != nil {
				return err
			}
			return a.answer(map[string]any{"tokens": result.Tokens, "file": args[0]}, func() error { return a.say("%s: %d tokens", args[0], result.Tokens) })
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&req.All, "all", false, "all that have seeds and are not retired")
	f.StringVar(&keyFile, "key-file", "", "encrypt with the key in `file`, 16, 24 or 32 bytes")
	f.StringVar(&passphraseFile, "passphrase-file", "", "encrypt with the passphrase in `file`")
	return cmd
}

func (a *app) tokenChallengeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "challenge SERIAL",
		Short: "Make a question for a token that answers some (OCRA)",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			var result api.TokenChallengeResult
			if err := a.ask(ctx, api.OpTokenChallenge, api.TokenRequest{Serial: args[0]}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				a.note("hint: type it into the token, then fob token answer %s, before %s", result.Serial, result.Expires)
				return a.say("%s", result.Challenge)
			})
		}),
	}
}

func (a *app) tokenAnswerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "answer SERIAL",
		Short: "Check what a token answers to its question, from the standard input",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			codes, err := a.lines("Answer")
			if err != nil {
				return err
			}
			return a.askToken(ctx, api.OpTokenAnswer, api.TokenAnswerRequest{Serial: args[0], Code: codes[0]})
		}),
	}
}
