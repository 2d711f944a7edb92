package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/slots/softslots"
	"github.com/fobd/fobd/tokens/softcodes"
	"github.com/fobd/fobd/tokens/softkey"
)

// A Nitrokey 3, whose accounts are reached by a vendor command of CTAPHID.
const (
	nitrokey3Vendor, nitrokey3Product = 0x20A0, 0x42B2
)

// codes makes what a request wants a key to have for one-time codes; nil for nothing. The person who touches it is that of the key.
func (m *emulator) codes(dir, name, state, kind string, auth *softkey.Authenticator) (*softcodes.Codes, error) {
	if kind == "none" {
		return nil, nil
	}
	cfg := softcodes.Config{Kind: applet.Personality(kind), Touch: auth.Asked}
	var failed error // to open a file, in words for the caller
	if state != "" {
		cfg.Open = func(suffix string) (softkey.Store, error) {
			store, err := m.open(dir, state+suffix)
			failed = errors.Join(failed, err)
			return store, err
		}
	}
	codes, err := softcodes.New(cfg)
	switch {
	case failed != nil:
		return nil, failed
	case errors.Is(err, softcodes.ErrState):
		return nil, badState(err)
	case err != nil:
		return nil, invalidEmulation(fmt.Errorf("emulated key %s: %w", name, err))
	}
	return codes, nil
}

// withVendor is an authenticator with a vendor command.
type withVendor struct {
	*softkey.Authenticator
	codes *softcodes.Codes
}

// Vendor implements what [ctaphid.Authenticator] may have.
func (v withVendor) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(byte)) ([]byte, error) {
	return v.codes.Vendor(ctx, cmd, payload, keepalive)
}

// answers is what the key's channels reach.
func (k *emulatedKey) answers() ctaphid.Authenticator {
	if k.codes.OverCTAPHID() {
		return withVendor{k.auth, k.codes}
	}
	return k.auth
}

// memoryCard is a link to the applet in memory.
type memoryCard struct{ *applet.Applet }

func (memoryCard) Close() error { return nil }

// memorySlots is a link to slots in memory.
type memorySlots struct{ *softslots.Key }

func (memorySlots) Close() error { return nil }

// Transmit implements [oath.Card].
func (m memoryCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	response, err := m.Applet.Transmit(ctx, command)
	if errors.Is(err, applet.ErrGone) {
		err = hid.ErrGone
	}
	return response, err
}

// plugCodes plugs in what is beside FIDO.
func (k *emulatedKey) plugCodes(info hid.Info) {
	if k.codes == nil {
		return
	}
	k.codes.Power(true)
	if k.codes.OverCTAPHID() {
		return
	}
	attach := func(prefix string, way tokens.Way, link tokens.Link) {
		side := info
		side.ID = prefix + info.ID
		side.UsagePage, side.Usage = 0, 0
		k.besides = append(k.besides, side.ID)
		k.sides.Attach(tokens.Side{Info: side, Way: way, Connect: func(context.Context, func(hid.Holder)) (tokens.Link, error) { return link, nil }})
	}
	attach("card-", tokens.WayCard, memoryCard{k.codes.Applet})
	if k.codes.Slots != nil {
		attach("slots-", tokens.WaySlots, memorySlots{k.codes.Slots})
	}
}

func (k *emulatedKey) unplugCodes() {
	for _, id := range k.besides {
		k.sides.Detach(id)
	}
	k.besides = nil
	k.codes.Power(false)
}
