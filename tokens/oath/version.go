package oath

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Version is the version that the applet says it has: major, minor, patch. A YubiKey's is its firmware's, a Nitrokey's the
// one of its secrets app with a 4 in front.
type Version [3]byte

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// MarshalText is String, for JSON.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Before says whether v is older than another version.
func (v Version) Before(major, minor, patch byte) bool {
	return slices.Compare(v[:], []byte{major, minor, patch}) < 0
}

// within says whether v is from the first version on and before the second.
func (v Version) within(from, before Version) bool {
	return slices.Compare(v[:], from[:]) >= 0 && slices.Compare(v[:], before[:]) < 0
}

// Model is a family of devices, which differ in what they do beside or against the protocol.
type Model string

// The models.
const (
	// ModelYubiKey is also what a device is taken for that is none of the others.
	ModelYubiKey Model = "yubikey"
	// ModelCanoKey counts HOTP up before it makes a code, not after. Its answers do not tell it from a YubiKey: see
	// [ModelOfReader].
	ModelCanoKey Model = "canokey"
	// ModelNitrokey has a PIN in the place of the access code. Its answer to SELECT tells it.
	ModelNitrokey Model = "nitrokey"
)

// ModelOfReader says which model is in a reader of PC/SC by that name, or "" when the name does not tell. Keys are
// their own readers, named by their makers; in a reader for any card only the caller can know.
func ModelOfReader(name string) Model {
	name = strings.ToLower(name)
	return cmp.Or(
		named(name, "canokey", ModelCanoKey),
		named(name, "nitrokey", ModelNitrokey),
		named(name, "yubikey", ModelYubiKey),
	)
}

func named(name, part string, m Model) Model {
	if strings.Contains(name, part) {
		return m
	}
	return ""
}
