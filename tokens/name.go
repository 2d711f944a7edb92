package tokens

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/fobd/fobd/hid"
)

// vendors names the makers of security keys whose devices do not always say it.
var vendors = map[uint16]string{
	0x0483: "SoloKeys",
	0x096E: "Feitian",
	0x1050: "Yubico",
	0x10C4: "U2F Zero",
	0x18D1: "Google",
	0x1EA8: "Thetis",
	0x20A0: "Nitrokey",
	0x2581: "Plug-up",
	0x2C97: "Ledger",
	0x311F: "TrustKey",
	0x349E: "Token2",
	0x534C: "SatoshiLabs",
}

// maxName bounds a name for people, in characters.
const maxName = 80

// name makes a name for people. What a device says of itself is not trusted: nothing that
// a terminal could take for a command comes through.
func name(info hid.Info) string {
	maker, product := printable(info.Manufacturer), printable(info.Product)
	if maker == "" {
		maker = vendors[info.VendorID]
	}
	switch {
	case product != "" && (maker == "" || strings.HasPrefix(strings.ToLower(product), strings.ToLower(maker))):
		return product
	case product != "":
		return maker + " " + product
	case maker != "":
		return fmt.Sprintf("%s key %04x:%04x", maker, info.VendorID, info.ProductID)
	case info.VendorID != 0:
		return fmt.Sprintf("key %04x:%04x", info.VendorID, info.ProductID)
	case info.Path != "":
		return "key at " + info.Path
	}
	return "key " + info.ID
}

func printable(s string) string {
	n := 0
	s = strings.Map(func(r rune) rune {
		if n++; n > maxName || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
