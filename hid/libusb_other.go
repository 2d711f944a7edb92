//go:build !linux

package hid

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	karalabe "github.com/karalabe/hid"
)

// pollInterval is how often devices are listed where there is no news of changes.
const pollInterval = time.Second

// recognise finds the FIDO devices among all by their usage. hidapi does not tell report
// sizes, so they are those of a full-speed device. A path is as long as the system likes,
// so the ID is made from its hash.
func (b *LibusbBus) recognise(all []karalabe.DeviceInfo) ([]libusbInfo, error) {
	var devices []libusbInfo
	for _, inner := range all {
		if inner.UsagePage != UsagePageFIDO || inner.Usage != UsageFIDO {
			continue
		}
		hash := sha256.Sum256([]byte(inner.Path))
		devices = append(devices, libusbInfo{Info{
			ID:           "hid-" + hex.EncodeToString(hash[:8]),
			Path:         inner.Path,
			VendorID:     inner.VendorID,
			ProductID:    inner.ProductID,
			Version:      inner.Release,
			Manufacturer: inner.Manufacturer,
			Product:      inner.Product,
			Serial:       inner.Serial,
			UsagePage:    inner.UsagePage,
			Usage:        inner.Usage,
			InputSize:    DefaultReportSize,
			OutputSize:   DefaultReportSize,
		}, inner})
	}
	return devices, nil
}

// libusbChanges looks once in a while.
type libusbChanges struct {
	ticker *time.Ticker
	done   chan struct{}
	once   *sync.Once
}

func (b *LibusbBus) changes() (libusbChanges, error) {
	return libusbChanges{time.NewTicker(pollInterval), make(chan struct{}), new(sync.Once)}, nil
}

func (c libusbChanges) wait() error {
	select {
	case <-c.ticker.C:
		return nil
	case <-c.done:
		return errClosed
	}
}

func (c libusbChanges) interrupt() { c.once.Do(func() { close(c.done) }) }

func (c libusbChanges) Close() error {
	c.ticker.Stop()
	return nil
}
