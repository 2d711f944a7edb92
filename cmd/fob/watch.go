package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// errEnough ends a stream of events that has gone on for long enough.
var errEnough = errors.New("enough events")

func (a *app) watchCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show what happens: keys, operations, prompts",
		Long: `watch shows the attached keys and open prompts, then every change: keys that come and go,
operations with the program that asked, prompts, and programs that go around fobd and wait for a
touch (foreign). It goes on until Ctrl-C, until --count
events were shown, or until --timeout. With --json each line is an event.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if count < 0 {
				return usagef("--count must not be negative")
			}
			if a.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, a.timeout, errTimeout)
				defer cancel()
			}
			c := client.New(a.socket)
			defer c.Close()
			seen := 0
			err := c.Events(ctx, func(e api.Event) error {
				if err := a.answer(e, func() error { return a.say("%s", eventLine(e)) }); err != nil {
					return err
				}
				if seen++; seen == count {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		}),
	}
	cmd.Flags().IntVar(&count, "count", 0, "end after this `number` of events (default: go on)")
	return cmd
}

// eventLine is an event in one line: when, what, and the rest.
func eventLine(e api.Event) string {
	when := e.Time
	if t, err := time.Parse(time.RFC3339Nano, e.Time); err == nil {
		when = t.Local().Format("15:04:05.000")
	}
	words := []string{when, fmt.Sprintf("%-9s", e.Type)}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if e.Operation != "" {
		add("%s", e.Operation)
	}
	if e.Key != nil {
		add("%s", keyName(*e.Key))
	}
	if e.Program != "" || e.PID != 0 {
		add("by %s", strings.TrimSpace(fmt.Sprintf("%s[%d]", e.Program, e.PID)))
	}
	if e.User != "" {
		add("of %s", e.User)
	}
	if e.RPID != "" {
		add("for %s", e.RPID)
	}
	if e.Code != "" {
		add("failed: %s", e.Code)
	}
	if p := e.Prompt; p != nil && e.Type == api.EventPrompt {
		add("%s: %s", p.Kind, p.Message)
	} else if p != nil {
		add("%s %s", p.Operation, p.Kind)
	}
	if e.Type == api.EventForeign && e.Holder != nil {
		add("%s waits for a touch, not through fobd", holderWords(*e.Holder))
	}
	if e.Lost != 0 {
		add("%d events are missing", e.Lost)
	}
	return strings.TrimRight(strings.Join(words, "  "), " ")
}

// holderWords names a program that goes around the daemon.
func holderWords(h api.Holder) string {
	words := "another program"
	switch {
	case h.Program != "":
		words = fmt.Sprintf("%s[%d]", h.Program, h.PID)
	case h.PID != 0:
		words = fmt.Sprintf("process %d", h.PID)
	}
	if h.User != "" {
		words += " of " + h.User
	}
	return words
}
