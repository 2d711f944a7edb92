package applet

import (
	"context"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/u2f/apdu"
)

// maxPage is the longest response of the secrets app in one message of CTAPHID.
const maxPage = 3072

// Vendor is the secrets app behind CTAPHID: an APDU without Le in, status word and data out. keepalive, if not nil, is told
// 2 while the device waits for a touch and 1 when it goes on. It is for the personality [Nitrokey]; others have no vendor
// command. Errors are [ErrCommand], [ErrLength], and those of [Applet.Transmit].
func (a *Applet) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(status byte)) ([]byte, error) {
	if cmd != oath.CmdSecrets || a.cfg.Personality != Nitrokey {
		return nil, ErrCommand
	}
	c, _, err := apdu.ParseCommand(payload)
	if err != nil {
		return nil, ErrLength
	}
	return a.command(ctx, func(ctx context.Context) []byte {
		a.run.keepalive = keepalive
		defer func() { a.run.keepalive = nil }()
		r := a.page(a.overCTAPHID(ctx, c), maxPage)
		return append([]byte{byte(r.sw >> 8), byte(r.sw)}, r.data...)
	})
}

// overCTAPHID is the way without applications: the app listens always.
func (a *Applet) overCTAPHID(ctx context.Context, c apdu.Command) answer {
	rest := a.run.rest
	a.run.rest = answer{}
	switch {
	case apdu.Chained(c.CLA):
		return status(apdu.ErrChainingNotSupported)
	case c.CLA != 0:
		return status(apdu.ErrClaNotSupported)
	case oath.Cmd(c.INS) == oath.CmdSelect && c.P1 == 4:
		return a.choose(c)
	case oath.Cmd(c.INS) == oath.CmdSendRemaining && rest.sw != 0:
		return rest
	}
	return a.oath(ctx, c)
}
