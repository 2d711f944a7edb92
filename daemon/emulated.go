package daemon

import (
	"github.com/fobd/fobd/hid"
)

// emulator holds the emulated keys.
type emulator struct {
	bus *hid.MemoryBus
}

func (m *emulator) init() { m.bus = hid.NewMemoryBus() }

func (m *emulator) close() {}
