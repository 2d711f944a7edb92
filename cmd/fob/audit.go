package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read and check the audit log: who did what with which key",
		Long: `The daemon writes down each operation before it answers: who, with which program, on which key, for which
site, by which rule of the policy, and how it ended. Its lines hang together, so that none can be taken out
or changed unseen. Reading it is for administrators.`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(a.auditShowCommand(), a.auditVerifyCommand(), a.auditExportCommand())
	return cmd
}

// auditFilter adds the flags that choose lines.
func auditFilter(cmd *cobra.Command, req *api.AuditListRequest) {
	f := cmd.Flags()
	f.StringVar(&req.User, "user", "", "only what this `user` did")
	f.StringVar(&req.Operation, "operation", "", "only this operation, by its `name` in the socket's API")
	f.StringVar(&req.Key, "key", "", "only with this key, by `id`")
	f.StringVar(&req.Since, "since", "", "only from this `time` on: RFC 3339, or a duration ago, such as 24h")
	f.StringVar(&req.Until, "until", "", "only before this `time`, as --since has it")
}

// times makes times of durations.
func times(req *api.AuditListRequest) {
	for _, at := range []*string{&req.Since, &req.Until} {
		if d, err := time.ParseDuration(*at); err == nil {
			*at = time.Now().Add(-d).Format(time.RFC3339Nano)
		}
	}
}

func (a *app) auditShowCommand() *cobra.Command {
	var req api.AuditListRequest
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the last lines of the audit log",
		Example: "  fob audit show --since 24h --user alice",
		Args:    cobra.NoArgs,
	}
	auditFilter(cmd, &req)
	cmd.Flags().IntVar(&req.Limit, "limit", 50, "at most `n` lines, 1000 at most")
	cmd.RunE = a.run(func(ctx context.Context, _ []string) error {
		if req.Limit < 1 || req.Limit > 1000 {
			return usagef("--limit must be from 1 to 1000; fob audit export gives all")
		}
		times(&req)
		req.Last = true
		var result api.AuditListResult
		if err := a.ask(ctx, api.OpAuditList, req, &result); err != nil {
			return err
		}
		return a.answer(result, func() error {
			if err := a.damaged(result.Damaged); err != nil {
				return err
			}
			rows := []row{{"LINE", "TIME", "USER", "PROGRAM", "OPERATION", "KEY", "SITE", "RESULT", "BY"}}
			for _, r := range result.Records {
				at := r.Time
				if t, err := time.Parse(time.RFC3339Nano, r.Time); err == nil {
					at = t.Local().Format(time.DateTime)
				}
				by := r.Decision
				if len(r.Policies) > 0 {
					by += ": " + strings.Join(r.Policies, ", ")
				}
				rows = append(rows, row{
					fmt.Sprint(r.Seq), at, orDash(r.User), orDash(r.Program), r.Operation, orDash(cmp.Or(r.Key, r.Serial)), orDash(r.RPID), orDash(r.Result), orDash(by),
				})
			}
			return table(a.out, rows...)
		})
	})
	return cmd
}

func (a *app) damaged(lines []string) error {
	for _, line := range lines {
		a.note("fob: %s", line)
	}
	if len(lines) > 0 {
		a.note("hint: fob audit verify says more")
	}
	return nil
}

func (a *app) auditExportCommand() *cobra.Command {
	var req api.AuditListRequest
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print all lines of the audit log, one JSON object each",
		Long: `export prints lines from the oldest on, as JSON, one each. With --json it is one array. What has been read
so far has no end of the chain: to check the log itself, use fob audit verify.`,
		Args: cobra.NoArgs,
	}
	auditFilter(cmd, &req)
	cmd.RunE = a.run(func(ctx context.Context, _ []string) error {
		times(&req)
		req.Limit = 1000
		all := []api.AuditRecord{}
		for {
			var result api.AuditListResult
			if err := a.ask(ctx, api.OpAuditList, req, &result); err != nil {
				return err
			}
			if err := a.damaged(result.Damaged); err != nil {
				return err
			}
			for _, r := range result.Records {
				if a.json {
					all = append(all, r)
				} else if err := a.printJSON(r, ""); err != nil {
					return err
				}
			}
			if req.After = result.Next; req.After == 0 {
				break
			}
		}
		if a.json {
			return a.printJSON(all, "")
		}
		return nil
	})
	return cmd
}

var errBrokenChain = errors.New("the audit log is not what was written")

func (a *app) auditVerifyCommand() *cobra.Command {
	var req api.AuditVerifyRequest
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that no line of the audit log is missing or changed",
		Long: `verify checks the chain from the first line to the last, and prints its head: the number and the hash of
the last line. Nothing in the log itself shows that its end was cut off; keep a head elsewhere from time to
time, and give it with --head.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&req.Head, "head", "", "the log must contain this `head`")
	cmd.RunE = a.run(func(ctx context.Context, _ []string) error {
		req.TimeoutMS = 10 * 60 * 1000
		if a.timeout > 0 {
			req.TimeoutMS = 0
		}
		var result api.AuditVerifyResult
		if err := a.ask(ctx, api.OpAuditVerify, req, &result); err != nil {
			return err
		}
		if err := a.answer(result, func() error {
			if err := a.say("lines %d, files %d, from %s to %s", result.Lines, result.Files, orDash(result.First), orDash(result.Last)); err != nil {
				return err
			}
			for _, odd := range []struct {
				n    int64
				what string
			}{
				{result.Dropped, "old files were deleted, as the log says"},
				{int64(result.Torn), "times a crash tore a line, which was put aside"},
				{int64(result.Gaps), "times lines could not be written"},
			} {
				if odd.n > 0 {
					if err := a.say("%d %s", odd.n, odd.what); err != nil {
						return err
					}
				}
			}
			if !result.Whole {
				return a.say("BROKEN: %s", result.Fault)
			}
			return a.say("whole; head %s", result.Head)
		}); err != nil {
			return err
		}
		if !result.Whole {
			return errBrokenChain
		}
		return nil
	})
	return cmd
}
