package applet

import (
	"encoding/binary"
	"fmt"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// The management application of YubiKeys, as much of it as ykman reads: which applications there are.

const (
	insReadConfig = 0x1D

	tagUSBSupported = 0x01
	tagSerial       = 0x02
	tagUSBEnabled   = 0x03
	tagFormFactor   = 0x04
	tagVersion      = 0x05
	tagAutoEject    = 0x06
	tagTimeout      = 0x07
	tagFlags        = 0x08
	tagConfigLock   = 0x0A
	tagNFCSupported = 0x0D
	tagNFCEnabled   = 0x0E

	capabilityOATH = 0x20
	keychainUSBA   = 0x01
)

func (a *Applet) selectManagement() answer {
	return ok(fmt.Appendf(nil, "Virtual mgr - FW version %v", a.cfg.Version))
}

func (a *Applet) management(c apdu.Command) answer {
	switch {
	case c.INS != insReadConfig:
		return status(apdu.ErrInsNotSupported)
	case c.P1 != 0 || c.P2 != 0:
		return status(apdu.SW(a.traits.wrongP1P2))
	}
	only := []byte{0, capabilityOATH}
	b := []byte{0} // the length
	for _, t := range []oath.TLV{
		{Tag: tagUSBSupported, Value: only},
		{Tag: tagSerial, Value: binary.BigEndian.AppendUint32(nil, a.cfg.Serial)},
		{Tag: tagUSBEnabled, Value: only},
		{Tag: tagFormFactor, Value: []byte{keychainUSBA}},
		{Tag: tagVersion, Value: a.cfg.Version[:]},
		{Tag: tagAutoEject, Value: []byte{0, 0}},
		{Tag: tagTimeout, Value: []byte{15}},
		{Tag: tagFlags, Value: []byte{0}},
		{Tag: tagConfigLock, Value: []byte{0}},
		{Tag: tagNFCSupported, Value: only},
		{Tag: tagNFCEnabled, Value: only},
	} {
		b = oath.AppendTLV(b, t.Tag, t.Value)
	}
	b[0] = byte(len(b) - 1)
	return ok(b)
}
