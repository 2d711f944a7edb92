package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

// version is set by the linker.
var version = "unknown"

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the daemon does",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var r api.StatusResult
			if err := a.ask(ctx, api.OpStatus, struct{}{}, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				return table(a.out, []row{
					{"version", r.Version},
					{"interface", r.API},
					{"process", fmt.Sprint(r.PID)},
					{"mode", r.Mode},
					{"socket", orDash(r.Socket)},
					{"started", r.StartedAt},
					{"keys", fmt.Sprintf("%d, %d in use", r.Keys, r.Busy)},
					{"running", fmt.Sprint(r.Running)},
					{"waiting", fmt.Sprint(r.Waiting)},
					{"agents", fmt.Sprint(r.Agents)},
					{"subscribers", fmt.Sprint(r.Subscribers)},
					{"leases", fmt.Sprint(r.Leases)},
					{"grants", fmt.Sprint(r.Grants)},
					{"rules", fmt.Sprint(r.Rules)},
					{"audit log", r.Audit},
				}...)
			})
		}),
	}
}

// versionInfo is what version prints with --json.
type versionInfo struct {
	Version string `json:"version"`
	API     string `json:"api"`
	Go      string `json:"go"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of fob",
		Args:  cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error {
			v := versionInfo{Version: programVersion(), API: api.Version, Go: runtime.Version()}
			return a.answer(v, func() error { return a.say("fob %s", v.Version) })
		}),
	}
}

// programVersion is what the linker says, else the module version.
func programVersion() string {
	if version != "unknown" {
		return version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return version
}
