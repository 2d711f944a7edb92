package tokens

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/hid"
)

// HIDSides are the feature reports of devices on a bus of [hid.NewLinuxFeatureBus], as sides.
type HIDSides struct {
	Bus hid.Bus
}

// FeatureLink is an open side that is spoken to in feature reports.
type FeatureLink struct{ hid.FeatureDevice }

// Sides implements [Sides].
func (h HIDSides) Sides() ([]Side, error) {
	infos, err := h.Bus.Devices()
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	var sides []Side
	for _, info := range infos {
		way := wayOf(info)
		if way == "" {
			continue
		}
		id := info.ID
		info.ID += "-" + string(way) // a Token2's FIDO interface is a key, too
		sides = append(sides, Side{Info: info, Way: way, Connect: func(ctx context.Context, waiting func(hid.Holder)) (Link, error) {
			dev, err := h.Bus.Open(ctx, id, waiting)
			if err != nil {
				return nil, err
			}
			feature, ok := dev.(hid.FeatureDevice)
			if !ok {
				return nil, errors.Join(fmt.Errorf("tokens: %s has no feature reports", id), dev.Close())
			}
			return FeatureLink{feature}, nil
		}})
	}
	return sides, nil
}

// wayOf is how a device with feature reports is spoken to.
func wayOf(info hid.Info) Way {
	for _, w := range []struct {
		of  hid.Interface
		way Way
	}{{hid.YubiKeyOTP, WaySlots}, {hid.NitrokeyPro, WayNitrokeyPro}, {hid.LibremKey, WayNitrokeyPro}, {hid.Token2, WayToken2}} {
		c := hid.Collection{UsagePage: info.UsagePage, Usage: info.Usage, FeatureSize: info.FeatureSize}
		if _, ok := w.of.Match(info.VendorID, info.ProductID, []hid.Collection{c}); ok {
			return w.way
		}
	}
	return ""
}

// Watch implements [Sides].
func (h HIDSides) Watch(ctx context.Context, changed func()) error {
	return h.Bus.Watch(ctx, func(hid.Event) { changed() })
}
