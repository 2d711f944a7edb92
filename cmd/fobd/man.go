package main

import (
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the man pages of the tree that it is in, for packagers.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages of fobd into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			// https://reproducible-builds.org/specs/source-date-epoch/
			date := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
			if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
				date = time.Unix(s, 0).UTC()
			}
			header := &doc.GenManHeader{Section: "8", Source: "fobd", Manual: "Security keys", Date: &date}
			return doc.GenManTree(cmd.Root(), header, args[0])
		},
	}
}
