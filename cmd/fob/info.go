package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) infoCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "info [KEY]",
		Short: "Show what a key says of itself",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				if key != "" && key != args[0] {
					return usagef("two keys are named: %s and %s", key, args[0])
				}
				key = args[0]
			}
			var result api.InfoResult
			if err := a.do(ctx, api.OpInfo, api.KeyRequest{Key: key, TimeoutMS: a.milliseconds()}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error { return a.printInfo(result) })
		}),
	}
	cmd.ValidArgsFunction = a.completeKeys
	a.keyFlag(cmd, &key)
	return cmd
}

func (a *app) printInfo(r api.InfoResult) error {
	k := r.Key
	rows := []row{
		{"key", k.ID},
		{"name", k.Name},
		{"usb id", usbID(k)},
		{"path", orDash(k.Path)},
		{"serial", orDash(k.Serial)},
		{"emulated", yesNo(k.Emulated)},
		{"ctaphid", r.CTAPHID},
		{"capabilities", strings.Join(r.Capabilities, " ")},
	}
	if r.U2FVersion != "" {
		rows = append(rows, row{"u2f", r.U2FVersion})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Info)) {
		rows = append(rows, row{name, infoText(r.Info[name])})
	}
	return table(a.out, rows...)
}

// infoText shows a member of getInfo in one line.
func infoText(v any) string {
	switch v := v.(type) {
	case []any:
		words, between := make([]string, len(v)), " "
		for i, e := range v {
			if _, several := e.(map[string]any); several {
				between = "; "
			}
			words[i] = infoText(e)
		}
		return strings.Join(words, between)
	case map[string]any:
		var words []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			words = append(words, name+"="+infoText(v[name]))
		}
		return strings.Join(words, " ")
	case float64: // a JSON number
		return fmt.Sprintf("%.0f", v)
	case bool:
		return yesNo(v)
	case nil:
		return "-"
	}
	return fmt.Sprint(v)
}
