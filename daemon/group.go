package daemon

import (
	"encoding/hex"
	"strings"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens"
)

// group is the keys that a request means when it names none by itself. The zero value is all keys.
type group struct {
	emulated bool
	aaguid   ctap2.AAGUID // zero for keys of any model
}

// groupOf says which keys a name means that is not the name of one key: all of them without a name,
// the emulated ones, or those of a model (CTAP 2.3, section 6.4, aaguid).
func groupOf(name string) (g group, ok bool) {
	if name == api.KeyEmulated {
		return group{emulated: true}, true
	}
	digits := strings.ReplaceAll(name, "-", "")
	// As RFC 9562 writes it, or without signs.
	if len(digits) == 2*len(g.aaguid) && (len(name) == len(digits) || len(name) == 36) {
		if _, err := hex.Decode(g.aaguid[:], []byte(digits)); err == nil && !g.aaguid.IsZero() {
			return g, true
		}
	}
	return group{}, name == ""
}

// mayHave says whether a key that has not been opened can belong to the group.
func (g group) mayHave(k *tokens.Key) bool {
	if g.emulated && !k.Device().Emulated {
		return false
	}
	info := k.Info()
	return g.aaguid.IsZero() || info == nil || info.AAGUID == g.aaguid
}

// has says whether an open key belongs to the group.
func (g group) has(s *session) bool { return g.aaguid.IsZero() || s.info.AAGUID == g.aaguid }

// absent is the error for a group without a key.
func (g group) absent() error {
	e := &api.Error{Code: api.CodeNoKey, Message: "no key is attached", Hint: "put a key in"}
	switch {
	case g.emulated:
		e.Message, e.Hint = "no emulated key is attached", "add one with emulate-add"
	case !g.aaguid.IsZero():
		e.Message, e.Hint = "no key with the AAGUID "+g.aaguid.String()+" is attached", "put one in; list shows the keys that are there"
	}
	return e
}
