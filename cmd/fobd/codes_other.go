//go:build !linux

package main

import (
	"log/slog"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// featureSides are none where there is no hidraw.
func featureSides(hid.Processes, *slog.Logger) []tokens.Sides { return nil }
