package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the attached keys",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			var result api.ListResult
			if err := a.ask(ctx, api.OpList, api.ListRequest{}, &result); err != nil {
				return err
			}
			return a.answer(result, func() error {
				if len(result.Keys) == 0 {
					a.note("fob: no key is attached")
					return nil
				}
				rows := []row{{"KEY", "NAME", "USB ID", "PATH", "INTERFACES", "PIN", "STATE"}}
				for _, k := range result.Keys {
					rows = append(rows, row{
						k.ID, k.Name, usbID(k),
						orDash(k.Path), orDash(strings.Join(k.Interfaces, ",")), pinState(k.PINSet), keyState(k),
					})
				}
				return table(a.out, rows...)
			})
		}),
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// pinState says whether a PIN is set, where the daemon knows.
func pinState(set *bool) string {
	if set == nil {
		return "?"
	}
	return yesNo(*set)
}

func keyState(k api.Key) string {
	var words []string
	if k.Emulated {
		words = append(words, "emulated")
	}
	if b := k.Busy; b != nil {
		busy := "busy"
		if b.Program != "" {
			busy += ": " + b.Program
		}
		words = append(words, busy)
	}
	if len(words) == 0 {
		return "free"
	}
	return strings.Join(words, ", ")
}

// keyName names a key in a sentence.
func keyName(k api.Key) string {
	if k.Name == "" || k.Name == k.ID {
		return k.ID
	}
	return k.Name + " (" + k.ID + ")"
}

// completeKeys offers the ids of the attached keys to the shell.
func (a *app) completeKeys(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	var result api.ListResult
	if err := a.ask(ctx, api.OpList, api.ListRequest{}, &result); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, k := range result.Keys {
		words = append(words, clean(k.ID)+"\t"+clean(k.Name))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// usbID is the vendor's and the product's number, a dash for a card in a reader.
func usbID(k api.Key) string {
	if k.VendorID == 0 && k.ProductID == 0 {
		return "-"
	}
	return fmt.Sprintf("%04x:%04x", k.VendorID, k.ProductID)
}
