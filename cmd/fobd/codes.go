package main

import (
	"log/slog"

	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/pcsc"
)

// codeSides are where tokens for one-time codes are found.
func codeSides(cfg *config.Config, looker hid.Processes, log *slog.Logger) []tokens.Sides {
	if !cfg.HID {
		return nil
	}
	sides := featureSides(looker, log)
	if cfg.Codes.SmartCards {
		cards := &tokens.CardSides{Client: &pcsc.Client{Socket: cfg.Codes.PCSCD}, USB: hid.WatchUSB, Processes: looker, Log: log}
		if len(cfg.Codes.Readers) > 0 {
			cards.Readers = cfg.Codes.Readers
		}
		if cfg.Codes.Poll {
			cards.USB = nil
		}
		sides = append(sides, cards)
	}
	return sides
}
