package ctaphid

import "fmt"

// Command is a CTAPHID command without the bit that marks an initialization
// packet (CTAP 2.2, section 11.2.9).
type Command byte

// The commands of CTAP 2.2, section 11.2.9. Vendor commands are the numbers from
// CmdVendorFirst to CmdVendorLast (section 11.2.9.3).
const (
	CmdPing        Command = 0x01
	CmdMSG         Command = 0x03
	CmdLock        Command = 0x04
	CmdInit        Command = 0x06
	CmdWink        Command = 0x08
	CmdCBOR        Command = 0x10
	CmdCancel      Command = 0x11
	CmdKeepalive   Command = 0x3B
	CmdError       Command = 0x3F
	CmdVendorFirst Command = 0x40
	CmdVendorLast  Command = 0x7F
)

// Vendor says whether c is a vendor command.
func (c Command) Vendor() bool { return c >= CmdVendorFirst && c <= CmdVendorLast }

func (c Command) String() string {
	switch c {
	case CmdPing:
		return "PING"
	case CmdMSG:
		return "MSG"
	case CmdLock:
		return "LOCK"
	case CmdInit:
		return "INIT"
	case CmdWink:
		return "WINK"
	case CmdCBOR:
		return "CBOR"
	case CmdCancel:
		return "CANCEL"
	case CmdKeepalive:
		return "KEEPALIVE"
	case CmdError:
		return "ERROR"
	}
	if c.Vendor() {
		return fmt.Sprintf("VENDOR(0x%02x)", byte(c))
	}
	return fmt.Sprintf("Command(0x%02x)", byte(c))
}

// The states a key reports in KEEPALIVE (CTAP 2.2, section 11.2.9.1.7).
const (
	// StatusProcessing says that the key is computing.
	StatusProcessing byte = 1
	// StatusUPNeeded says that the key waits to be touched.
	StatusUPNeeded byte = 2
)

// Capabilities are the flags of an INIT response (CTAP 2.2, section 11.2.9.1.3).
type Capabilities byte

// The capability flags.
const (
	// CapWink says that the key has WINK.
	CapWink Capabilities = 0x01
	// CapCBOR says that the key has CBOR, so it speaks CTAP2.
	CapCBOR Capabilities = 0x04
	// CapNMSG says that the key has no MSG, so it does not speak U2F.
	CapNMSG Capabilities = 0x08
)

// Has says whether all flags of f are set.
func (c Capabilities) Has(f Capabilities) bool { return c&f == f }
