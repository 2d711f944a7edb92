package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/hid/uhid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/softcodes"
	"github.com/fobd/fobd/tokens/softkey"
)

// maxEmulated bounds the emulated keys of a daemon.
const maxEmulated = 64

// emulator holds the emulated keys. Those that are on and not in front of the kernel are
// on its bus.
type emulator struct {
	bus   *hid.MemoryBus
	sides tokens.MemorySides // of their OATH applets

	mu     sync.Mutex // guards what follows; held while a key is switched
	keys   map[string]*emulatedKey
	closed bool
}

func (m *emulator) init() {
	m.bus = hid.NewMemoryBus()
	m.keys = make(map[string]*emulatedKey)
}

// close removes all keys.
func (m *emulator) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for name, k := range m.keys {
		// Everything is written already; what fails now has no consequence.
		_ = k.remove()
		delete(m.keys, name)
	}
}

// resetsAnyTime says whether a key is an emulated one that need not be put in again for a
// reset.
func (m *emulator) resetsAnyTime(k *tokens.Key) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, own := range m.keys {
		if own.id != "" && own.id == k.ID() {
			return own.anytime
		}
	}
	return false
}

// emulatedKey is a key that this program emulates: an authenticator, and while it is on a
// device on a bus or in front of the kernel. The emulator's lock guards it.
type emulatedKey struct {
	name  string
	state string // name of its file, empty for memory
	uhid  bool
	// profile is the kind of key.
	profile softkey.Profile
	// anytime is true for a key that can be reset at any time.
	anytime bool
	// cfg made it; clones are made with the same.
	cfg  softkey.Config
	auth *softkey.Authenticator
	bus  *hid.MemoryBus
	// codes are what it has for one-time codes, nil for none; while it is on, besides are the interfaces of it among sides.
	codes   *softcodes.Codes
	sides   *tokens.MemorySides
	besides []string

	reports reportFaults

	id     string // on the bus, while it is on
	on     bool
	cycles int // how often it was switched on

	// While it is on:
	off    context.CancelFunc
	serves sync.WaitGroup
	kernel io.Closer
}

// info is how the key shows itself. The serial number is its name, so that requests can
// name it by that.
func (k *emulatedKey) info() hid.Info {
	info := hid.Info{
		// Other than a name, an ID is not used again after the key was off.
		ID:           fmt.Sprintf("emulated-%s-%d", k.name, k.cycles),
		VendorID:     uhid.DefaultVendorID,
		ProductID:    uhid.DefaultProductID,
		Manufacturer: "fobd",
		Product:      "emulated key " + k.name,
		Serial:       k.name,
		Emulated:     true,
	}
	if k.codes.OverCTAPHID() {
		info.VendorID, info.ProductID = nitrokey3Vendor, nitrokey3Product
	}
	return info
}

// powerOn plugs the key in, with fresh CTAPHID state.
func (k *emulatedKey) powerOn(ctx context.Context) error {
	k.cycles++
	if k.cycles > 1 {
		k.auth.PowerCycle()
	}
	capabilities := ctaphid.CapWink | ctaphid.CapCBOR
	switch {
	case k.profile == softkey.ProfileU2F:
		capabilities = ctaphid.CapWink
	case !slices.Contains(k.auth.Info().Versions, ctap2.VersionU2F):
		capabilities |= ctaphid.CapNMSG
	}
	server := ctaphid.NewServer(k.answers(), ctaphid.ServerConfig{Capabilities: capabilities, DeviceVersion: [3]byte{1, 0, 0}})
	power, off := context.WithCancel(context.Background())
	serve := func(end hid.Device) {
		// It ends because the power is off or the client is gone.
		_ = server.Serve(power, end)
		end.Close()
	}
	info := k.info()
	if k.uhid {
		device, err := uhid.Create(ctx, uhid.Config{Name: info.Manufacturer + " " + info.Product, Serial: info.Serial, Phys: k.name, VendorID: info.VendorID, ProductID: info.ProductID})
		if err != nil {
			off()
			return &api.Error{Code: api.CodeUnsupported, Message: "the kernel does not take the key: " + err.Error(), Hint: "the daemon needs write access to /dev/uhid"}
		}
		k.kernel = device
		end := k.reports.kernel(device)
		k.serves.Go(func() { serve(end) })
	} else {
		err := k.bus.Attach(info, func() (hid.Device, error) {
			if power.Err() != nil {
				return nil, hid.ErrNotFound
			}
			host, end := hid.NewPipe(hid.DefaultReportSize, hid.DefaultReportSize)
			k.serves.Go(func() { serve(end) })
			return k.reports.host(host), nil
		})
		if err != nil {
			off()
			return err
		}
		k.id = info.ID
	}
	k.off, k.on = off, true
	k.plugCodes(info)
	return nil
}

// powerOff unplugs the key and waits until nothing of it runs.
func (k *emulatedKey) powerOff() {
	if !k.on {
		return
	}
	if k.id != "" {
		k.bus.Detach(k.id)
	}
	k.unplugCodes()
	k.off()
	if k.kernel != nil {
		k.kernel.Close()
		k.kernel = nil
	}
	k.serves.Wait()
	k.on, k.id = false, ""
}

// remove ends the key; its file stays.
func (k *emulatedKey) remove() error {
	k.powerOff()
	return errors.Join(k.auth.Close(), k.codes.Close())
}

// describe is the key as it crosses the socket. keys are those that are attached, to find
// the one that the kernel shows.
func (k *emulatedKey) describe(keys []*tokens.Key) api.EmulatedKey {
	presence, _, verification := k.auth.Behaviour()
	d := api.EmulatedKey{
		Name:        k.name,
		Key:         k.id,
		Power:       k.on,
		Presence:    string(presence),
		UV:          string(verification),
		Credentials: k.auth.CredentialCount(),
		Waiting:     k.on && k.auth.Waiting() != nil,
		OATH:        string(k.codes.Kind()),
		Accounts:    k.codes.Accounts(),
		UHID:        k.uhid,
		State:       k.state,
		Profile:     string(k.profile),
		Faults:      append(k.auth.Faults().Strings(), k.reports.strings()...),
	}
	for _, other := range keys {
		if k.on && k.uhid && other.Device().Serial == k.name {
			d.Key = other.ID()
		}
	}
	return d
}
