package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/config"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/uhid"
)

// nobodyUID is who uses the shared key when the kernel does not tell: the overflow user, whom no
// rule lets do anything.
const nobodyUID = 65534

// expose shows one virtual key to the programs that do not know fobd, through /dev/uhid.
func expose(ctx context.Context, engine *daemon.Engine, cfg config.Expose, scope config.Scope, processes hid.Processes, log *slog.Logger) error {
	bus := hid.NewLinuxBus(hid.LinuxBusConfig{Log: log, Processes: processes})
	err := engine.Expose(ctx, daemon.Exposure{
		Key: cfg.Key,
		Plug: func(ctx context.Context, like hid.Info) (hid.Device, error) {
			name := like.Manufacturer + " " + like.Product
			return uhid.Create(ctx, uhid.Config{
				Name: asciiName(name), Serial: "shared", Phys: strings.TrimPrefix(hid.SharedPhys, hid.EmulatedPhys),
				VendorID: cfg.VendorID, ProductID: cfg.ProductID,
			})
		},
		Who: func() policy.Actor { return sharedUser(bus, scope) },
	})
	if err != nil {
		return fmt.Errorf("expose: %w; the daemon needs write access to %s", err, uhid.Path)
	}
	return nil
}

// sharedUser says who uses the shared key: the one program that has it open, or of several the one
// that has locked it. Of others nothing is known but that, for a user's daemon, they are the user's.
func sharedUser(bus *hid.LinuxBus, scope config.Scope) policy.Actor {
	if path, ok := bus.SharedNode(); ok {
		if users := bus.Users(path); len(users) == 1 {
			if who, ok := daemon.Program(users[0].PID); ok {
				return who
			}
		}
	}
	if scope == config.User {
		who := self()
		who.Program, who.App, who.PID, who.Start, who.Via = "", policy.App{}, 0, 0, "shared-key"
		return who
	}
	return policy.Actor{UID: nobodyUID, GID: nobodyUID, User: "nobody", Via: "shared-key"}
}

// asciiName makes a name that the kernel and udev take: printable, in ASCII, not too long.
func asciiName(name string) string {
	var out []byte
	for _, r := range name {
		if r >= ' ' && r < 0x7F && len(out) < 100 {
			out = append(out, byte(r))
		}
	}
	return string(out) + " (shared by fobd)"
}

// exposeCheck says early what Expose could only say when the first key comes.
func exposeCheck(cfg config.Expose) error {
	if !cfg.Enabled {
		return nil
	}
	file, err := os.OpenFile(uhid.Path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("expose.enabled: %w; load the module uhid, and let the daemon write to %s (udev/70-fobd.rules does that for group fobd)", err, uhid.Path)
	}
	return file.Close()
}
