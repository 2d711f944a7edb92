package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/cmd/internal/cli"
)

func (a *app) manCommand() *cobra.Command {
	cmd := cli.ManCommand("fob", "1")
	write := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.run(func(_ context.Context, args []string) error { return write(cmd, args) })(cmd, args)
	}
	return cmd
}
