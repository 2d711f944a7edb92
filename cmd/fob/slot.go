package main

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/hex"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) slotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "slot",
		Short: "Look after the two slots of a YubiKey's OTP application",
		Long: `A slot answers challenges (HMAC-SHA1: KeePassXC, disks, TOTP), or is typed at a touch as if by a keyboard. SLOT is 1, a short touch, or 2, a long
one. An access code keeps others from changing a slot; it is read from a file with 12 hexadecimal digits.`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(a.slotShowCommand(), a.slotRespondCommand(), a.slotCodeCommand(), a.slotSetCommand(), a.slotSwapCommand(), a.slotDeleteCommand())
	return cmd
}

// slotNumber reads 1 or 2.
func slotNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n != 1 && n != 2 {
		return 0, usagef("there is no slot %q: want 1 or 2", text)
	}
	return n, nil
}

// showSlots says what the slots are configured for.
func (a *app) showSlots(r *api.SlotShowResult) error {
	rows := []row{{"key", keyName(r.Key)}, {"firmware", r.Version}}
	if r.Serial != 0 {
		rows = append(rows, row{"serial", strconv.FormatUint(uint64(r.Serial), 10)})
	}
	for _, s := range r.Slots {
		rows = append(rows, row{"slot " + strconv.Itoa(s.Number), s.Use})
	}
	return table(a.out, rows...)
}

func (a *app) slotShowCommand() *cobra.Command {
	var req api.SlotShowRequest
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show what the slots are configured for",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			return a.slots(ctx, api.OpSlotShow, req)
		}),
	}
	a.keyFlag(cmd, &req.Key)
	return cmd
}

// slots runs an operation whose result is what the slots are.
func (a *app) slots(ctx context.Context, op string, req any) error {
	var r api.SlotShowResult
	if err := a.do(ctx, op, req, &r); err != nil {
		return err
	}
	return a.answer(r, func() error { return a.showSlots(&r) })
}

func (a *app) slotRespondCommand() *cobra.Command {
	var req api.SlotRespondRequest
	cmd := &cobra.Command{
		Use:   "respond SLOT CHALLENGE",
		Short: "Have a slot answer a challenge, in hexadecimal",
		Args:  cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if req.Slot, err = slotNumber(args[0]); err != nil {
				return err
			}
			if req.Challenge, err = hex.DecodeString(args[1]); err != nil {
				return usagef("the challenge is not hexadecimal: %w", err)
			}
			req.TimeoutMS = a.milliseconds()
			var r api.SlotRespondResult
			if err := a.do(ctx, api.OpSlotRespond, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%x", []byte(r.Response)) })
		}),
	}
	a.keyFlag(cmd, &req.Key)
	purposeFlag(cmd, &req.Purpose)
	return cmd
}

func (a *app) slotCodeCommand() *cobra.Command {
	var req api.SlotCodeRequest
	cmd := &cobra.Command{
		Use:   "code SLOT",
		Short: "Show the one-time code (TOTP) that a slot for challenge-response makes",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if req.Slot, err = slotNumber(args[0]); err != nil {
				return err
			}
			req.TimeoutMS = a.milliseconds()
			var r api.SlotCodeResult
			if err := a.do(ctx, api.OpSlotCode, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				a.note("fob: slot %d%s", req.Slot, left(r.Until))
				return a.say("%s", r.Code)
			})
		}),
	}
	a.keyFlag(cmd, &req.Key)
	purposeFlag(cmd, &req.Purpose)
	cmd.Flags().IntVar(&req.Digits, "digits", 0, "`number` of digits, 6 to 8 (default 6)")
	cmd.Flags().Int64Var(&req.Period, "period", 0, "`seconds` that a code is shown (default 30)")
	return cmd
}

// accessFlag gives cmd the flag for the access code that a slot has.
func accessFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "access-code-file", "", "the slot's access code is in this `file`")
}

// accessCode reads an access code from a file; no file is none.
func (a *app) accessCode(file string) (api.Bytes, error) {
	if file == "" {
		return nil, nil
	}
	text, err := a.readFile(file, 4096)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	text = bytes.TrimSpace(text)
	code := make([]byte, hex.DecodedLen(len(text)))
	if n, err := hex.Decode(code, text); err != nil || n != 6 {
		return nil, usagef("%s: an access code has 12 hexadecimal digits", file)
	}
	return code, nil
}

func (a *app) slotSetCommand() *cobra.Command {
	var req api.SlotSetRequest
	var accessFile, newFile string
	var inBase32 bool
	cmd := &cobra.Command{
		Use:   "set SLOT",
		Short: "Configure a slot for challenge-response, or for codes that the key types",
		Long: `set asks for the secret, hexadecimal or with --base32, or reads it from the standard input: at most 20 bytes. What is in the slot is
replaced, after a question.`,
		Example: "  fob slot set 2\n  openssl rand -hex 20 | fob slot set 2 --touch\n  fob slot set 1 --kind hotp --enter",
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if req.Slot, err = slotNumber(args[0]); err != nil {
				return err
			}
			if req.AccessCode, err = a.accessCode(accessFile); err != nil {
				return err
			}
			if req.NewAccessCode, err = a.accessCode(newFile); err != nil {
				return err
			}
			if req.Secret, err = a.slotSecret(ctx, inBase32); err != nil {
				return err
			}
			defer clear(req.Secret)
			req.TimeoutMS = a.milliseconds()
			return a.slots(ctx, api.OpSlotSet, req)
		}),
	}
	a.keyFlag(cmd, &req.Key)
	a.yesFlag(cmd, "replace what is in the slot")
	accessFlag(cmd, &accessFile)
	f := cmd.Flags()
	f.StringVar(&newFile, "new-access-code-file", "", "the access code that the slot gets is in this `file`")
	f.StringVar(&req.Kind, "kind", "challenge-response", "`kind`: challenge-response, or hotp for codes that the key types")
	f.BoolVar(&inBase32, "base32", false, "the secret is in base32, as sites show it")
	f.BoolVar(&req.Touch, "touch", false, "want a touch for each response")
	f.IntVar(&req.Digits, "digits", 0, "`number` of digits, 6 or 8 (hotp)")
	f.Uint32Var(&req.Counter, "counter", 0, "the first `number`, a multiple of 16 (hotp)")
	f.BoolVar(&req.Enter, "enter", false, "type Enter behind each code (hotp)")
	return cmd
}

// slotSecret asks for the secret at the terminal, without showing it, or reads it from the standard input.
func (a *app) slotSecret(ctx context.Context, inBase32 bool) (secret []byte, err error) {
	var text []byte
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		tty, err := openTTY()
		if err != nil {
			return nil, err
		}
		defer tty.Close()
		if text, err = readTTY(ctx, tty, "Secret: ", false); err != nil {
			return nil, err
		}
	} else {
		lines, err := a.lines("Secret")
		if err != nil {
			return nil, err
		}
		text = []byte(lines[0])
	}
	defer clear(text)
	clean := strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", ""))
	if inBase32 {
		secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(clean, "="))
	} else {
		secret, err = hex.DecodeString(clean)
	}
	if err != nil || len(secret) == 0 {
		return nil, usagef("the secret is not hexadecimal, nor base32 with --base32")
	}
	return secret, nil
}

func (a *app) slotSwapCommand() *cobra.Command {
	var req api.SlotSwapRequest
	cmd := &cobra.Command{
		Use:   "swap",
		Short: "Give each slot what is in the other one",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			return a.slots(ctx, api.OpSlotSwap, req)
		}),
	}
	a.keyFlag(cmd, &req.Key)
	return cmd
}

func (a *app) slotDeleteCommand() *cobra.Command {
	var req api.SlotDeleteRequest
	var accessFile string
	cmd := &cobra.Command{
		Use:   "delete SLOT",
		Short: "Make a slot empty",
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) (err error) {
			if req.Slot, err = slotNumber(args[0]); err != nil {
				return err
			}
			if req.AccessCode, err = a.accessCode(accessFile); err != nil {
				return err
			}
			req.TimeoutMS = a.milliseconds()
			return a.slots(ctx, api.OpSlotDelete, req)
		}),
	}
	a.keyFlag(cmd, &req.Key)
	a.yesFlag(cmd, "delete it")
	accessFlag(cmd, &accessFile)
	return cmd
}
