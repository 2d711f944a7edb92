package main

import (
	"log/slog"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// featureSides are the tokens that speak in feature reports of hidraw.
func featureSides(looker hid.Processes, log *slog.Logger) []tokens.Sides {
	bus := hid.NewLinuxFeatureBus(hid.LinuxBusConfig{Log: log, Processes: looker}, hid.YubiKeyOTP, hid.NitrokeyPro, hid.LibremKey, hid.Token2)
	return []tokens.Sides{tokens.HIDSides{Bus: bus}}
}
