package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) codeCommand() *cobra.Command {
	var req api.CodeRequest
	var toClipboard bool
	cmd := &cobra.Command{
		Use:   "code [ACCOUNT]",
		Short: "Show the one-time code of an account on a plugged-in token",
		Long: `code shows the code that a plugged-in token makes for ACCOUNT: an issuer and a name as "issuer:name", one of them, or a part of them that
fits one account only. A token that wants a touch blinks. Without ACCOUNT it shows the codes of all accounts that need no touch.

The code goes to the standard output and nowhere else, unless --copy puts it into the clipboard instead.`,
		Example: "  fob code github\n  fob code --copy 'Example:alice'",
		Args:    cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				req.Account = args[0]
			}
			if toClipboard && (req.Account == "" || req.Two) {
				return usagef("--copy wants an ACCOUNT, and takes one code")
			}
			req.TimeoutMS = a.milliseconds()
			var result api.CodeResult
			if err := a.do(ctx, api.OpCode, req, &result); err != nil {
				return err
			}
			if toClipboard {
				c := result.Codes[0]
				if err := copyText(ctx, c.Code); err != nil {
					return err
				}
				a.note("fob: the code of %s is in the clipboard%s", title(c.Account), left(c.Until))
				return nil
			}
			return a.answer(result, func() error { return a.showCodes(req.Account, &result) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	purposeFlag(cmd, &req.Purpose)
	twoFlag(cmd, &req.Two)
	cmd.Flags().BoolVar(&toClipboard, "copy", false, "put the code into the clipboard, and do not print it")
	return cmd
}

// showCodes prints one code by itself, or a table of all.
func (a *app) showCodes(account string, r *api.CodeResult) error {
	a.failures(r.Failed)
	if account != "" {
		last := r.Codes[len(r.Codes)-1]
		a.note("fob: %s%s", title(last.Account), left(last.Until))
		for _, c := range r.Codes {
			if err := a.say("%s", c.Code); err != nil {
				return err
			}
		}
		return nil
	}
	rows := []row{{"ISSUER", "NAME", "CODE", "LEFT"}}
	for _, c := range r.Codes {
		code, rest := c.Code, strings.TrimPrefix(left(c.Until), ", ")
		switch c.Need {
		case api.NeedTouch:
			code, rest = "[touch]", ""
		case api.NeedCounter:
			code, rest = "[counter]", ""
		case api.NeedPIN:
			code, rest = "[PIN]", ""
		}
		rows = append(rows, row{orDash(c.Issuer), c.Name, code, orDash(strings.TrimSuffix(rest, " left"))})
	}
	if len(rows) == 1 {
		a.note("fob: there are no accounts; fob accounts add puts one on a token")
		return nil
	}
	return table(a.out, rows...)
}

// failures tells which tokens could not be asked.
func (a *app) failures(failed []*api.Error) {
	for _, e := range failed {
		message, hint := explain(e)
		a.note("fob: %s", message)
		if hint != "" {
			a.note("hint: %s", hint)
		}
	}
}

// left is how long a code is good for, behind a comma.
func left(until string) string {
	t, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", %d s left", max(0, int(time.Until(t).Round(time.Second)/time.Second)))
}

// title is an account's issuer and name.
func title(c api.Account) string {
	if c.Issuer == "" {
		return c.Name
	}
	return c.Issuer + ":" + c.Name
}

// clipboards are the programs that copy what they read, and the variable that says that they can.
var clipboards = []struct {
	display string
	command []string
}{
	{"WAYLAND_DISPLAY", []string{"wl-copy", "--trim-newline"}},
	{"DISPLAY", []string{"xclip", "-selection", "clipboard"}},
	{"DISPLAY", []string{"xsel", "--clipboard", "--input"}},
}

// copyText puts a text into the clipboard. It reaches the program through a pipe, not by its arguments.
func copyText(ctx context.Context, text string) error {
	for _, c := range clipboards {
		path, err := exec.LookPath(c.command[0])
		if err != nil || os.Getenv(c.display) == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, path, c.command[1:]...)
		cmd.Stdin = strings.NewReader(text)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", c.command[0], err)
		}
		return nil
	}
	return usagef("there is no clipboard: --copy wants a desktop and wl-copy, xclip or xsel")
}
