package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// clean replaces what a terminal might obey or hide (control characters, direction
// marks, invalid UTF-8). Keys and programs choose their own names.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// cleanLines is clean for text of several lines, with tabs.
func cleanLines(s string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		lines = append(lines, clean(strings.ReplaceAll(line, "\t", "    ")))
	}
	return strings.Join(lines, "\n")
}

// jsonLine encodes v in one line of JSON, or in several with an indent, that is safe
// to show: what clean would replace is escaped.
func jsonLine(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	out := make([]byte, 0, b.Len())
	for _, r := range b.String() {
		switch {
		case r == '\n', unicode.IsPrint(r):
			out = append(out, string(r)...)
		case r > 0xffff:
			// RFC 8259, section 7: a surrogate pair.
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out, nil
}

// answer prints the result of a command: as JSON with --json, else as human does.
func (a *app) answer(result any, human func() error) error {
	if a.json {
		return a.printJSON(result, "")
	}
	return human()
}

func (a *app) printJSON(v any, indent string) error {
	line, err := jsonLine(v, indent)
	if err != nil {
		return err
	}
	_, err = a.out.Write(line)
	return err
}

// row is a line of a table; its cells are cleaned when it is printed.
type row []string

// table prints rows in aligned columns.
func table(w io.Writer, rows ...row) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = clean(c)
		}
		// A tab ends a cell; the last one would leave blanks at the end of the line.
		if _, err := fmt.Fprintln(t, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// say prints one line for people on the standard output.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintln(a.out, clean(fmt.Sprintf(format, args...)))
	return err
}

// note prints one line for people on the standard error.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.err, clean(fmt.Sprintf(format, args...)))
}

// fail tells a person what went wrong and returns the exit status.
func (a *app) fail(err error) int {
	message, hint := explain(err)
	a.note("fob: %s", message)
	if hint != "" {
		a.note("hint: %s", hint)
	}
	return exitOf(err)
}

// explain gives the message and the hint for an error.
func explain(err error) (message, hint string) {
	var answer *api.Error
	var usage *usageError
	var connect *client.ConnectError
	switch {
	case errors.As(err, &usage):
		return usage.Error(), "see " + usage.command + " --help"
	case errors.As(err, &answer):
		message, hint = answer.Message, answer.Hint
		if message == "" {
			message = string(answer.Code)
		}
		if h := answer.Holder; h != nil && h.Program != "" && !strings.Contains(message, h.Program) {
			message += fmt.Sprintf(" (taken by %s, process %d)", h.Program, h.PID)
		}
		if hint == "" && answer.Retries != nil {
			hint = tries(*answer.Retries)
		}
		return message, commandWords(hint)
	case errors.As(err, &connect):
		hint = connect.Hint()
	case errors.Is(err, context.Canceled):
		return "cancelled", ""
	}
	return strings.TrimPrefix(err.Error(), "client: "), hint
}

// operationWord is an operation of the socket in a hint: what it is called there is a command here.
var operationWord = regexp.MustCompile(`(^|[ (])(policy|grant|audit|token|slot|user|store|statement|pin|credential|fingerprint|blob|config|emulate|lease)-([a-z]+(?:-[a-z]+)*)\b`)

// commandWords makes commands of the operations that a hint names: "pin-change" is "fob pin change".
func commandWords(hint string) string {
	// What people do most has a short name.
	hint = strings.NewReplacer("user-enroll", "fob enroll", "user-verify", "fob verify", "account-", "fob accounts ").Replace(hint)
	return operationWord.ReplaceAllString(hint, "${1}fob $2 $3")
}

func tries(n uint) string {
	if n == 1 {
		return "1 try is left"
	}
	return fmt.Sprintf("%d tries are left", n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
