package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	var root *cobra.Command
	cmd := &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages of fob into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			date := manDate()
			header := &doc.GenManHeader{Section: "1", Source: "fobd", Manual: "Security keys", Date: &date}
			return doc.GenManTree(root, header, args[0])
		}),
	}
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { root = cmd.Root() }
	return cmd
}

// manDate is the date in the man pages: that of the sources where the builder says it
// (https://reproducible-builds.org/specs/source-date-epoch/), else a fixed one, so that
// the same sources give the same pages.
func manDate() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC()
	}
	return time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
}
